"""What the live broker's queues hold, where the settings no longer want a queue: an acknowledged message is never lost."""

import json
from typing import Any, cast

from cli import process
from cli.environment import users
from cli.kubectl import Kubectl, Object, part
from settings import Settings
from tools.errors import UserError
from tools.paths import ROOT

SELECTOR = "app.kubernetes.io/component=mqtt"
SESSION = "mqtt-subscription-"
"""What the name of a session's queue begins with; the rest is the client id, which is secret."""


def full_queues(kubectl: Kubectl, said: Settings) -> list[str]:
    """Return a sentence for each queue that the settings drop while it holds messages, with its depth.

    Raises UserError when a queue is dropped and no member of the broker can be asked.
    """
    pods = cast("list[Object]", kubectl.get("pods", "--selector", SELECTOR)["items"])
    dropped = sorted({name for pod in pods for name in declared(kubectl, pod) if not wanted(name, said)})
    if not dropped:
        return []
    depths = {name: depth for pod in pods for name, depth in queue_depths(kubectl, str(pod["metadata"]["name"])).items()}
    if silent := [shown(name) for name in dropped if name not in depths]:
        raise UserError(f"dropping queue {', '.join(silent)}: no member of the broker says what it holds, so nothing was changed")
    return [
        f"drop queue {shown(name)}, which holds {depths[name]} messages: let its reader empty it first" for name in dropped if depths[name]
    ]


def wanted(queue: str, said: Settings) -> bool:
    """Say whether the settings still declare a queue."""
    if said.mqtt.where != "cluster":
        return False
    if queue.startswith(SESSION):
        return said.consumer.where == "cluster" and said.consumer.mode == "mqtt"
    return queue in said.mqtt.queues


def shown(queue: str) -> str:
    """Return a queue's name as it may be shown."""
    return "of the consumer's MQTT session" if queue.startswith(SESSION) else queue


def declared(kubectl: Kubectl, pod: Object) -> list[str]:
    """Return the names of the queues that the broker was told to declare when `pod` was made."""
    volumes = cast("list[Object]", part(pod, "spec").get("volumes") or [])
    secret = next(str(one["secret"]["secretName"]) for one in volumes if one["name"] == "definitions")
    said = cast("dict[str, Any]", json.loads(kubectl.secret(secret)["definitions.json"]))
    return [str(queue["name"]) for queue in cast("list[Object]", said.get("queues") or [])]


def queue_depths(kubectl: Kubectl, pod: str) -> dict[str, int]:
    """Return how many messages each queue holds that is led by a member, those included that a reader is working on; empty if it is silent.

    Asked for all of the cluster's queues, the other members would have to reach the asking program, which the network policies forbid.
    """
    asked = ("rabbitmqctl", "--quiet", "--formatter", "json", "list_queues", "--local", "name", "messages")
    done = process.capture(kubectl.argv("exec", pod, "--container", "mqtt", "--", *asked), users(), ROOT, seconds=30)
    if done.returncode != 0:
        return {}
    return {str(one["name"]): int(one["messages"]) for one in cast("list[dict[str, Any]]", json.loads(done.stdout))}

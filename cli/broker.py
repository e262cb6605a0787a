"""What the live broker's queues hold, where the settings no longer want a queue: an acknowledged message is never lost."""

import json
from typing import Any, cast

from cli import process
from cli.environment import users
from cli.errors import FailedError
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
    ready = [str(pod["metadata"]["name"]) for pod in pods if _is_ready(pod)]
    if not ready:
        names = ", ".join(map(shown, dropped))
        raise UserError(f"dropping queue {names}: no member of the broker is ready, so nobody can say what it holds")
    depths = queue_depths(kubectl, ready[0])
    return [
        f"drop queue {shown(name)}, which holds {depths[name]} messages: let its reader empty it first"
        for name in dropped
        if depths.get(name)
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
    """Return how many messages each queue holds, those included that a reader is working on."""
    asked = ("rabbitmqctl", "--quiet", "--formatter", "json", "list_queues", "name", "messages")
    done = process.capture(kubectl.argv("exec", pod, "--", *asked), users(), ROOT)
    if done.returncode != 0:
        raise FailedError(f"the broker does not say what its queues hold: {done.stderr.strip() or 'no answer'}")
    return {str(one["name"]): int(one["messages"]) for one in cast("list[dict[str, Any]]", json.loads(done.stdout))}


def _is_ready(pod: Object) -> bool:
    conditions = cast("list[Object]", part(pod, "status").get("conditions") or [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

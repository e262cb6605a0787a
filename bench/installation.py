"""A stack on the sandbox, as measurements and tests need it: where its parts are, how to look inside, how to hurt it."""

import json
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Api, Broker, Load, wait_until
from cli import demo
from cli.kubectl import Kubectl
from sandbox.containers import containers
from sandbox.layout import Node, nodes_up_to
from sandbox.processes import send
from tools.paths import ROOT

SECONDS = 120
COMPONENT = "app.kubernetes.io/component"
DATABASE = "lamp"
LAMP_PREFIX = "load"

UNALERTED = "select count(*) from events e left join alerts a on a.event_id = e.id where e.kind = 'fall' and a.id is null"
TWICE_ALERTED = "select count(*) from (select event_id from alerts group by event_id having count(*) > 1) doubled"
TWICE_STORED = "select count(*) from (select lamp_id, uuid from events group by lamp_id, uuid having count(*) > 1) doubled"


@dataclass(frozen=True)
class Installation:
    """One stack that is up."""

    kubectl: Kubectl
    demo: demo.Demo

    @classmethod
    def of(cls, kubectl: Kubectl, outputs: Mapping[str, Any]) -> "Installation":
        """Return the installation that a stack's outputs describe."""
        return cls(kubectl, demo.of_outputs(outputs, kubectl.secret(str(outputs["config_secret"]))))

    @property
    def broker(self) -> Broker:
        """Where lamps connect."""
        return Broker(self.demo.broker, self.demo.port, self.demo.server_name, self.demo.authority)

    @property
    def api(self) -> Api:
        """Where mobile apps read."""
        return Api(self.demo.web, self.demo.passwords["DEMO_API_TOKEN"])

    def run(self, *words: str, given: str | None = None, check: bool = True, seconds: float = SECONDS) -> str:
        """Run kubectl in the stack's namespace and return its output; AssertionError with its message when it fails."""
        argv = self.kubectl.argv(*words)
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def objects(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return json.loads(self.run("get", kind, "--output", "json", *words))["items"]

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the pods of a component that are not on their way out."""
        found = self.objects("pods", "--selector", f"{COMPONENT}={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, component: str) -> list[str]:
        """Return the names of a component's pods that are ready."""
        return [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]

    def wait_serving(self, patience: float = 180) -> None:
        """Wait until every workload is ready and every Service has an endpoint."""
        wait_until(lambda: not self.kubectl.waiting(), patience, lambda: f"not ready: {', '.join(self.kubectl.waiting())}")

    def lamps(self, count: int = 5) -> dict[str, str]:
        """Make lamps with accounts in the broker, through the app's own bulk import; return serial -> password."""
        made = {f"{LAMP_PREFIX}-{number}": secrets.token_hex(16) for number in range(1, count + 1)}
        text = "".join(f"{serial},{password}\n" for serial, password in made.items())
        script = "cat > /tmp/lamps.csv && exec bin/rake 'lamps:import[/tmp/lamps.csv]'"
        self.run("exec", "--stdin", "deployment/web", "--", "sh", "-c", script, given=text)
        return made

    def load(self, lamps: Mapping[str, str], per_second: float = 20) -> Load:
        """Return a stream of falls of these lamps, to be started."""
        return Load(self.broker, self.api, lamps, per_second)

    def sql(self, statement: str) -> str:
        """Return what the database's primary answers."""
        pod = next(name for name in self.ready_pods("postgres") if self._is_primary(name))
        words = ("psql", "--username", "postgres", "--dbname", DATABASE, "--no-align", "--tuples-only", "--command", statement)
        return self.run("exec", pod, "--container", "postgres", "--", *words).strip()

    def broker_lists(self, what: str, *columns: str) -> list[dict[str, Any]]:
        """Return what `rabbitmqctl list_…` tells."""
        words = ("rabbitmqctl", "--quiet", "--formatter", "json", f"list_{what}", *columns)
        return json.loads(self.run("exec", self.ready_pods("mqtt")[0], "--container", "mqtt", "--", *words))

    def active_consumer(self) -> str:
        """Return the pod that reads the queue of falls."""
        readers = self.broker_lists("consumers", "queue_name", "channel_pid", "active")
        channel = next(one["channel_pid"] for one in readers if one["queue_name"] == "falls" and one["active"])
        connection = next(one["connection"] for one in self.broker_lists("channels", "pid", "connection") if one["pid"] == channel)
        host = next(one["peer_host"] for one in self.broker_lists("connections", "pid", "peer_host") if one["pid"] == connection)
        addresses = {pod["status"].get("podIP"): pod["metadata"]["name"] for pod in self.pods("consumer")}
        return addresses[dotted(host)]

    def kill_pod(self, pod: str) -> None:
        """Delete a pod without any grace."""
        self.run("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")

    def kill_processes(self, pod: str) -> list[int]:
        """Send SIGKILL to every process of a pod's containers at once, as a loss of power would; return their pids."""
        found = json.loads(self.run("get", "pod", pod, "--output", "json"))
        node = next(node for node in nodes_up_to(3) if node.name == found["spec"]["nodeName"])
        victims = processes_of(node, self.kubectl.namespace, pod)
        assert victims, f"no process of pod {pod} was found on {node.name}"
        send(victims, signal.SIGKILL)
        return [pid for pid, _ in victims]

    def unalerted(self) -> int:
        """Return how many falls in the database have no alert."""
        return int(self.sql(UNALERTED))

    def doubled(self) -> int:
        """Return how many falls are stored, or alerted, more than once."""
        return int(self.sql(TWICE_ALERTED)) + int(self.sql(TWICE_STORED))

    def _is_primary(self, pod: str) -> bool:
        labels: Mapping[str, str] = json.loads(self.run("get", "pod", pod, "--output", "json"))["metadata"]["labels"]
        return labels.get("role") in ("primary", "master")


def dotted(address: Sequence[int]) -> str:
    """Return an address as people write it, from Erlang's numbers: four bytes, or eight words that end in the four bytes."""
    if len(address) == 4:
        return ".".join(map(str, address))
    return ".".join(str(part) for word in address[-2:] for part in divmod(word, 256))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is Ready."""
    conditions: Sequence[Mapping[str, str]] = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def processes_of(node: Node, namespace: str, pod: str) -> list[tuple[int, int]]:
    """Return (pid, start time) of every process of a pod's containers, the pause container's left out."""
    found: list[tuple[int, int]] = []
    for container in containers(node):
        annotations = json.loads((container.bundle / "config.json").read_text()).get("annotations", {})
        names = annotations.get("io.kubernetes.cri.sandbox-namespace"), annotations.get("io.kubernetes.cri.sandbox-name")
        if not container.pauses and names == (namespace, pod):
            found += container.processes()
    return found

"""What the sandbox is doing, as values."""

import socket
import struct
import time
from dataclasses import dataclass
from datetime import datetime

from sandbox.api import Api, Object
from sandbox.layout import DNS_SERVICE, Node


@dataclass(frozen=True)
class ProcessStatus:
    """One process; `pid` is None when it does not run, `memory` its resident bytes."""

    name: str
    pid: int | None
    memory: int

    @property
    def running(self) -> bool:
        """Say whether it runs."""
        return self.pid is not None


@dataclass(frozen=True)
class NodeStatus:
    """One node as the API server sees it."""

    name: str
    address: str
    ready: bool


@dataclass(frozen=True)
class SandboxStatus:
    """The whole sandbox: `up` when the API server serves and all nodes are ready."""

    exists: bool
    api: bool
    registry: bool
    nodes: tuple[NodeStatus, ...]
    processes: tuple[ProcessStatus, ...]

    @property
    def up(self) -> bool:
        """Say whether everything that should run does."""
        healthy = self.api and self.registry and bool(self.nodes)
        return healthy and all(node.ready for node in self.nodes) and all(process.running for process in self.processes)

    @property
    def running(self) -> bool:
        """Say whether anything runs."""
        return any(process.running for process in self.processes)

    @property
    def memory(self) -> int:
        """Return the resident memory of the sandbox's own processes in bytes, without containers."""
        return sum(process.memory for process in self.processes)


def is_ready(node: Object) -> bool:
    """Say whether a Node object is Ready."""
    return _ready_condition(node).get("status") == "True"


def ready_since(api: Api, node: Node, moment: float) -> bool:
    """Say whether the node called itself Ready after `moment` (Unix time): an old word may be of before a stop."""
    found = api.find(f"/api/v1/nodes/{node.name}")
    if not found or not is_ready(found):
        return False
    # Kubernetes writes whole seconds.
    return datetime.fromisoformat(_ready_condition(found)["lastHeartbeatTime"]).timestamp() >= int(moment)


def _ready_condition(node: Object) -> Object:
    conditions: list[Object] = node.get("status", {}).get("conditions", [])
    unknown: Object = {}
    return next((condition for condition in conditions if condition["type"] == "Ready"), unknown)


def dns_answers() -> bool:
    """Ask the cluster's DNS, by its Service's address, for the API server's name; True when it knows it."""
    name = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b"."))
    number = int(time.monotonic() * 1000) & 0xFFFF
    question = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            client.sendto(question, (DNS_SERVICE, 53))
            answer = client.recv(512)
        except OSError:
            return False
    identity, flags, _, answers = struct.unpack(">HHHH", answer[:8])
    return identity == number and flags & 0x000F == 0 and answers > 0

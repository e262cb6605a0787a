"""Faults for tests and demonstrations: power cuts, without any of the politeness of `down`."""

import signal
from collections.abc import Sequence

from sandbox import containers, network
from sandbox.layout import Node
from sandbox.node import PARTS, part
from sandbox.processes import Processes, send, wait_gone


def kill_node(processes: Processes, node: Node) -> None:
    """End all of a node's processes and containers at once; its address no longer answers."""
    network.set_cable(node, up=False)
    victims = [victim for name in PARTS for victim in processes.marked(part(name, node))]
    _kill(victims, [node])


def kill_everything(processes: Processes, nodes: Sequence[Node]) -> None:
    """End every process and container of the sandbox at once; mounts, namespaces and records stay as they are."""
    _kill(processes.marked(), nodes)


def _kill(victims: list[tuple[int, int]], nodes: Sequence[Node]) -> None:
    inside = [victim for node in nodes for container in containers.containers(node) for victim in container.processes()]
    # Supervisors first: a shim that sees its container end would still report it.
    send([*victims, *inside], signal.SIGKILL)
    wait_gone([*victims, *inside], 10)

"""Containers of a node seen from below: their processes are found through containerd's bundles and the cgroups these name."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.layout import Node
from sandbox.processes import end, send, start_time, wait_gone

CGROUPS = Path("/sys/fs/cgroup")
PARENT = "k8s.io"
BUNDLES = Path("containerd/io.containerd.runtime.v2.task/k8s.io")


@dataclass(frozen=True)
class Container:
    """One container that containerd has set up."""

    bundle: Path
    cgroup: str
    pauses: bool

    def main(self) -> tuple[int, int] | None:
        """Return (pid, start time) of its first process, if it is still in the container's cgroup."""
        try:
            pid = int((self.bundle / "init.pid").read_text())
        except (OSError, ValueError):
            return None
        start = start_time(pid)
        return (pid, start) if start is not None and (pid, start) in self.processes() else None

    def processes(self) -> list[tuple[int, int]]:
        """Return (pid, start time) of every process in the container's cgroups."""
        pids: set[int] = set()
        for folder in self.folders():
            for procs in folder.rglob("cgroup.procs"):
                pids.update(_numbers(procs))
        return [(pid, start) for pid in sorted(pids) if (start := start_time(pid)) is not None]

    def folders(self) -> list[Path]:
        """Return the container's cgroup in every hierarchy that has it: one on cgroup v2, a dozen on v1."""
        relative = self.cgroup.lstrip("/")
        found = [root / relative for root in (CGROUPS, *CGROUPS.iterdir()) if relative and (root / relative).is_dir()]
        return found


def containers(node: Node) -> list[Container]:
    """Return the containers of a node, running or not."""
    found: list[Container] = []
    for config in (node.run / BUNDLES).glob("*/config.json"):
        try:
            spec = json.loads(config.read_text())
        except (OSError, ValueError):
            continue
        kind = spec.get("annotations", {}).get("io.kubernetes.cri.container-type")
        found.append(Container(config.parent, spec.get("linux", {}).get("cgroupsPath", ""), kind == "sandbox"))
    return found


def stop(nodes: list[Node], grace: float) -> None:
    """Stop all containers of the nodes: SIGTERM to each first process, SIGKILL to what is left after `grace` seconds."""
    every = [container for node in nodes for container in containers(node)]
    mains = [main for container in every if not container.pauses and (main := container.main())]
    send(mains, signal.SIGTERM)
    wait_gone(mains, grace)
    for container in every:
        end(container.processes(), 0)


def remove_cgroups(nodes: list[Node]) -> None:
    """Remove the containers' empty cgroups."""
    for node in nodes:
        for container in containers(node):
            for folder in container.folders():
                for inner in _deepest_first(folder):
                    _remove(inner)


def remove_parents() -> None:
    """Remove the cgroup that all containers had in common, and what killed ones left in it; one with a process in it stays."""
    for root in (CGROUPS, *CGROUPS.iterdir()):
        for inner in _deepest_first(root / PARENT):
            _remove(inner, tries=1)


def _deepest_first(folder: Path) -> Iterator[Path]:
    for path, _, _ in os.walk(folder, topdown=False):
        yield Path(path)


def _remove(folder: Path, tries: int = 20) -> None:
    for _ in range(tries):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # The kernel empties a cgroup a moment after its last process has ended.
            time.sleep(0.02)
        else:
            return


def _numbers(path: Path) -> list[int]:
    try:
        return [int(line) for line in path.read_text().split()]
    except OSError:
        return []

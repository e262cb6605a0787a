"""Resident memory of control plane, node and the whole stack: the proportional share (PSS) of every process, summed.

    python -m bench.memory

It wants a sandbox that is up. What processes share (a server's shared memory, a library) is counted once.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from bench.figures import show
from cli.sandbox import opened
from sandbox.containers import containers
from sandbox.layout import nodes_up_to

LIMIT_GIB = 9
GIB = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    parts = measured()
    for part, size in sorted(parts.items(), key=lambda item: -item[1]):
        show(part, size / GIB, "GiB")
    show("control plane, nodes and stacks together", sum(parts.values()) / GIB, "GiB", LIMIT_GIB)


def measured() -> dict[str, int]:
    """Return the bytes of every part of the sandbox and of what runs on it."""
    parts: dict[str, int] = defaultdict(int)
    seen: set[int] = set()
    for number in nodes_up_to(3):
        for container in containers(number):
            annotations = _annotations(container.bundle)
            name = "pause containers" if container.pauses else _name(annotations)
            for pid, _ in container.processes():
                parts[name] += resident(pid)
                seen.add(pid)
    for process in opened().status().processes:
        for pid in [process.pid, *children(process.pid)] if process.pid else []:
            if pid not in seen:
                parts[f"sandbox: {process.name}"] += resident(pid)
                seen.add(pid)
    return parts


def working_set(namespace: str) -> int:
    """Return the bytes that all containers of a namespace hold and the kernel can not simply drop, as the kubelet counts them."""
    found = [
        memory(folder)
        for number in nodes_up_to(3)
        for container in containers(number)
        for folder in container.folders()
        if _annotations(container.bundle).get("io.kubernetes.cri.sandbox-namespace") == namespace
    ]
    return sum(found)


def memory(cgroup: Path) -> int:
    """Return the bytes of a cgroup without page cache that was not read lately; 0 in a hierarchy that does not count memory."""
    for usage, inactive in (("memory.usage_in_bytes", "total_inactive_file"), ("memory.current", "inactive_file")):
        if (cgroup / usage).is_file():
            stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            return int((cgroup / usage).read_text()) - int(stat[inactive])
    return 0


def resident(pid: int) -> int:
    """Return a process's proportional share of memory in bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        found += [one for child in direct for one in (child, *children(child))]
    return found


def _annotations(bundle: Path) -> dict[str, str]:
    return json.loads((bundle / "config.json").read_text()).get("annotations", {})


def _name(annotations: dict[str, str]) -> str:
    pod = annotations.get("io.kubernetes.cri.sandbox-name", "?")
    return f"{annotations.get('io.kubernetes.cri.sandbox-namespace', '?')}: {pod.split('-')[0] if pod.count('-') > 1 else pod}"


if __name__ == "__main__":
    main()

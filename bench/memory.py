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

LIMIT_GIB = 5
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
            annotations = json.loads((container.bundle / "config.json").read_text()).get("annotations", {})
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


def _name(annotations: dict[str, str]) -> str:
    pod = annotations.get("io.kubernetes.cri.sandbox-name", "?")
    return f"{annotations.get('io.kubernetes.cri.sandbox-namespace', '?')}: {pod.split('-')[0] if pod.count('-') > 1 else pod}"


if __name__ == "__main__":
    main()

"""`./sy render STACK` of a stack with every component: from the command to its last line, and the most memory that its processes had.

    python -m bench.render
    python -m bench.render --stack staging --as-it-is --runs 9

Memory is the proportional share (PSS) of every process it started, sampled fifty times a second.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench import everything
from bench.figures import show
from bench.memory import resident

LIMIT_SECONDS = 3
LIMIT_MB = 250
EVERY_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.render", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="production", help="the stack to render (default production)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="how often (default 5)")
    parser.add_argument("--as-it-is", action="store_true", help="leave the components off that the stack has not")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchyard-render-") as folder:
        everything.copy_checkout(Path(folder))
        if not words.as_it_is:
            print(f"components: {', '.join(everything.turn_on(Path(folder), words.stack))}")
        argv = [str(Path(folder) / "sy"), "render", words.stack]
        times, sizes = zip(*(measured(argv) for _ in range(words.runs)), strict=True)
    note = f"{min(times):.2f} to {max(times):.2f}"
    show(f"sy render {words.stack}, median of {words.runs}", statistics.median(times), "s", LIMIT_SECONDS, note=note)
    show("memory of all its processes, most of all runs", max(sizes) / 1e6, "MB", LIMIT_MB)


def measured(argv: list[str]) -> tuple[float, int]:
    """Return the seconds that a command took, and the most bytes that it and its descendants had at once."""
    began = time.monotonic()
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while running.poll() is None:
        most = max(most, sum(map(resident, family(running.pid))))
        time.sleep(EVERY_SECONDS)
    assert running.returncode == 0, f"{' '.join(argv)} ended with {running.returncode}"
    return time.monotonic() - began, most


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


if __name__ == "__main__":
    main()

"""A fleet of resellers: fifty stack files in a temporary root, all rendered, and each one's parity with the first.

    python -m bench.fleet
    python -m bench.fleet --stacks 10

Memory is the proportional share (PSS) of this process and every process it started, sampled ten times a second. Every pair is to be the
same without any allowance; a difference ends the run.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import yaml

from bench.figures import show
from bench.memory import resident
from bench.render import family
from cli.stack import Stack
from rendering import Rendered, render_all
from reports.allowances import Allowances
from reports.compare import compare
from reports.parity import verdict
from reports.releases import Ran
from reports.subject import Subject
from reports.text import parity
from tools.paths import ROOT

LIMIT_SECONDS = 60
LIMIT_PAIR_MS = 100
EVERY_SECONDS = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=50, metavar="N", help="how many forks (default 50)")
    count = parser.parse_args().stacks
    with tempfile.TemporaryDirectory(prefix="switchyard-fleet-") as folder:
        names = forks(Path(folder), count)
        with Most() as most:
            began = time.monotonic()
            made = render_all(names, Path(folder))
            rendered = time.monotonic() - began
            pairs = [same(names[0], name, made, Path(folder)) for name in names[1:]]
            took = time.monotonic() - began
            worked = processor_seconds()
    note = f"{rendered:.1f} s of it rendering, on {len(os.sched_getaffinity(0))} processors"
    show(f"{count} forks rendered, and parity of each", took, "s", LIMIT_SECONDS * count / 50, note=note)
    show(
        "parity of a pair, rendered already, median",
        statistics.median(pairs) * 1000,
        "ms",
        LIMIT_PAIR_MS,
        note=f"at most {max(pairs) * 1000:.0f}",
    )
    show(
        "processor time of all its processes",
        worked,
        "s",
        note="what it takes on a machine that does nothing else is this by its processors",
    )
    show("memory of all its processes, at the most", most.bytes / 1e6, "MB")


def forks(root: Path, count: int) -> list[str]:
    """Write the files of so many forks of production into `root`, and return their names."""
    (root / "settings").mkdir()
    shutil.copytree(ROOT / "settings" / "tiers", root / "settings" / "tiers")
    shutil.copy(ROOT / "product.yaml", root)
    names = [f"reseller-{number}" for number in range(1, count + 1)]
    for name in names:
        document = yaml.safe_load((ROOT / "Pulumi.production.yaml").read_text())
        document["config"]["switchyard:domain"] = f"lamps.{name}.example"
        (root / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    return names


def same(left: str, right: str, made: dict[str, Rendered], root: Path) -> float:
    """Return the seconds that the parity of a pair took; ends the run when they differ."""
    began = time.monotonic()
    ours, theirs = (Subject(made[name], Stack.load(name, root=root).settings) for name in (left, right))
    judged = verdict(compare(ours, theirs), Allowances("none"), Ran(left, {}, kept=False), date.today())
    took = time.monotonic() - began
    assert judged.holds, "\n".join(parity(judged))
    return took


def processor_seconds() -> float:
    """Return the processor time of this process, of every process below it, and of those that have ended there."""
    ticks = 0
    for pid in family(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # utime, stime, and those of children that were waited for.
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Most:
    """Watches how much memory this process and its children have at once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Most":
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.bytes = max(self.bytes, sum(map(resident, family(os.getpid()))))


if __name__ == "__main__":
    main()

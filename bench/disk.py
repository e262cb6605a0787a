"""Disk that Switchyard keeps, and what it took at the most.

    python -m bench.disk                               what is kept now
    python -m bench.disk --log FILE                    also the peak of a log that --watch wrote
    python -m bench.disk --watch FILE -- ./sy up       run a command, and log every few seconds what is used meanwhile

Counted are the cache and the state folder, a file with several names once.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import show
from tools.paths import ROOT, cache_dir, state_dir

KEPT_LIMIT_GIB, PEAK_LIMIT_GIB = 6, 20
GIB = 1 << 30
EVERY_SECONDS = 5.0
BLOCK = 512
"""The unit that the kernel counts a file's blocks in."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.disk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, metavar="FILE", help="a log of --watch, for the peak")
    parser.add_argument("--watch", type=Path, metavar="FILE", help="write a log while a command runs")
    parser.add_argument("command", nargs="*", help="the command to watch, after --")
    words = parser.parse_args()
    code = 0
    if words.watch:
        code = watch(words.watch, words.command)
    for folder in folders():
        show(f"kept in {folder}", used([folder]) / GIB, "GiB")
    show("kept together", used(folders()) / GIB, "GiB", KEPT_LIMIT_GIB)
    if log := words.log or words.watch:
        show("at the most", peak(log) / GIB, "GiB", PEAK_LIMIT_GIB)
    sys.exit(code)


def folders() -> list[Path]:
    """Return the folders that Switchyard writes to."""
    return [cache_dir(), state_dir()]


def used(paths: Sequence[Path]) -> int:
    """Return the bytes on disk of everything below `paths`, each file once, and nothing that is mounted there."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in paths:
        if not path.exists():
            continue
        device = path.stat().st_dev
        for entry in _below(path, device):
            if (entry.st_dev, entry.st_ino) not in seen:
                seen.add((entry.st_dev, entry.st_ino))
                total += entry.st_blocks * BLOCK
    return total


def _below(folder: Path, device: int) -> Iterator[os.stat_result]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        # Removed while we look: builds drop their caches.
        return
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if found.st_dev != device:
            continue
        yield found
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), device)


class Watch:
    """Logs what is used every few seconds, until it is stopped."""

    def __init__(self, log: Path, paths: Sequence[Path]) -> None:
        """Begin at once; every line of `log` is the time and the bytes."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(log, paths), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Log a last time and end."""
        self._stop.set()
        self._thread.join()

    def _run(self, log: Path, paths: Sequence[Path]) -> None:
        with log.open("w") as file:
            while True:
                last = self._stop.is_set()
                print(f"{time.time():.0f} {used(paths)}", file=file, flush=True)
                if last:
                    return
                self._stop.wait(EVERY_SECONDS)


def watch(log: Path, command: list[str]) -> int:
    """Run a command, log what is used meanwhile, and return its exit code."""
    watching = Watch(log, folders())
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    finally:
        watching.stop()


def peak(log: Path) -> int:
    """Return the most bytes that a log tells."""
    return max(int(line.split()[1]) for line in log.read_text().splitlines())


if __name__ == "__main__":
    main()

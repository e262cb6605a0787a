"""The first `./sy up` of all, with nothing built and nothing downloaded: minutes, the longest silence, the disk it takes.

    python -m bench.first_run --folder /var/tmp/first-run

It takes the better part of an hour and works in folders of its own, which it removes, so what has been built already stays. It
refuses while a sandbox is up: there can be one on a machine.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Queue
from typing import IO

from bench.disk import GIB, KEPT_LIMIT_GIB, PEAK_LIMIT_GIB, Watch, peak, used
from bench.figures import show
from sandbox.layout import BRIDGE
from sandbox.network import link_exists
from tools.paths import ROOT

MINUTES_LIMIT, SILENCE_LIMIT_S = 60, 10
FORGOTTEN = ("GOFLAGS", "GOCACHE", "GOMODCACHE", "VIRTUAL_ENV", "PYTHONPATH")
"""Variables of this process that would lend the run what is built already."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.first_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="a folder to make and work in (default: one below the system's temporary one)"
    )
    parser.add_argument("--keep", action="store_true", help="leave cache and state there")
    parser.add_argument("words", nargs="*", default=["up"], help="the command of `sy` to time (default: up)")
    words = parser.parse_args()
    if link_exists(BRIDGE):
        sys.exit("a sandbox is up: stop it first with `./sy sandbox down`")
    if words.folder:
        words.folder.mkdir(parents=True)
    folder: Path = words.folder or Path(tempfile.mkdtemp(prefix="switchyard-first-run-"))
    env = {key: value for key, value in os.environ.items() if key not in FORGOTTEN}
    env |= {"SWITCHYARD_CACHE": str(folder / "cache"), "SWITCHYARD_STATE": str(folder / "state")}
    try:
        code = measure(["./sy", *words.words], env, folder)
    finally:
        subprocess.run(["./sy", "sandbox", "down"], cwd=ROOT, env=env, check=False)
        if not words.keep:
            shutil.rmtree(folder)
    sys.exit(code)


def measure(command: list[str], env: dict[str, str], folder: Path) -> int:
    """Run the command, print its figures and return its exit code."""
    paths = [folder / "cache", folder / "state"]
    log = folder / "disk.log"
    watching = Watch(log, paths)
    began = time.monotonic()
    try:
        code, silence, after = run(command, env)
    finally:
        watching.stop()
    show(f"first `{' '.join(command)}` (exit code {code})", (time.monotonic() - began) / 60, "min", MINUTES_LIMIT)
    show("longest silence between two lines", silence, "s", SILENCE_LIMIT_S, note=f"after: {after[:60]}")
    show("disk at the most", peak(log) / GIB, "GiB", PEAK_LIMIT_GIB)
    show("disk kept", used(paths) / GIB, "GiB", KEPT_LIMIT_GIB)
    return code


def run(command: list[str], env: dict[str, str]) -> tuple[int, float, str]:
    """Run a command and pass its lines on; return its exit code, the longest silence in seconds, and the line before it."""
    lines: Queue[tuple[float, str] | None] = Queue()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
    assert process.stdout
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    last, last_line, silence, before = time.monotonic(), "", 0.0, ""
    while (said := lines.get()) is not None:
        moment, text = said
        if moment - last > silence:
            silence, before = moment - last, last_line
        last, last_line = moment, text.strip()
        print(text, end="", flush=True)
    return process.wait(), silence, before


def _read(stream: IO[str], lines: Queue[tuple[float, str] | None]) -> None:
    for line in stream:
        lines.put((time.monotonic(), line))
    lines.put(None)


if __name__ == "__main__":
    main()

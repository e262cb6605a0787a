"""How long `./sy up` takes once everything has been built: from a stopped sandbox, and with everything running.

    python -m bench.up             stops the sandbox, brings it up, and brings it up once more

The first run, which builds everything, is measured by bench.first_run.
"""

import argparse
import subprocess
import time

from bench.figures import show
from tools.paths import ROOT

STOPPED_LIMIT_S, RUNNING_LIMIT_S = 180, 15


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.up", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="how often (default 1)")
    parser.add_argument("--quiet", action="store_true", help="do not show what `sy` says")
    words = parser.parse_args()
    for _ in range(words.runs):
        took(["./sy", "sandbox", "down"], words.quiet)
        show("`sy up` on a stopped sandbox, to the alert read back", took(["./sy", "up"], words.quiet), "s", STOPPED_LIMIT_S)
        show("`sy up` with everything running", took(["./sy", "up"], words.quiet), "s", RUNNING_LIMIT_S)


def took(command: list[str], quiet: bool) -> float:
    """Run a command to its end and return the seconds that it took."""
    began = time.monotonic()
    subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL if quiet else None, stderr=subprocess.DEVNULL if quiet else None
    )
    return time.monotonic() - began


if __name__ == "__main__":
    main()

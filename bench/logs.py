"""From a line that a container writes to its being found in Loki, on a stack that is up and keeps its logs.

    python -m bench.logs
    python -m bench.logs --component sidekiq-alerts --lines 300

It lets a pod of the app write numbered lines, ten a second, and asks Loki for them five times a second. Then it prints what
lines take on Loki's disk: the share that settings/logs.py counts with (COMPRESSED) must not be less.
"""

import argparse
import re

from bench.figures import percentile, show
from bench.lines import Lines, latencies
from cli.kubectl import Kubectl
from cli.stack import DEFAULT
from cli.target import existing
from settings.logs import COMPRESSED
from tools.progress import Progress

LIMIT_SECONDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.logs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--component", default="web", help="the Deployment of the app whose pod writes (default web)")
    parser.add_argument("--lines", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--stack", default=DEFAULT, help="the stack (default sandbox)")
    words = parser.parse_args()
    progress = Progress()
    target = existing(words.stack, progress)
    progress.close()
    client = target.reached()
    keeper = target.stack.settings.logs.kept_in(client.namespace)
    if keeper is None:
        raise SystemExit(f"stack {words.stack} keeps no lines: say logs: {{where: cluster}}")
    lines = Lines(client, keeper)
    found = latencies(lines, words.component, words.lines)
    show("lines written", words.lines, "")
    show("of these found", len(found), "", note="" if len(found) == words.lines else "LOST")
    show("written to found, median", percentile(found, 0.5), "s")
    show("written to found, 95th percentile", percentile(found, 0.95), "s", LIMIT_SECONDS)
    show("written to found, longest", percentile(found, 1), "s")
    _disk(lines, Kubectl(client.program, client.cluster, keeper))


def _disk(lines: Lines, loki: Kubectl) -> None:
    """Print what Loki has stored for each byte that it was given, as its own metrics tell; chunks still in memory are left out."""
    with lines.loki() as asked:
        text = asked.text("/metrics")
    ratio = re.findall(r"^loki_ingester_chunk_compression_ratio_(sum|count)\S* (\S+)", text, re.MULTILINE)
    values = {name: float(value) for name, value in ratio}
    if values.get("count"):
        show(
            "bytes stored for each byte of lines",
            values["count"] / values["sum"],
            "",
            float(COMPRESSED),
            note=f"{loki.namespace}, flushed chunks",
        )
    else:
        print("bytes stored for each byte of lines: nothing has been written to the disk yet (chunks are, after half an hour)")


if __name__ == "__main__":
    main()

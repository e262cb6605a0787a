"""From a fall published over MQTT with TLS to its alert readable over HTTP, at 20 falls a second for a minute.

    python -m bench.latency
    python -m bench.latency --rate 40 --seconds 30

It wants a stack that is up (`./sy up`) and makes five lamps of its own in it. The reader asks for the newest alerts every
20 ms, so a figure is at most one question too high and never too low.
"""

import argparse

from bench.faults import flow
from bench.figures import show
from bench.load import running
from bench.opened import opened_installation

MEDIAN_LIMIT_MS, P99_LIMIT_MS = 300, 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=20, metavar="EVENTS", help="falls a second (default 20)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--lamps", type=int, default=5, help="lamps that fall, each with a connection of its own (default 5)")
    parser.add_argument("--stack", default="sandbox", help="the stack (default sandbox)")
    words = parser.parse_args()
    installation = opened_installation(words.stack)
    load = installation.load(installation.lamps(words.lamps), words.rate)
    with running(load):
        flow(load, words.seconds, words.rate)
        report = load.stop(60)
    show("falls published", len(report.events), "")
    show("of these acknowledged by the broker", len(report.acknowledged), "")
    show("published to readable, median", report.milliseconds(0.5), "ms", MEDIAN_LIMIT_MS)
    show("published to readable, 99th percentile", report.milliseconds(0.99), "ms", P99_LIMIT_MS)
    show("published to readable, longest", report.milliseconds(1), "ms")
    show("lost (acknowledged, and no alert)", len(report.lost), "", 0)
    show("doubled (more than one alert)", len(report.doubled) + installation.doubled(), "", 0)


if __name__ == "__main__":
    main()

"""Rotate the passwords of a stack's servers under load, and count what it cost: nothing is to fail, wait long or be lost.

    python -m bench.rotation                              all of the sandbox's own stack
    python -m bench.rotation postgres mqtt -s trial

It wants the demo product, up. While `./sy rotate` runs, lamps fall over MQTT (broker, consumer, Postgres, Sidekiq in Valkey), a phone reads
alerts (Postgres), a health check asks for Postgres, and somebody searches (Elasticsearch). The stack's file is left rotated.
"""

import argparse
import base64
import http.client
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.figures import show
from bench.installation import Installation
from bench.load import running
from bench.opened import opened_installation
from tools.paths import ROOT

FALLS_PER_SECOND = 10
SETTLED_SECONDS = 5.0
PATIENCE_SECONDS = 120.0
LONGEST_SECONDS = 5.0
"""How long nobody may be answered: about what a person takes for a slow page. A restart of a server takes ten and more."""


@dataclass
class Asker:
    """Somebody who asks the same thing again and again, each time over a connection of its own."""

    what: str
    url: str
    headers: Mapping[str, str]
    every: float
    answered: list[float] = field(default_factory=list[float])
    """When there was an answer that is no error (monotonic)."""
    failed: list[str] = field(default_factory=list[str])

    def ask(self, stop: threading.Event) -> None:
        """Ask until it is stopped."""
        place = urllib.parse.urlsplit(self.url)
        while not stop.is_set():
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=10)
                connection.request("GET", f"{place.path}?{place.query}", headers=dict(self.headers))
                status = connection.getresponse().status
                connection.close()
                if status == 200:
                    self.answered.append(time.monotonic())
                else:
                    self.failed.append(str(status))
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(type(error).__name__)
            stop.wait(max(0.0, began + self.every - time.monotonic()))

    @property
    def longest(self) -> float:
        """The longest time without an answer, in seconds."""
        return max((later - earlier for earlier, later in zip(self.answered, self.answered[1:], strict=False)), default=float("inf"))


@dataclass(frozen=True)
class Outcome:
    """What a rotation cost."""

    seconds: float
    code: int
    """The exit code of the rotation."""
    askers: list[Asker]
    lost: int
    doubled: int
    published: int
    acknowledged: int
    reconnected: int
    slowest: float
    """The longest time from a fall to its readable alert, in seconds."""

    @property
    def harmless(self) -> bool:
        """Whether nothing failed, and nothing was lost or told twice."""
        return not (self.code or self.lost or self.doubled or any(one.failed for one in self.askers)) and self.published > 0

    def print(self) -> None:
        """Print the figures."""
        show("the rotation", self.seconds, "s", note=f"exit code {self.code}")
        for one in self.askers:
            show(
                f"{one.what}: failed of {len(one.answered) + len(one.failed)}",
                len(one.failed),
                "",
                0,
                note=", ".join(sorted(set(one.failed))),
            )
            show(f"{one.what}: longest without an answer", one.longest, "s", LONGEST_SECONDS)
        show(f"falls lost of {self.acknowledged} acknowledged", self.lost, "", 0)
        show("falls told twice", self.doubled, "", 0)
        show("falls published and never acknowledged", self.published - self.acknowledged, "", 0)
        show("times that a lamp was cut off", self.reconnected, "", 0)
        show("from a fall to its alert, at worst", self.slowest, "s", LONGEST_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rotation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("services", nargs="*", default=["all"], help="as of `./sy rotate` (default: all)")
    parser.add_argument("-s", "--stack", default="sandbox", help="the stack (default: sandbox)")
    said = parser.parse_args()
    installation = opened_installation(said.stack)
    argv = [str(ROOT / "sy"), "rotate", *said.services, "--stack", said.stack, "--yes"]
    outcome = under_load(
        installation, installation.lamps(5), lambda: subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode
    )
    outcome.print()
    raise SystemExit(0 if outcome.harmless else 1)


def under_load(installation: Installation, lamps: Mapping[str, str], rotate: Callable[[], int]) -> Outcome:
    """Rotate under load, and return what it cost. `rotate` returns an exit code."""
    askers, stop = _askers(installation), threading.Event()
    load = installation.load(lamps, FALLS_PER_SECOND)
    with running(load):
        threads = [threading.Thread(target=one.ask, args=(stop,), daemon=True) for one in askers]
        for thread in threads:
            thread.start()
        time.sleep(SETTLED_SECONDS)
        began = time.monotonic()
        try:
            code = rotate()
        except KeyboardInterrupt:
            # What has been seen so far is told all the same.
            code = 130
        seconds = time.monotonic() - began
        time.sleep(SETTLED_SECONDS)
        stop.set()
        for thread in threads:
            thread.join()
        connections = load.connections
        report = load.stop(PATIENCE_SECONDS)
    return Outcome(
        seconds=seconds,
        code=code,
        askers=askers,
        lost=len(report.lost),
        doubled=len(report.doubled),
        published=len(report.events),
        acknowledged=len(report.acknowledged),
        reconnected=connections - len(lamps),
        slowest=max(report.latencies, default=float("inf")),
    )


def _askers(installation: Installation) -> list[Asker]:
    demo = installation.demo
    token = {"Authorization": f"Bearer {demo.passwords['DEMO_API_TOKEN']}"}
    admin = {"Authorization": f"Basic {base64.b64encode(('admin:' + demo.passwords['ADMIN_PASSWORD']).encode()).decode()}"}
    made = [
        Asker("a phone that reads alerts", f"{demo.web}/api/alerts?limit=1", token, 0.2),
        Asker("a health check (Postgres)", f"{demo.web}/health/ready", {}, 0.2),
    ]
    if any(name.startswith("ELASTICSEARCH") for name in demo.passwords):
        made.append(Asker("a search", f"{demo.web}/admin/search?q=fall", admin, 0.5))
    return made


if __name__ == "__main__":
    main()

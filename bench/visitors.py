"""Visitors of the edge: requests at a steady rate over kept and new connections, some of them spaced as far apart as idle connections live.

Every request is noted with what became of it. What is no expected answer within PATIENCE_SECONDS has failed, and nothing is tried again:
a kept connection that turns out to be closed is a failure, as it would be to a balancer in front.
"""

import http.client
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures import percentile
from cli.demo import NamedContext

PATIENCE_SECONDS = 20.0
EXPECTED = {"GET": 200, "POST": 404}
"""A page of the app, and its answer to a POST to where nothing is. A gateway that has lost its routes answers 404 to everything."""
NEW_EVERY = 10
"""So many requests go over one connection; then it is closed and a new one is made."""
POST_EVERY = 4
"""One in so many is a POST, which nobody may send twice."""


@dataclass(frozen=True)
class Way:
    """Where visitors connect to, and how they know that they are right there."""

    host: str
    port: int
    server_name: str
    authority: str | None
    """The authority that signed the certificate, as PEM; None: one that this machine knows."""

    def connection(self, *, source: str | None = None) -> http.client.HTTPSConnection:
        """Return a connection that is made with the first request."""
        context = NamedContext.trusting(self.authority, self.server_name) if self.authority else _known(self.server_name)
        # The place says where it connects from, the name whom it asks for.
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=PATIENCE_SECONDS, context=context, source_address=(source, 0) if source else None
        )


def _known(server_name: str) -> NamedContext:
    """Return a context that trusts the authorities of this machine."""
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.server_name = server_name
    return context


@dataclass
class Visits:
    """What became of all requests."""

    seconds: list[float] = field(default_factory=list[float])
    """Of each answered request, how long it took."""
    failures: Counter[str] = field(default_factory=Counter[str])
    """What went wrong, and how often."""

    @property
    def count(self) -> int:
        """All requests."""
        return len(self.seconds) + self.failures.total()

    def __str__(self) -> str:
        """Say it in one line."""
        wrong = "; ".join(f"{count} x {what}" for what, count in self.failures.most_common(4))
        took = f"median {percentile(self.seconds, 0.5) * 1000:.0f} ms, p99 {percentile(self.seconds, 0.99) * 1000:.0f} ms"
        longest = f"longest {percentile(self.seconds, 1) * 1000:.0f} ms"
        return f"{self.count} requests, {self.failures.total()} failed{f' ({wrong})' if wrong else ''}; {took}, {longest}"


class Visitor:
    """One visitor with one connection at a time."""

    def __init__(self, way: Way, visits: Visits, lock: threading.Lock, host: str | None = None) -> None:
        """Connect with the first request, asking for `host`: the certificate's name unless another is given."""
        self._way, self._visits, self._lock = way, visits, lock
        self._host = host or way.server_name
        self._connection = way.connection()

    def ask(self, method: str = "GET", path: str = "/health/live") -> None:
        """Send one request, wait for its answer and note what became of it."""
        began = time.monotonic()
        try:
            headers = {"Host": self._host, "Accept": "application/json"}
            self._connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers)
            answer = self._connection.getresponse()
            answer.read()
            wrong = "" if answer.status == EXPECTED[method] else f"{method} answered {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            wrong = f"{method}: {type(error).__name__} {error}".strip()
            self.leave()
        took = time.monotonic() - began
        with self._lock:
            if wrong:
                self._visits.failures[wrong] += 1
            else:
                self._visits.seconds.append(took)

    def leave(self) -> None:
        """Close the connection; the next request makes another."""
        self._connection.close()


class Crowd:
    """Visitors who ask at a steady rate until they are sent home."""

    def __init__(self, way: Way, per_second: float, visitors: int = 16) -> None:
        """Let nobody ask yet."""
        self.visits = Visits()
        self._lock = threading.Lock()
        self._away = threading.Event()
        pause = visitors / per_second
        self._threads = [
            threading.Thread(target=self._visit, args=(way, pause, number / per_second), daemon=True) for number in range(visitors)
        ]

    def __enter__(self) -> "Crowd":
        """Let them ask."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send them home, each after its last answer."""
        self._away.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS + 5)

    def _visit(self, way: Way, pause: float, late: float) -> None:
        visitor, number = Visitor(way, self.visits, self._lock), 0
        due = time.monotonic() + late
        while not self._away.wait(max(0.0, due - time.monotonic())):
            if number % NEW_EVERY == 0:
                visitor.leave()
            if number % POST_EVERY == 1:
                visitor.ask("POST", "/nowhere")
            else:
                visitor.ask()
            number += 1
            # Who was kept waiting does not make up for it with a burst.
            due = max(due + pause, time.monotonic())
        visitor.leave()


def spaced(way: Way, idle: Sequence[float], rounds: int, at_once: int = 8) -> Visits:
    """Let visitors ask again over a kept connection after each of these pauses, several at once so that as many connections lie idle.

    Nobody else must be asking meanwhile, or no connection behind the gateway would ever be idle.
    """
    visits, lock = Visits(), threading.Lock()
    visitors = [Visitor(way, visits, lock) for _ in range(at_once)]
    for pause in (0.0, *(pause for _ in range(rounds) for pause in idle)):
        time.sleep(pause)
        threads = [threading.Thread(target=visitor.ask) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for visitor in visitors:
        visitor.leave()
    return visits


def around(*seconds: float, within: float = 0.06) -> list[float]:
    """Return pauses just shorter than, as long as, and just longer than each of these."""
    return [pause for one in seconds for pause in (one - within, one - within / 10, one, one + within / 10, one + within)]

"""A Prometheus that runs, asked over a forwarded port: what it finds, what it asks, and which metrics there are."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from components.prometheus import COMPONENT, PORT
from tests.cluster.trial import Trial

SECONDS = 20
WATCHED_IMAGES = ("prometheus", "exporters", "kube-state-metrics", "alertmanager", "loki")
"""The images that metrics and logs bring."""


@dataclass(frozen=True)
class Sample:
    """One series and its value now."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Asked:
    """A Prometheus."""

    url: str

    def query(self, expression: str) -> list[Sample]:
        """Return what an expression is now."""
        found = self._data("query", {"query": expression})["result"]
        return [Sample(one["metric"], float(one["value"][1])) for one in found]

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that is one series; None when there is none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression}: {[one.labels for one in found]}"
        return found[0].value if found else None

    def targets(self) -> list[dict[str, Any]]:
        """Return all that it asks, with how that went."""
        return self._data("targets", {"state": "active"})["activeTargets"]

    def alert_rules(self) -> list[dict[str, Any]]:
        """Return the alert rules that it evaluates."""
        return [rule for group in self._data("rules", {"type": "alert"})["groups"] for rule in group["rules"]]

    def exposed_metrics(self) -> set[str]:
        """Return the names of all metrics of the last minutes."""
        since = time.time() - 300
        return set(self._data("label/__name__/values", {"start": f"{since:.0f}"}))

    def values_of(self, label: str) -> set[str]:
        """Return every value that a label has."""
        return set(self._data(f"label/{label}/values", {}))

    def _data(self, path: str, parameters: dict[str, str]) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=SECONDS) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]


@contextmanager
def asked(trial: Trial) -> Generator[Asked]:
    """Give the stack's Prometheus while the block runs."""
    with trial.kubectl.forwarded(COMPONENT, PORT) as url:
        yield Asked(url)


def eventually(condition: Callable[[], object], seconds: float, reason: Callable[[], object]) -> None:
    """Wait until a condition holds; AssertionError with the reason when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {reason()}"
        time.sleep(1)

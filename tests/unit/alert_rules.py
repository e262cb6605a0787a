"""The alert rules as the tests read them: files, alerts, and the settings' facts that they compare with."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from components.watch import RULES
from settings.loader import ROOT
from tests.unit.promql import metrics_of

CASES = ROOT / "tests" / "rules"
FILES = sorted(RULES.glob("*.yml"))


@dataclass(frozen=True)
class Alert:
    """One rule."""

    file: str
    name: str
    severity: str
    component: str
    expression: str
    seconds: int
    """How long its condition must hold."""
    annotations: dict[str, str]

    @property
    def absent(self) -> bool:
        """Whether it fires when nothing is measured at all: it compares with an expectation, or asks for absence."""
        return bool(re.search(r"absent\(|vector\(0\)|switchyard:\w+(\{[^}]*\})?[^\n]* unless", self.expression))

    @property
    def metrics(self) -> set[str]:
        """The names of the series that its expression reads."""
        return metrics_of(self.expression)


@cache
def alerts() -> tuple[Alert, ...]:
    """Return every rule of every file."""
    return tuple(
        _alert(file.stem, rule) for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
    )


def cases(file: str) -> list[dict[str, Any]]:
    """Return promtool's tests of one file of rules."""
    return yaml.safe_load((CASES / f"{file}.yml").read_text())["tests"]


def _alert(file: str, rule: dict[str, Any]) -> Alert:
    labels = rule["labels"]
    held = re.fullmatch(r"(\d+)([smh])", rule.get("for", "0s"))
    assert held
    seconds = int(held[1]) * {"s": 1, "m": 60, "h": 3600}[held[2]]
    return Alert(file, rule["alert"], labels["severity"], labels["component"], rule["expr"], seconds, rule["annotations"])

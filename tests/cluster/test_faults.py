"""Parts die while twenty falls a second arrive: every acknowledged fall has exactly one alert, counted."""

import pytest

from bench import faults
from bench.installation import Installation

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * name.endswith("pod-deleted")) for name in faults.FAULTS])
def test_every_acknowledged_fall_has_exactly_one_alert_although(installation: Installation, lamps: dict[str, str], name: str) -> None:
    outcome = faults.survive(installation, lamps, faults.FAULTS[name])
    print(outcome)
    assert len(outcome.report.acknowledged) >= 20 * (faults.BEFORE_SECONDS + faults.AFTER_SECONDS)
    assert outcome.harmless, str(outcome)


@pytest.mark.long
def test_postgres_may_be_away_while_the_consumer_connects_anew(installation: Installation, lamps: dict[str, str]) -> None:
    outcome = faults.survive(installation, lamps, faults.postgres_away(120), after=10)
    print(outcome)
    assert outcome.harmless, str(outcome)


def test_without_any_fault_everything_is_told_at_once(installation: Installation, lamps: dict[str, str]) -> None:
    outcome = faults.survive(installation, lamps, lambda _: None, before=5, after=10, patience=30)
    print(outcome)
    assert outcome.harmless, str(outcome)
    assert len(outcome.report.acknowledged) == len(outcome.report.events)

"""Alerts, end to end: every critical one is provoked by a real fault, arrives at a webhook receiver, and is over when all is mended."""

from collections.abc import Callable, Iterator

import pytest

from bench.alerts import ARRIVES_SECONDS, FAULTS, measure
from bench.broken import Broken, authority_key, large_volume
from bench.load import wait_until
from bench.receiver import Receiver, receiving, settings
from cli import sandbox as cli_sandbox
from tests.cluster.asking import WATCHED_IMAGES
from tests.cluster.trial import PRODUCT_IMAGES, WATCHED, Trial, overlay
from tests.engine.project import Project
from tests.unit.alert_rules import alerts
from tools.progress import Progress

LOST = ("ConsumerDown", "BrokerDown", "PostgresNoPrimary", "WebDown")
LOST_SECONDS = 120
"""From the fault to the receiver."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def broken(make_checkout: Callable[[], Project], receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    images = (*PRODUCT_IMAGES, "elasticsearch", *WATCHED_IMAGES)
    progress = Progress()
    started = cli_sandbox.start(None, images, progress)
    progress.close()
    said = overlay(WATCHED, {"alerts": settings(receiver.url)})
    trial = Trial("alarmed", make_checkout(), started, said, images)
    made: Broken | None = None
    try:
        trial.must_up()
        made = Broken(
            trial.installation,
            receiver,
            authority_key(trial.project.ok("stack", "export", "--show-secrets", "--stack", trial.name)),
            tmp_path_factory.mktemp("authority"),
        )
        made.installation.wait_serving()
        yield made
    finally:
        if made:
            large_volume(made)
        trial.destroy()


@pytest.fixture(scope="module")
def seconds(broken: Broken) -> dict[str, float]:
    """How long each alert took from its fault to the receiver."""
    return measure(broken)


def test_every_critical_alert_arrives_and_is_over_when_all_is_mended(seconds: dict[str, float]) -> None:
    held = {one.name: one.seconds for one in alerts()}
    for fault in FAULTS:
        print(f"{fault.alert:<24} for {held[fault.alert]:>3} s   arrived after {seconds[fault.alert]:6.1f} s   {fault.fault}")
    assert set(seconds) == {fault.alert for fault in FAULTS}


def test_each_arrives_within_a_minute_after_its_rule_has_held(seconds: dict[str, float]) -> None:
    held = {one.name: one.seconds for one in alerts()}
    late = {
        fault.alert: seconds[fault.alert]
        for fault in FAULTS
        if seconds[fault.alert] > held[fault.alert] + fault.condition + ARRIVES_SECONDS
    }
    assert late == {}


def test_lost_consumer_broker_postgres_and_web_are_told_of_within_two_minutes(seconds: dict[str, float]) -> None:
    assert {name: seconds[name] for name in LOST if seconds[name] > LOST_SECONDS} == {}


def test_the_heartbeat_came_all_the_time_but_while_alertmanager_was_away(seconds: dict[str, float], receiver: Receiver) -> None:
    gaps = [later - earlier for earlier, later in zip(receiver.heartbeats, receiver.heartbeats[1:], strict=False)]
    assert seconds and len(gaps) > 5 and max(gaps) < ARRIVES_SECONDS


def test_a_receiver_that_refuses_holds_up_no_other(seconds: dict[str, float], receiver: Receiver) -> None:
    assert receiver.refused is not None
    assert seconds["BrokerAlarm"] < ARRIVES_SECONDS * 2, "it was sent while the second receiver answered 500"


def test_the_stack_is_as_it_was_before(seconds: dict[str, float], broken: Broken) -> None:
    assert seconds
    # Falls that were published meanwhile have their alerts.
    wait_until(lambda: broken.installation.unalerted() == 0, 120, lambda: f"{broken.installation.unalerted()} falls without alert")

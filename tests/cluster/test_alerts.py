"""Alerts, end to end: every critical one is provoked by a real fault, arrives at a webhook receiver, and is over when all is mended."""

from collections.abc import Iterator

import pytest

from bench.alerts import ARRIVES_SECONDS, FAULTS, measure
from bench.broken import Broken, authority_key, large_volume
from bench.load import wait_until
from bench.receiver import Receiver
from cli import cluster
from cli import sandbox as cli_sandbox
from settings.loader import PROJECT
from tests.cluster.asking import Asked, asked, eventually
from tests.cluster.trial import Trial, overlay
from tests.unit.alert_rules import alerts
from tools.progress import Progress

pytestmark = pytest.mark.long

QUIET = {"Watchdog", "MqttSilent"}
"""What fires in a stack that is well, but has no device."""
TOLD_LATER = {"kube_job_failed", "kube_pod_container_status_last_terminated_reason", "loki_discarded_samples_total"}
"""Told only of a Job that failed, of a container that ended and was started again, and of lines that were refused."""
ENVOY = "envoy"
LOST = ("ConsumerDown", "BrokerDown", "PostgresNoPrimary", "WebDown")
LOST_SECONDS = 120
"""From the fault to the receiver."""


@pytest.fixture(scope="module")
def whole(watched: Trial) -> Iterator[Trial]:
    """The stack that is watched, with a way in for people."""
    progress = Progress()
    started = cli_sandbox.start(None, list(cluster.cluster_target.GATEWAY_IMAGES.values()), progress)
    cluster.refresh(watched.kubectl, progress, required=True, gateway=True)
    images = {key.removeprefix(f"{PROJECT}:"): value for key, value in started.embedded([ENVOY]).config().items()}
    try:
        watched.say(overlay(images, {"edge": {"where": "gateway", "replicas": 1, "resources": {"cpu": "20m"}}}))
        watched.must_up()
        watched.kubectl.wait_ready(progress)
        progress.close()
        yield watched
    finally:
        watched.say({})
        watched.must_up()


@pytest.fixture(scope="module")
def prometheus(whole: Trial) -> Iterator[Asked]:
    with asked(whole) as made:
        yield made


@pytest.fixture(scope="module")
def at_first(prometheus: Asked, receiver: Receiver) -> set[str]:
    """What fires before anything is done: until each target was found, what is expected seems to be missing."""
    eventually(lambda: "MqttSilent" in receiver.firing, 180, lambda: sorted(receiver.firing))
    eventually(lambda: bool(prometheus.query('probe_success{component="edge"} == 1')), 120, lambda: "nobody gets through to the edge")
    # Other tests may have restarted something.
    eventually(lambda: firing(prometheus) == QUIET, 120, lambda: firing(prometheus))
    return firing(prometheus)


@pytest.fixture(scope="module")
def seconds(at_first: set[str], whole: Trial, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, float]]:
    """How long each alert took from its fault to the receiver."""
    key = authority_key(whole.project.ok("stack", "export", "--show-secrets", "--stack", whole.name))
    broken = Broken(whole.installation, receiver, key, tmp_path_factory.mktemp("authority"))
    try:
        yield measure(broken)
    finally:
        large_volume(broken)


def firing(prometheus: Asked) -> set[str]:
    """Return the alerts that fire now."""
    return {one.labels["alertname"] for one in prometheus.query('ALERTS{alertstate="firing"}')}


def test_a_stack_that_is_well_tells_of_nothing(at_first: set[str]) -> None:
    assert at_first == QUIET, "no device has published yet"


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
    *others, longest = sorted(gaps)
    # The longest is Alertmanager's own absence: whoever watches for the heartbeat is to wait three minutes.
    assert seconds and len(others) > 5 and max(others) < ARRIVES_SECONDS and longest < 3 * 60


def test_a_receiver_that_refuses_holds_up_no_other(seconds: dict[str, float], receiver: Receiver) -> None:
    assert receiver.refused is not None
    assert seconds["BrokerAlarm"] < ARRIVES_SECONDS * 2, "it was sent while the second receiver answered 500"


def test_no_rule_reads_a_metric_that_the_stack_does_not_have(seconds: dict[str, float], prometheus: Asked) -> None:
    there = prometheus.exposed_metrics()
    loaded = {rule["name"] for rule in prometheus.alert_rules()}
    missing = {one.name: one.metrics - there - TOLD_LATER for one in alerts() if one.name in loaded and one.name not in seconds}
    assert {name: metrics for name, metrics in missing.items() if metrics} == {}


def test_nothing_fires_any_more_but_what_looks_back(seconds: dict[str, float], prometheus: Asked) -> None:
    lingering = {fault.alert for fault in FAULTS if fault.lingers} | {"Watchdog"}
    critical = {one.name for one in alerts() if one.severity == "critical"}
    eventually(lambda: (firing(prometheus) & critical) <= lingering, 120, lambda: firing(prometheus))
    assert seconds


def test_falls_that_were_published_meanwhile_have_their_alerts(seconds: dict[str, float], watched: Trial) -> None:
    assert seconds
    installation = watched.installation
    wait_until(lambda: installation.unalerted() == 0, 120, lambda: f"{installation.unalerted()} falls without alert")

"""Break each thing that a critical alert is about, and measure how long the alert takes to a webhook receiver.

    python -m bench.alerts            the stack `sandbox`; it must tell the receiver, and the command says how when it does not

It takes about five minutes and mends everything. Each line is an alert, with the seconds from the fault to the receiver; the limit is
60 s after the condition has held for as long as the rule wants.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.broken import (
    CRASHER,
    Broken,
    all_proxies,
    authority_key,
    crashing_pod,
    expiring_certificate,
    fill_redis,
    large_volume,
    lasting_certificate,
    no_proxies,
    questions,
    small_volume,
)
from bench.figures import show
from bench.installation import Installation
from bench.load import Lamp, wait_until
from bench.opened import opened_target
from bench.receiver import ALERTS, receiving, settings
from components.alertmanager import DEPENDENTS
from components.watch import RULES
from sandbox.layout import HOST
from settings.types import seconds_of

PORT = 9099
ARRIVES_SECONDS = 60
"""From the end of a rule's `for` to the receiver (issue: figures)."""
ARRIVE_SECONDS = 240
RESOLVE_SECONDS = 240
SERVERS = (
    "statefulset/postgres",
    "statefulset/mqtt",
    "statefulset/redis-jobs",
    "statefulset/elasticsearch",
    "deployment/kube-state-metrics",
)


@dataclass(frozen=True)
class Fault:
    """What is done for an alert."""

    alert: str
    fault: str
    condition: int = 0
    """Seconds that pass before the condition itself can hold, besides the rule's `for`: a job must have waited for a minute."""
    lingers: bool = False
    """Whether it ends only minutes after the fault, because it looks back."""


FAULTS = (
    Fault("ConsumerDown", "the consumer is scaled to 0"),
    Fault("QueueUnprocessed", "a fall is published that nobody reads"),
    Fault("SidekiqDown", "Sidekiq is scaled to 0"),
    Fault("SidekiqLatency", "a fall's job waits with no Sidekiq", condition=60),
    Fault("WebDown", "web is scaled to 0"),
    Fault("EdgeDown", "the edge's proxies are taken away", condition=30),
    Fault("WebErrors", "the table of alerts is renamed, and read", condition=20),
    Fault("PodCrashLooping", "a container ends with 1 at each start", condition=100),
    Fault("PostgresUnreachable", "who asks Postgres is scaled to 0"),
    Fault("BrokerAlarm", "the broker's disk limit is set above what is free"),
    Fault("RedisFull", "Valkey is filled to 98 %"),
    Fault("ElasticsearchRed", "an index is made that no node may have", condition=10),
    Fault("VolumeFull", "Alertmanager's volume of 16 MiB is filled"),
    Fault("MessagesNotDelivered", "a second receiver answers 500", condition=45, lingers=True),
    Fault("CertificateExpiresSoon", "the broker shows a certificate for two days", condition=30),
    Fault("CanaryLate", "web is scaled to 0, then the consumer", condition=80),
    Fault("MqttSilent", "no device publishes"),
    Fault("PostgresNoPrimary", "Postgres is scaled to 0"),
    Fault("BrokerDown", "the broker is scaled to 0"),
    Fault("RedisDown", "Valkey is scaled to 0"),
    Fault("ElasticsearchDown", "Elasticsearch is scaled to 0"),
    Fault("KubeStateMetricsDown", "kube-state-metrics is scaled to 0"),
)
"""A fault for every critical alert; a test compares them with the rules."""
PREPARED = {"MqttSilent", "CertificateExpiresSoon"}
"""What is on before anything else is broken."""
STOPPED = {"PostgresNoPrimary", "BrokerDown", "RedisDown", "ElasticsearchDown", "KubeStateMetricsDown"}


def measure(broken: Broken) -> dict[str, float]:
    """Break everything in turn, mend it, and return the seconds from fault to receiver of each alert that arrived.

    AssertionError when one does not arrive, or does not end.
    """
    broken.receiver.firing.clear()
    broken.receiver.resolved.clear()
    try:
        _prepare(broken)
        _hurt(broken)
        _stop(broken)
    finally:
        _mend(broken)
    _ended(broken)
    return {name: broken.receiver.firing[name] - began for name, began in broken.since.items() if name in broken.receiver.firing}


def _prepare(broken: Broken) -> None:
    installation = broken.installation
    [(serial, password)] = installation.lamps(1).items()
    broken.began("MqttSilent")
    small_volume(broken)
    expiring_certificate(broken)
    installation.run("rollout", "status", "statefulset/mqtt", "--timeout=110s")
    broken.began("CertificateExpiresSoon")
    broken.lamp = Lamp(installation.broker, serial, password)
    installation.wait_serving()
    # What the restarts of broker and Alertmanager have set off is over, the canary's fall among it.
    told = broken.receiver
    wait_until(lambda: set(told.firing) - set(told.resolved) <= PREPARED, 240, lambda: f"still on: {sorted(told.firing)}")
    for name in set(told.firing) - PREPARED:
        del told.firing[name], told.resolved[name]


def _hurt(broken: Broken) -> None:
    """Do all that can be done while the servers run."""
    installation = broken.installation
    broken.began("ElasticsearchRed", "SidekiqDown", "PostgresUnreachable", "EdgeDown")
    broken.search("Put")
    broken.scale("deployment/sidekiq-alerts", 0)
    broken.scale("deployment/postgres-exporter", 0)
    no_proxies(broken)
    broken.began("PodCrashLooping", "VolumeFull", "MessagesNotDelivered", "WebDown", "CanaryLate")
    crashing_pod(broken)
    broken.receiver.deaf = True
    broken.scale("deployment/web", 0)
    fill = ("dd", "if=/dev/zero", "of=/var/lib/alertmanager/filler", "bs=1M", "count=64")
    installation.run("exec", "alertmanager-0", "--container", "alertmanager", "--", *fill, check=False)
    broken.gone("sidekiq-alerts")
    stored = broken.fall()
    wait_until(
        lambda: installation.sql(f"select count(*) from events where uuid = '{stored}'") == "1", 60, lambda: "the fall was not stored"
    )
    broken.began("SidekiqLatency", "RedisFull", "ConsumerDown")
    fill_redis(broken)
    broken.scale("deployment/consumer", 0)
    broken.gone("consumer")
    broken.began("QueueUnprocessed")
    broken.fall()
    broken.began("BrokerAlarm")
    installation.run("exec", "mqtt-0", "--container", "mqtt", "--", "rabbitmqctl", "set_disk_free_limit", "100000GB")
    _arrived(broken, ["WebDown"])
    broken.scale("deployment/web", 1)
    installation.run("rollout", "status", "deployment/web", "--timeout=110s")
    with questions(broken):
        installation.sql("alter table alerts rename to alerts_away")
        broken.began("WebErrors")
        _arrived(broken, [one.alert for one in FAULTS if one.alert not in STOPPED])


def _stop(broken: Broken) -> None:
    """Stop the servers themselves. What depends on them is held back, so that comes before."""
    broken.installation.sql("alter table alerts_away rename to alerts")
    broken.redis("unlink", "filler")
    # A fall that waits must not be lost with the queue's reader: the broker keeps it.
    broken.began("PostgresNoPrimary", "BrokerDown", "RedisDown", "ElasticsearchDown", "KubeStateMetricsDown")
    for server in SERVERS:
        broken.scale(server, 0)
    _arrived(broken, sorted(STOPPED))


def _mend(broken: Broken) -> None:
    installation = broken.installation
    broken.receiver.deaf = False
    lasting_certificate(broken)
    all_proxies(broken)
    for workload in (*SERVERS, "deployment/web", "deployment/sidekiq-alerts", "deployment/postgres-exporter"):
        broken.scale(workload, 1)
    broken.scale("deployment/consumer", 2)
    installation.run("delete", "pod", f"{CRASHER}-0", "--ignore-not-found", "--wait=false")
    clear = ("exec", "alertmanager-0", "--container", "alertmanager", "--", "rm", "-f", "/var/lib/alertmanager/filler")
    installation.run(*clear, check=False)
    with contextlib.suppress(AssertionError):
        installation.wait_serving()
    with contextlib.suppress(AssertionError):
        broken.search("Delete")
    with contextlib.suppress(AssertionError, StopIteration):
        installation.sql("alter table if exists alerts_away rename to alerts")
    if broken.lamp:
        with contextlib.suppress(AssertionError):
            for _ in range(8):
                broken.fall()
        broken.lamp.close()


def _ended(broken: Broken) -> None:
    """Wait until the receiver was told that each alert is over."""
    # The end of what is held back just then is not told either.
    followers = {name for names in DEPENDENTS.values() for name in names}
    expected = {one.alert for one in FAULTS if not one.lingers} - followers
    wait_until(
        lambda: expected <= set(broken.receiver.resolved),
        RESOLVE_SECONDS,
        lambda: f"still on: {sorted(expected - set(broken.receiver.resolved))}",
    )
    large_volume(broken)


def _arrived(broken: Broken, alerts: Sequence[str]) -> None:
    wanted = set(alerts)
    limit = time.monotonic() + ARRIVE_SECONDS
    wait_until(
        lambda: wanted <= set(broken.receiver.firing),
        limit - time.monotonic(),
        lambda: f"did not arrive: {sorted(wanted - set(broken.receiver.firing))}",
    )


def main() -> None:
    """Break the stack that the command line names, and print a line for each alert."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.alerts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="sandbox", help="the stack (default sandbox)")
    name = parser.parse_args().stack
    target = opened_target(name)
    url = f"http://{HOST}:{PORT}"
    if not any(said.webhook and said.webhook.url == f"{url}{ALERTS}" for said in target.stack.settings.alerts.receivers.values()):
        said = json.dumps(settings(url))
        parser.error(
            f"stack {name} does not tell the receiver: say in Pulumi.{name}.yaml `switchyard:alerts: {said}`, then ./sy up -s {name}"
        )
    state = target.engine.capture([str(target.engine.program), "stack", "export", "--show-secrets", "--stack", name]).stdout
    with receiving(PORT) as receiver, tempfile.TemporaryDirectory() as folder:
        broken = Broken(Installation.of(target.reached(), target.outputs()), receiver, authority_key(state), Path(folder))
        try:
            took = measure(broken)
        finally:
            large_volume(broken)
    held = {rule["alert"]: seconds_of(rule["for"]) if "for" in rule else 0 for rule in rules()}
    for fault in FAULTS:
        limit = held[fault.alert] + fault.condition + ARRIVES_SECONDS
        show(fault.alert, took[fault.alert], "s", limit, note=f"{fault.fault}; for {held[fault.alert]} s")


def rules() -> list[dict[str, str]]:
    """Return all alert rules."""
    return [rule for file in RULES.glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


if __name__ == "__main__":
    main()

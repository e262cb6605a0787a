"""Kill a part of the stack while falls arrive, and count what became of each fall that the broker had acknowledged.

    python -m bench.faults                     every fault, one after the other, half a minute of load each
    python -m bench.faults --only postgres-away --away 120
    python -m bench.faults --node 2            cut a node off and mend it (needs `./sy sandbox up --nodes 2`)

It wants a stack that is up (`./sy up`). Each fault prints one line; a fall that was acknowledged and has no alert is lost,
one with two alerts is doubled: the limit of both is 0.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.figures import show
from bench.installation import Installation
from bench.load import Load, Report, running, wait_until
from bench.opened import opened_installation
from cli.sandbox import opened

BEFORE_SECONDS, AFTER_SECONDS = 5.0, 20.0
PATIENCE_SECONDS = 180.0
"""Until every acknowledged fall has its alert: a pod of a lost node is replaced after about a minute."""

Inject = Callable[[Installation], None]


@dataclass(frozen=True)
class Outcome:
    """What a fault left behind."""

    report: Report
    unalerted: int
    """Falls without an alert in the database, whoever published them."""
    doubled: int
    """Falls that the database has twice, or alerts twice."""

    @property
    def harmless(self) -> bool:
        """Whether every acknowledged fall has exactly one alert, by the API and by the database."""
        return not (self.report.lost or self.report.doubled or self.unalerted or self.doubled) and bool(self.report.acknowledged)

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.report}; database: {self.unalerted} falls without alert, {self.doubled} doubled"


def survive(
    installation: Installation,
    lamps: Mapping[str, str],
    inject: Inject,
    *,
    before: float = BEFORE_SECONDS,
    after: float = AFTER_SECONDS,
    patience: float = PATIENCE_SECONDS,
    per_second: float = 20,
) -> Outcome:
    """Let falls arrive, inject a fault among them, go on, wait until all is told, and count."""
    load = installation.load(lamps, per_second)
    with running(load):
        flow(load, before, per_second)
        inject(installation)
        flow(load, after, per_second)
        report = load.stop(patience)
    installation.wait_serving()
    wait_until(lambda: installation.unalerted() == 0 or bool(report.lost), 60, lambda: f"{installation.unalerted()} falls without alert")
    return Outcome(report, installation.unalerted(), installation.doubled())


def flow(load: Load, seconds: float, per_second: float) -> None:
    """Wait until so many seconds' worth of falls has been published."""
    wanted = load.count + int(seconds * per_second)
    wait_until(lambda: load.count >= wanted, seconds * 3 + 30, lambda: f"only {load.count} falls of {wanted} were published")


def kill_consumer(installation: Installation) -> None:
    """SIGKILL the consumer that reads."""
    installation.kill_processes(installation.active_consumer())


def delete_consumer(installation: Installation) -> None:
    """Delete the pod of the consumer that reads, without grace."""
    installation.kill_pod(installation.active_consumer())


def kill(component: str) -> Inject:
    """Return a fault: SIGKILL for every process of a component's first pod."""

    def inject(installation: Installation) -> None:
        installation.kill_processes(installation.ready_pods(component)[0])

    inject.__doc__ = f"SIGKILL every process of {component}."
    return inject


def delete(component: str) -> Inject:
    """Return a fault: a component's first pod is deleted without grace."""

    def inject(installation: Installation) -> None:
        installation.kill_pod(installation.ready_pods(component)[0])

    inject.__doc__ = f"Delete the pod of {component} without grace."
    return inject


def postgres_away(seconds: float) -> Inject:
    """Return a fault: no database for so long, and the consumer has to connect to the broker anew meanwhile."""

    def inject(installation: Installation) -> None:
        scale(installation, "statefulset/postgres", 0)
        wait_until(lambda: not installation.pods("postgres"), 120, lambda: "Postgres did not go")
        began = time.monotonic()
        for pod in installation.ready_pods("consumer"):
            installation.kill_processes(pod)
        while time.monotonic() - began < seconds:
            time.sleep(0.2)
        scale(installation, "statefulset/postgres", 1)

    inject.__doc__ = f"Take Postgres away for {seconds:.0f} s, and kill the consumers meanwhile."
    return inject


def scale(installation: Installation, workload: str, replicas: int) -> None:
    """Set the number of a workload's pods."""
    installation.run("scale", workload, f"--replicas={replicas}")


def node_cut(number: int, seconds: float) -> Inject:
    """Return a fault: the cable of a node is out for so long."""

    def inject(installation: Installation) -> None:
        sandbox = opened()
        sandbox.cut(number)
        try:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                time.sleep(0.2)
        finally:
            sandbox.mend(number)

    inject.__doc__ = f"Cut node {number} off for {seconds:.0f} s, then mend it."
    return inject


FAULTS: dict[str, Inject] = {
    "consumer-killed": kill_consumer,
    "consumer-pod-deleted": delete_consumer,
    "sidekiq-killed": kill("sidekiq-alerts"),
    "sidekiq-pod-deleted": delete("sidekiq-alerts"),
    "redis-killed": kill("redis-jobs"),
    "broker-killed": kill("mqtt"),
    "broker-pod-deleted": delete("mqtt"),
    "postgres-killed": kill("postgres"),
    "postgres-pod-deleted": delete("postgres"),
}


def spread(installation: Installation, node: str) -> list[str]:
    """Start the processes without volumes anew until some are on `node`; return the pods there."""

    def there() -> list[str]:
        pods = json.loads(installation.run("get", "pods", "--field-selector", f"spec.nodeName={node}", "--output", "json"))["items"]
        return [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]

    if not there():
        for component in ("consumer", "sidekiq-alerts", "web"):
            installation.run("rollout", "restart", f"deployment/{component}")
            installation.run("rollout", "status", f"deployment/{component}", "--timeout=110s")
    wait_until(lambda: bool(there()), 60, lambda: f"nothing of the stack runs on {node}")
    return there()


def main() -> None:
    """Run the faults that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[*FAULTS, "postgres-away", "node-cut"], action="append", help="only this fault; may be repeated")
    parser.add_argument("--away", type=float, default=120, metavar="SECONDS", help="how long Postgres is away (default 120)")
    parser.add_argument("--node", type=int, metavar="N", help="the node to cut off; without it no node is")
    parser.add_argument("--cut", type=float, default=90, metavar="SECONDS", help="how long the node is cut off (default 90)")
    parser.add_argument("--before", type=float, default=BEFORE_SECONDS, metavar="SECONDS", help="load before the fault")
    parser.add_argument("--after", type=float, default=AFTER_SECONDS, metavar="SECONDS", help="load after the fault")
    parser.add_argument("--rate", type=float, default=20, metavar="EVENTS", help="falls a second (default 20)")
    parser.add_argument("--stack", default="sandbox", help="the stack (default sandbox)")
    words = parser.parse_args()
    if "node-cut" in (words.only or []) and not words.node:
        parser.error("--only node-cut needs --node N: which node is to be cut off")
    installation = opened_installation(words.stack)
    lamps = installation.lamps()
    chosen = FAULTS | {"postgres-away": postgres_away(words.away)}
    if words.node:
        chosen["node-cut"] = node_cut(words.node, words.cut)
        spread(installation, f"node-{words.node}")
    for name in words.only or chosen:
        outcome = survive(installation, lamps, chosen[name], before=words.before, after=words.after, per_second=words.rate)
        print(f"{name}: {chosen[name].__doc__}\n    {outcome}", flush=True)
        show(f"{name}: lost", len(outcome.report.lost) + outcome.unalerted, "", 0)
        show(f"{name}: doubled", len(outcome.report.doubled) + outcome.doubled, "", 0)


if __name__ == "__main__":
    main()

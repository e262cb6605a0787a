"""Three nodes: a tainted pool takes the databases and keeps the rest out, a drained node empties in time and takes no quorum away.

And what replaces servers by the clock: the nightly restart, and the search for servers that are older than they should be.
"""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from bench import faults
from bench.installation import COMPONENT, Installation, is_ready
from bench.load import wait_until
from cli import sandbox as cli_sandbox
from cli.kubectl import Object
from cli.sandbox import Started
from cli.stale import wanted
from reports.stale import KINDS, stale
from tests.cluster.trial import BARE, PRODUCT_IMAGES, Trial, overlay
from tests.engine.project import Project
from tools.progress import Progress

pytestmark = pytest.mark.long

IMAGES = (*PRODUCT_IMAGES, "kubectl")
POOL, TAINT = "switchyard.dev/tests-pool", "tests-dedicated"
IN_POOL = {"node_selector": {POOL: "data"}, "tolerations": [{"key": TAINT, "value": "data", "effect": "NoSchedule"}]}
LAST = "node-3"
POOLED: dict[str, Any] = overlay(
    BARE,
    {
        "postgres": {"where": "cluster", "placement": IN_POOL},
        "redis": {"jobs": {"where": "cluster", "placement": IN_POOL}},
        "app": {"config": {"DATABASE_URL": None, "REDIS_URL": None}},
        "web": {"web": {"replicas": 2}},
        "restart": {"processes": ["web"]},
    },
)
WHOLE: dict[str, Any] = {
    "postgres": {"members": 3},
    "mqtt": {"members": 3},
    "web": {"web": {"replicas": 2}},
    "sidekiq": {"alerts": {"replicas": 2}},
}
QUORUMS = {"postgres": 2, "mqtt": 2}
EMPTY_SECONDS = 135
"""The longest grace period of what is on a node, 120 s, and what it takes to hear of its end."""


@pytest.fixture(scope="module")
def three_nodes(started: Started) -> Iterator[Started]:
    """The sandbox with three nodes, each in a zone of its own, and an image more."""
    had = len(started.sandbox.status().nodes)
    progress = Progress()
    made = cli_sandbox.start(max(had, 3), IMAGES, progress)
    try:
        yield made
    finally:
        if had < 3:
            cli_sandbox.start(had, PRODUCT_IMAGES, progress)
        progress.close()


@pytest.fixture(scope="module")
def pooled(three_nodes: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    """A small stack whose databases go to a pool of one node, which is tainted."""
    made = Trial("nodes-pool", make_checkout(), three_nodes, POOLED, IMAGES)
    try:
        run(made, "label", "node", LAST, f"{POOL}=data", "--overwrite")
        run(made, "taint", "node", LAST, f"{TAINT}=data:NoSchedule", "--overwrite")
        made.must_up()
        ready(made)
        yield made
    finally:
        made.destroy()
        run(made, "taint", "node", LAST, f"{TAINT}-")
        run(made, "label", "node", LAST, f"{POOL}-")


@pytest.fixture(scope="module")
def whole(three_nodes: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    """The product with three members of what needs a majority, on three nodes that take all of it."""
    made = Trial("nodes-whole", make_checkout(), three_nodes, WHOLE)
    # What is there already stays there.
    run(made, "taint", "node", LAST, f"{TAINT}-")
    try:
        made.must_up()
        made.installation.wait_serving()
        yield made
    finally:
        made.destroy()


def run(trial: Trial, *words: str, seconds: float = 200) -> str:
    done = subprocess.run(trial.kubectl.argv(*words), capture_output=True, text=True, timeout=seconds, check=False)
    return done.stdout + done.stderr


def pods(trial: Trial) -> list[Object]:
    """The pods that run or wait to run, and are not on their way out."""
    found = trial.kubectl.get("pods")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")]


def of(trial: Trial, component: str) -> list[Object]:
    return [pod for pod in pods(trial) if pod["metadata"]["labels"][COMPONENT] == component]


def nodes_of(trial: Trial, component: str) -> Counter[str]:
    return Counter(pod["spec"].get("nodeName", "") for pod in of(trial, component))


def ready(trial: Trial) -> None:
    wait_until(lambda: all(map(is_ready, pods(trial))), 180, lambda: run(trial, "get", "pods", "-o", "wide"))


def ended(trial: Trial, job: str) -> str:
    """How a Job ended: Complete or Failed."""

    def conditions() -> list[str]:
        found = trial.kubectl.get("job", job)["status"].get("conditions") or []
        return [one["type"] for one in found if one["status"] == "True" and one["type"] in ("Complete", "Failed")]

    wait_until(lambda: bool(conditions()), 150, lambda: run(trial, "get", "pods"))
    return conditions()[0]


def old(trial: Trial) -> list[str]:
    """What `sy stale` finds, without what a rollout is just replacing."""
    objects = trial.kubectl.get(KINDS)["items"]
    return [f"{one.component}: {one.reason}" for one in stale(objects, wanted(trial.settings), datetime.now(UTC)) if not one.rolling]


class TestPool:
    def test_it_takes_the_databases_and_keeps_the_rest_out(self, pooled: Trial) -> None:
        assert nodes_of(pooled, "postgres") == nodes_of(pooled, "redis-jobs") == {LAST: 1}
        elsewhere = nodes_of(pooled, "web")
        assert LAST not in elsewhere
        # Two that are alike are on the two nodes that are left.
        assert sorted(elsewhere.values()) == [1, 1]

    def test_a_placement_that_no_node_satisfies_is_said_by_the_preview_and_refused_by_the_update(self, pooled: Trial) -> None:
        try:
            pooled.say({"web": {"web": {"placement": {"node_selector": {POOL: "spare"}}}}})
            sentence = f"web.web.placement: no node has the label {POOL}=spare (web)"
            preview = pooled.project.pulumi("preview", "--stack", pooled.name)
            assert preview.code == 0 and sentence in " ".join(preview.text.split()), preview.text
            before = run(pooled, "get", "deployment", "web", "-o", "jsonpath={.metadata.generation}")
            refused = pooled.up()
            assert refused.code != 0 and sentence in " ".join(refused.text.split()), refused.text
            assert run(pooled, "get", "deployment", "web", "-o", "jsonpath={.metadata.generation}") == before
        finally:
            pooled.say({})


class TestRestart:
    def test_it_replaces_every_pod_of_the_process_and_no_other_and_an_update_sees_no_change(self, pooled: Trial) -> None:
        before = {component: {pod["metadata"]["uid"] for pod in of(pooled, component)} for component in ("web", "postgres", "redis-jobs")}
        assert "created" in run(pooled, "create", "job", "tonight", "--from=cronjob/restart")
        assert ended(pooled, "tonight") == "Complete", run(pooled, "logs", "job/tonight", "--all-containers")
        after = {component: {pod["metadata"]["uid"] for pod in of(pooled, component)} for component in before}
        assert not before["web"] & after["web"] and len(after["web"]) == 2
        assert {key: uids for key, uids in after.items() if key != "web"} == {key: uids for key, uids in before.items() if key != "web"}
        assert sorted(nodes_of(pooled, "web").values()) == [1, 1]
        clean = pooled.project.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", pooled.name)
        assert clean.code == 0, clean.text

    def test_its_account_may_patch_that_deployment_and_nothing_else(self, pooled: Trial) -> None:
        account = f"--as=system:serviceaccount:{pooled.namespace}:restart"
        asked = {
            ("patch", "deployments/web"): "yes",
            ("patch", "deployments/consumer"): "no",
            ("patch", "deployments"): "no",
            ("delete", "deployments/web"): "no",
            ("patch", "statefulsets/postgres"): "no",
            ("get", "secrets"): "no",
            ("create", "pods"): "no",
        }
        assert {words: run(pooled, "auth", "can-i", *words, account).split()[0] for words in asked} == asked


class TestStale:
    def test_servers_of_an_earlier_revision_are_found_once_their_rollout_stands_still(self, pooled: Trial) -> None:
        assert old(pooled) == []
        try:
            run(pooled, "set", "image", "deployment/web", "app=10.118.0.1:5000/none@sha256:" + "0" * 64)
            wait_until(lambda: len(of(pooled, "web")) == 3, 30, lambda: run(pooled, "get", "pods"))
            assert [line for line in old(pooled) if "revision" in line] == []
            run(pooled, "rollout", "pause", "deployment/web")
            found = old(pooled)
            assert sum("is of revision" in line and "the rollout is paused" in line for line in found) == 2
        finally:
            run(pooled, "rollout", "resume", "deployment/web")
            run(pooled, "rollout", "undo", "deployment/web")
        wait_until(lambda: old(pooled) == [], 60, lambda: str(old(pooled)))


class Watch:
    """Counts the ready members of what needs a majority, again and again, until it is stopped."""

    def __init__(self, installation: Installation) -> None:
        self.least = dict.fromkeys(QUORUMS, 99)
        self.looks = 0
        self._installation = installation
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            found = self._installation.objects("pods")
            members = [pod["metadata"]["labels"][COMPONENT] for pod in found if is_ready(pod)]
            self.least = {name: min(least, members.count(name)) for name, least in self.least.items()}
            self.looks += 1


@pytest.mark.long
class TestDrain:
    def test_pods_of_one_kind_are_on_nodes_and_in_zones_of_their_own(self, whole: Trial) -> None:
        counts = {component: sorted(nodes_of(whole, component).values()) for component in (*QUORUMS, "web", "consumer", "sidekiq-alerts")}
        assert counts == {"postgres": [1, 1, 1], "mqtt": [1, 1, 1], "web": [1, 1], "consumer": [1, 1], "sidekiq-alerts": [1, 1]}

    def test_a_drained_node_is_empty_in_time_takes_no_majority_away_and_loses_no_fall(self, whole: Trial) -> None:
        installation = whole.installation
        leader = next(pod for pod in installation.pods("postgres") if pod["metadata"]["labels"].get("role") in ("primary", "master"))
        node = str(leader["spec"]["nodeName"])
        jobs = str(installation.pods("redis-jobs")[0]["spec"]["nodeName"])
        took: list[float] = []

        def drain(_: Installation) -> None:
            began = time.monotonic()
            words = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={EMPTY_SECONDS}s")
            namespace = f"--pod-selector=app.kubernetes.io/instance={whole.name}"
            said = run(whole, "drain", node, namespace, *words)
            took.append(time.monotonic() - began)
            assert f"node/{node} drained" in said, said
            assert [pod for pod in pods(whole) if pod["spec"].get("nodeName") == node] == []
            # What has no volume there is up again before the node is; but Sidekiq starts only where it finds its jobs, and this sandbox's
            # volumes stay on their node.
            moved = ("web", "consumer") if jobs == node else ("web", "consumer", "sidekiq-alerts")
            wait_until(lambda: all(len(installation.ready_pods(name)) == 2 for name in moved), 90, lambda: run(whole, "get", "pods"))
            run(whole, "uncordon", node)

        lamps = installation.lamps(3)
        try:
            with Watch(installation) as watch:
                outcome = faults.survive(installation, lamps, drain, after=5)
        finally:
            run(whole, "uncordon", node)
        print(f"node {node}, with the database's primary, was empty after {took[0]:.0f} s; least ready {watch.least}; {outcome}")
        assert took[0] < EMPTY_SECONDS
        assert watch.looks > 10 and all(watch.least[name] >= least for name, least in QUORUMS.items()), watch.least
        assert outcome.harmless, str(outcome)

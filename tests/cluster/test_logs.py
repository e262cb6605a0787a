"""Lines from a container to Loki on a real cluster: none is lost when a pod, the collector or Loki dies; a flood harms nobody else."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from click.testing import CliRunner

from bench.lines import Lines
from bench.load import wait_until
from cli import cluster, cluster_target, logs
from cli import sandbox as cli_sandbox
from cli.kubectl import Kubectl
from settings.logs import CLUSTER_NAMESPACE
from tests.cluster import left_behind
from tests.cluster.trial import BARE, PRODUCT_IMAGES, Trial, overlay
from tests.engine.project import Project
from tools.progress import Progress

pytestmark = pytest.mark.long

IMAGES = (*PRODUCT_IMAGES, "loki", "otel-collector")
SLEEPS = {"command": ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"], "resources": {"cpu": "10m", "memory": "64Mi"}}
"""A process that does nothing until a test lets it write."""
OTHER = "lamp-logs-shared"
FOUND_SECONDS = 60
QUICK_SECONDS = 5
"""How soon a line must be found while another pod writes too much."""


@dataclass(frozen=True)
class Logging:
    """A stack with Loki, a namespace that shares it, and the cluster's collector."""

    trial: Trial
    lines: Lines
    of_others: Lines

    def run(self, *words: str, client: Kubectl | None = None) -> str:
        done = subprocess.run((client or self.trial.kubectl).argv(*words), capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def clusterwide(self) -> Kubectl:
        return Kubectl(self.trial.kubectl.program, self.trial.kubectl.cluster, CLUSTER_NAMESPACE)

    def counter(self, name: str, reason: str) -> float:
        """Return a counter of Loki's for the stack's tenant."""
        with self.lines.loki() as loki:
            told = [line for line in loki.text("/metrics").splitlines() if line.startswith(name) and f'reason="{reason}"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in told if self.trial.namespace in line)


def shared(keeper: str, image: str) -> list[dict[str, Any]]:
    """Return a stack that shares a Loki, as far as the collector knows stacks: a namespace that says so, and a pod that writes."""
    labels = {"switchyard.dev/stack": "lamp.logs-shared", "switchyard.dev/logs": keeper}
    container = {"name": "app", "image": image, "command": SLEEPS["command"]}
    pods = {"metadata": {"labels": {"app": "quiet"}}, "spec": {"containers": [container]}}
    about = {"name": OTHER, "labels": labels, "annotations": {"switchyard.dev/components": "quiet"}}
    deployment = {"selector": {"matchLabels": {"app": "quiet"}}, "template": pods}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": about},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "quiet", "namespace": OTHER}, "spec": deployment},
    ]


@pytest.fixture(scope="module")
def logging(make_checkout: Callable[[], Project]) -> Iterator[Logging]:
    progress = Progress()
    started = cli_sandbox.start(None, IMAGES, progress)
    said = {"processes": {"indexer": None, "noisy": SLEEPS, "quiet": SLEEPS}, "logs": {"where": "cluster"}}
    trial = Trial(
        "logs-trial", make_checkout(), started, overlay(BARE, said | {"images": {"pinned": {"loki": started.references["loki"]}}})
    )
    client = trial.kubectl
    other = replace(client, namespace=OTHER)
    try:
        left_behind.note(OTHER)
        listed = {"apiVersion": "v1", "kind": "List", "items": shared(trial.namespace, started.references["lamp"])}
        apply(client, listed)
        trial.must_up()
        cluster.refresh(client, progress, required=True)
        yield Logging(trial, Lines(client, trial.namespace), Lines(other, trial.namespace))
    finally:
        subprocess.run(client.argv("delete", "namespace", OTHER, "--wait=false"), capture_output=True, check=False)
        trial.destroy()
        left_behind.forget(OTHER)
        cluster.refresh(client, progress, required=False)
        progress.close()


def apply(client: Kubectl, objects: dict[str, Any]) -> None:
    argv = [*client.cluster_argv(), "apply", "--filename", "-"]
    done = subprocess.run(argv, input=json.dumps(objects), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_line_written_before_a_pod_is_killed_is_found_afterwards(logging: Logging) -> None:
    [pod] = logging.run("get", "pods", "-l", "app.kubernetes.io/component=web", "-o", "jsonpath={.items[*].metadata.name}").split()
    mark = logging.lines.write("web", 100)
    logging.run("delete", f"pod/{pod}", "--grace-period=0", "--force")
    assert logging.lines.wait(mark, 100, FOUND_SECONDS) == set(range(100))
    assert {line.pod for line in logging.lines.found(mark)} == {pod}


def test_no_line_is_lost_or_doubled_when_loki_and_the_collector_are_killed(logging: Logging) -> None:
    writing, mark = logging.lines.start("noisy", 4000, rate=250)
    time.sleep(2)
    logging.run("delete", "pods", "-l", "app.kubernetes.io/component=collector", "--grace-period=0", "--force", client=logging.clusterwide)
    time.sleep(4)
    logging.run("delete", "pod/loki-0", "--grace-period=0", "--force")
    assert writing.wait(60) == 0
    assert logging.lines.wait(mark, 4000, FOUND_SECONDS) == set(range(4000))
    assert len(logging.lines.found(mark)) == 4000


def test_a_loki_that_is_away_for_as_long_as_was_computed_costs_no_line(logging: Logging) -> None:
    files = cluster_target.on_sandbox(logging.trial.kubectl, Progress()).log_files()
    assert (files.size, files.count) == ("10Mi", 3)
    # 20 MB in 20 s: the queue takes 11 of them, the rest waits in the container's files.
    logging.run("scale", "statefulset/loki", "--replicas=0")
    logging.run("wait", "--for=delete", "pod/loki-0", "--timeout=90s")
    mark = logging.lines.write("noisy", 100_000, rate=5000, size=200)
    quiet = logging.lines.write("quiet", 10)
    logging.run("scale", "statefulset/loki", "--replicas=1")
    logging.run("rollout", "status", "statefulset/loki", "--timeout=120s")
    assert logging.lines.wait(quiet, 10, FOUND_SECONDS) == set(range(10))
    assert len(logging.lines.wait(mark, 100_000, 2 * FOUND_SECONDS)) == 100_000


def test_ten_thousand_lines_a_second_of_one_pod_are_limited_and_counted_and_anothers_still_arrive(logging: Logging) -> None:
    before = logging.counter("loki_discarded_samples_total", "per_stream_rate_limit")
    writing, _ = logging.lines.start("noisy", 200_000, rate=10_000, size=200)
    time.sleep(8)
    for lines in (logging.lines, logging.of_others):
        mark = lines.write("quiet", 20)
        began = time.monotonic()
        assert lines.wait(mark, 20, FOUND_SECONDS) == set(range(20))
        assert time.monotonic() - began < QUICK_SECONDS
    writing.wait(60)
    assert logging.counter("loki_discarded_samples_total", "per_stream_rate_limit") > before


def test_a_line_of_ten_megabytes_is_cut_and_counted_and_the_next_one_arrives(logging: Logging) -> None:
    before = logging.counter("loki_mutated_samples_total", "line_too_long")
    logging.lines.say("quiet", '"INFO long-line " + "y" * 10_000_000 + "\\n" + "INFO after the long line\\n"')
    wait_until(lambda: bool(logging.lines.found("INFO after the long line")), FOUND_SECONDS, lambda: "not found")
    [begin] = logging.lines.found("INFO long-line")
    assert len(begin.text) == 256 * 1024
    assert logging.counter("loki_mutated_samples_total", "line_too_long") - before >= 9


def test_bytes_that_are_no_text_are_replaced_and_marked(logging: Logging) -> None:
    logging.lines.say("quiet", '"INFO broken \\xff\\xfe text\\n".b')
    wait_until(lambda: bool(logging.lines.found("INFO broken")), FOUND_SECONDS, lambda: "not found")
    [line] = logging.lines.found("INFO broken")
    assert line.text == "INFO broken \ufffd\ufffd text"
    with logging.lines.loki() as loki:
        counting = 'sum(count_over_time({component="quiet"} | damaged="utf-8" [10m]))'
        [counted] = loki.ask("/loki/api/v1/query", query=counting)["data"]["result"]
    assert int(counted["value"][1]) >= 1


def test_stacks_that_share_a_loki_do_not_see_each_others_lines(logging: Logging) -> None:
    mine, theirs = logging.lines.write("quiet", 5), logging.of_others.write("quiet", 5)
    assert logging.lines.wait(mine, 5, FOUND_SECONDS) == logging.of_others.wait(theirs, 5, FOUND_SECONDS) == set(range(5))
    assert logging.lines.found(theirs) == logging.of_others.found(mine) == []


class TestCommand:
    """`sy logs` for the trial's stack: its file is in a checkout of its own, so what it would read there is handed to it."""

    def print(self, logging: Logging, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[list[str], str]:
        from cli.stack import Stack

        stack = Stack.load(logging.trial.name, root=logging.trial.project.folder)
        target = type("Known", (), {"stack": stack, "reached": lambda _: logging.trial.kubectl})()
        monkeypatch.setattr(logs.Stack, "open", lambda name: stack)
        monkeypatch.setattr(logs, "existing", lambda name, progress: target)
        done = CliRunner().invoke(logs.command, list(words))
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines(), done.stderr

    def test_it_asks_loki_and_the_cluster_when_loki_is_away(self, logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
        mark = logging.lines.write("quiet", 30)
        logging.lines.wait(mark, 30, FOUND_SECONDS)
        words = ("quiet", "--since", "10m", "--grep", mark)
        from_loki, said_by_loki = self.print(logging, monkeypatch, *words)
        assert [int(line.split()[4]) for line in from_loki] == list(range(30))
        assert "from Loki of namespace lamp-logs-trial" in said_by_loki
        logging.run("scale", "statefulset/loki", "--replicas=0")
        logging.run("wait", "--for=delete", "pod/loki-0", "--timeout=90s")
        try:
            from_cluster, said_by_cluster = self.print(logging, monkeypatch, *words)
        finally:
            logging.run("scale", "statefulset/loki", "--replicas=1")
        assert from_cluster == from_loki
        assert "does not answer" in said_by_cluster and "asking the cluster" in said_by_cluster

"""A testing stack's life on a real cluster, by the scripts of CI alone: made, stopped in the middle, drifted, mended, and removed."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cli import kubectl, machine
from cli.environment import users
from cli.kubectl import Kubectl
from cli.sandbox import Started
from settings.loader import PROJECT
from settings.stack import Cluster
from tests.cluster import left_behind
from tests.cluster.trial import BARE, PRODUCT_IMAGES, overlay
from tests.engine.machine import Machine

DOMAIN = "pulls.example"
NUMBER, STOPPED = "4001", "4002"
"""Of pull requests that nobody has."""
STOP_SECONDS = 60
POLL_SECONDS = 0.2
POLICY = "app-web-edge"
REPLICAS = "2"
"""Of the product's web process, where neither stack nor tier says it."""


@dataclass(frozen=True)
class Testing:
    """One testing stack, and the CI machine that works on it."""

    __test__ = False

    machine: Machine
    kubectl: Kubectl
    number: str

    @property
    def name(self) -> str:
        return f"pr-{self.number}"

    @property
    def states(self) -> list[Path]:
        """What the backend keeps of the stack: its state and its locks."""
        kept = (self.machine.home / "states" / ".pulumi").glob(f"[ls]*/**/{self.name}*")
        return [path for found in kept for path in [found, *found.rglob("*")] if path.is_file()]

    def is_locked(self) -> bool:
        return any("/locks/" in str(path) for path in self.states)

    def read(self, *words: str) -> str:
        """Return what kubectl says, as the cluster's administrator."""
        done = subprocess.run(self.kubectl.argv(*words), env=users(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self) -> str:
        return self.machine.ok("ci/testing-stack", "up", self.number)

    def down(self) -> None:
        self.machine.ok("ci/testing-stack", "down", self.number)

    def stop_in_the_middle(self) -> tuple[int, str]:
        """Begin `up` in a machine that knows nothing of the stack, send one SIGINT while a pod is waited for, and return how it ended."""
        log = self.machine.home / f"{self.name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["ci/testing-stack", "up", self.number],
                cwd=self.machine.checkout,
                env=self.machine.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                while not self.read("get", "deployment", "web", "--ignore-not-found", "--output", "name"):
                    assert process.poll() is None, log.read_text()
                    time.sleep(POLL_SECONDS)
                assert self.is_locked()
                # As a runner does: to the process that it started, and to no other.
                process.send_signal(signal.SIGINT)
                return process.wait(STOP_SECONDS), log.read_text()
            finally:
                process.kill()
                process.wait()

    def remove_what_is_left(self) -> None:
        """Make sure that a test that failed leaves nothing on the cluster."""
        if self.states:
            self.machine.run("./sy", "pulumi", "-s", self.name, "cancel", "--yes")
            self.machine.run("ci/testing-stack", "down", self.number)
        subprocess.run(
            self.kubectl.argv("delete", "namespace", f"lamp-{self.name}", "--ignore-not-found", "--timeout=120s"),
            env=users(),
            capture_output=True,
            check=True,
        )
        left_behind.forget(f"lamp-{self.name}")


def staging(started: Started) -> Mapping[str, object]:
    """Return what staging says in a product of one web process: its cluster is the sandbox's, reached as CI reaches any cluster."""
    added = started.embedded(PRODUCT_IMAGES).config()
    cluster = {key: value for key, value in added.pop(f"{PROJECT}:cluster").items() if key != "kubeconfig"}
    said = {"tier": "staging", "domain": f"staging.{DOMAIN}", "cluster": {"identifier": "company-testing", **cluster}}
    base = overlay(said, {key.removeprefix(f"{PROJECT}:"): value for key, value in added.items()})
    return {f"{PROJECT}:{key}": value for key, value in overlay(base, BARE).items()}


@pytest.fixture(scope="module")
def make_testing(started: Started, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Testing]]:
    """Make testing stacks, each known to a machine of its own."""
    made: list[Testing] = []
    program = kubectl.find(machine.find_built("kubectl"))

    def make(number: str) -> Testing:
        more = {"KUBECONFIG": str(started.sandbox.kubeconfig), "TESTING_DOMAIN": DOMAIN}
        ci = Machine(tmp_path_factory.mktemp("ci") / "home", more)
        config = {"pulumi:disable-default-providers": ["kubernetes"], **staging(started)}
        (ci.checkout / "Pulumi.staging.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
        cluster = Cluster(identifier="sandbox", kubeconfig=str(started.sandbox.kubeconfig), context=started.sandbox.context)
        left_behind.note(f"lamp-pr-{number}")
        made.append(Testing(ci, Kubectl(program, cluster, f"lamp-pr-{number}"), number))
        return made[-1]

    yield make
    for one in made:
        one.remove_what_is_left()


@pytest.fixture(scope="module")
def testing(make_testing: Callable[[str], Testing]) -> Testing:
    """A testing stack that is up, although its first run was stopped."""
    made = make_testing(NUMBER)
    code, said = made.stop_in_the_middle()
    assert code == 130, said
    assert not made.is_locked()
    # A runner keeps nothing of a checkout.
    (made.machine.checkout / f"Pulumi.{made.name}.yaml").unlink()
    made.up()
    return made


@pytest.mark.timeout(600)
def test_a_run_that_was_stopped_in_the_middle_gave_its_lock_back_and_the_next_one_goes_on_from_there(testing: Testing) -> None:
    assert testing.read("get", "deployment", "web", "--output", "jsonpath={.status.readyReplicas}") == REPLICAS
    assert not testing.is_locked()


@pytest.mark.timeout(300)
class TestDrift:
    def test_there_is_none_as_it_was_brought_up(self, testing: Testing) -> None:
        result = testing.machine.run("ci/drift", testing.name)
        assert result.code == 0, result.text
        assert result.output.startswith(f"<!-- switchyard-drift-{testing.name} -->\n# No drift: `{testing.name}`\n")

    def test_an_object_that_somebody_deleted_is_in_the_table_and_what_the_report_says_mends_it(self, testing: Testing) -> None:
        testing.read("delete", "networkpolicy", POLICY, "--wait")
        result = testing.machine.run("ci/drift", testing.name)
        assert result.code == 1, result.text
        assert f"# Drift: `{testing.name}`\n" in result.output
        assert re.search(rf"^\|.*create NetworkPolicy `{POLICY}`", result.output, re.MULTILINE), result.output
        mend = re.search(r"`(\./sy pulumi .* up --refresh)`", result.output)
        assert mend
        testing.machine.ok(*mend[1].split(), "--yes")
        assert testing.machine.run("ci/drift", testing.name).code == 0
        assert testing.read("get", "networkpolicy", POLICY, "--output", "name")

    def test_a_field_that_somebody_changed_is_an_alert_that_names_it(self, testing: Testing) -> None:
        testing.read("scale", "deployment", "web", "--replicas", "3")
        result = testing.machine.run("ci/drift", testing.name)
        testing.read("scale", "deployment", "web", "--replicas", REPLICAS)
        assert result.code == 1, result.text
        assert result.output.startswith(f"<!-- switchyard-drift-{testing.name} -->\n# Drift")
        assert "replicas" in result.output


@pytest.mark.timeout(300)
def test_taking_it_down_leaves_neither_a_namespace_nor_a_state(testing: Testing) -> None:
    assert testing.states
    testing.down()
    assert testing.states == []
    assert testing.read("get", "namespace", f"lamp-{testing.name}", "--ignore-not-found", "--output", "name") == ""
    assert not (testing.machine.checkout / f"Pulumi.{testing.name}.yaml").exists()


@pytest.mark.timeout(300)
def test_one_that_was_never_up_as_a_whole_can_be_taken_down_too(make_testing: Callable[[str], Testing]) -> None:
    made = make_testing(STOPPED)
    code, said = made.stop_in_the_middle()
    assert code == 130, said
    made.down()
    assert made.states == []
    assert made.read("get", "namespace", f"lamp-{made.name}", "--ignore-not-found", "--output", "name") == ""

"""The real thing: a sandbox cluster, and on it a stack of the tests' own that lives as long as the tests."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.installation import Installation
from bench.receiver import Receiver, receiving, settings
from cli import cluster, machine
from cli import sandbox as cli_sandbox
from cli.errors import FailedError
from cli.kubectl import Kubectl, find
from cli.sandbox import Started
from settings.stack import Cluster
from tests.cluster import left_behind
from tests.cluster.asking import WATCHED_IMAGES
from tests.cluster.trial import PRODUCT_IMAGES, WATCHED, Trial, overlay
from tests.engine.project import Project, stock_environment
from tools import pulumi_home
from tools.progress import Progress

FOLDER = Path(__file__).parent
ORDER = (
    "test_images",
    "test_sandbox",
    "test_preflight",
    "test_stack",
    "test_network",
    "test_matrix",
    "test_gateway",
    "test_edge",
    "test_secrets",
    "test_rights",
    "test_ownership",
    "test_registry_login",
    "test_real_cluster",
    "test_ci",
    "test_fork",
    "test_deploying",
    "test_data_loss",
    "test_external",
    "test_logs",
    "test_elasticsearch",
    "test_metrics",
    "test_dashboards",
    "test_alerts",
    # After the alerts, which begin with a broker that no device has spoken to.
    "test_canary",
    "test_faults",
    # From here on the trial's servers have passwords of another generation.
    "test_rotation",
    "test_nodes",
    "test_two_nodes",
)
"""First what needs no stack, last what changes the sandbox under everybody's feet."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules; pytest calls this with the tests of all folders, and those of others stay where they are."""
    place = {name: number for number, name in enumerate(ORDER)}
    ours = [item for item in items if item.path.parent == FOLDER]
    ordered = iter(sorted(ours, key=lambda item: place.get(item.path.stem, -1)))
    items[:] = [next(ordered) if item.path.parent == FOLDER else item for item in items]


@pytest.fixture(scope="session", autouse=True)
def started() -> Started:
    """The sandbox, with as many nodes as it had, and the product's images in its registry."""
    progress = Progress()
    made = cli_sandbox.start(None, PRODUCT_IMAGES, progress)
    progress.close()
    cluster = Cluster(identifier="sandbox", kubeconfig=str(made.sandbox.kubeconfig), context=made.sandbox.context)
    left_behind.remove(Kubectl(find(machine.find_built("kubectl")), cluster, "default"))
    return made


@pytest.fixture(scope="session")
def cluster_env(started: Started, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a person with a stock Pulumi."""
    toolchain = started.programs.toolchain
    if toolchain is None:
        home = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))
        return stock_environment([started.programs.engine], home, Path(sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHYARD_STATE", str(tmp_path_factory.mktemp("home")))
        home = pulumi_home.pulumi_home(toolchain)
    return stock_environment([started.programs.engine, toolchain.program("pulumi-language-python")], home, Path(sys.executable))


@pytest.fixture(scope="session")
def make_checkout(cluster_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make checkouts of their own."""
    return lambda: Project(tmp_path_factory.mktemp("project") / "checkout", cluster_env)


@pytest.fixture(scope="session")
def next_image(started: Started) -> str:
    """The app's image with another label: the same program under another digest."""
    reference = started.references["lamp"]
    repository = reference.partition("@")[0]
    crane = str(started.programs.built.program("crane"))
    words = [crane, "mutate", "--insecure", reference, "--label", "switchyard.dev/release=next", "--tag", f"{repository}:next"]
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=120)
    done = subprocess.run([crane, "digest", "--insecure", f"{repository}:next"], check=True, capture_output=True, text=True, timeout=60)
    digest = done.stdout.strip()
    assert digest != reference.partition("@")[2]
    return f"{repository}@{digest}"


@pytest.fixture(scope="session")
def trial(started: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    """The whole demo product, brought up once; whoever changes it puts it back."""
    made = Trial("trial", make_checkout(), started)
    try:
        made.must_up()
        made.installation.wait_serving()
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Whom the watched stack tells of alerts."""
    with receiving() as made:
        yield made


@pytest.fixture(scope="session")
def watched(started: Started, make_checkout: Callable[[], Project], receiver: Receiver) -> Iterator[Trial]:
    """The whole demo product with all that watches it, brought up once; whoever changes it puts it back."""
    images = (*PRODUCT_IMAGES, "elasticsearch", *WATCHED_IMAGES)
    progress = Progress()
    with_all = cli_sandbox.start(None, (*images, "otel-collector"), progress)
    made = Trial("watched", make_checkout(), with_all, overlay(WATCHED, {"alerts": settings(receiver.url)}), images)
    try:
        made.must_up()
        cluster.refresh(made.kubectl, progress, required=True)
        made.installation.wait_serving()
        yield made
    finally:
        made.destroy()
        # After Ctrl-C its steps are ended too, and what made the tests stop is what is to be read. The next `up` does what is left.
        with contextlib.suppress(FailedError):
            cluster.refresh(made.kubectl, progress, required=False)
        progress.close()


@pytest.fixture
def installation(trial: Trial) -> Installation:
    """The product, serving."""
    found = trial.installation
    found.wait_serving()
    return found


@pytest.fixture(scope="session")
def lamps(trial: Trial) -> dict[str, str]:
    """Five lamps with accounts in the broker: serial and password."""
    return trial.installation.lamps(5)

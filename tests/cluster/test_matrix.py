"""Every pair of pods, and everything around them, dialled with real packets: who gets through is who the settings let, and nobody else."""

import json
import time
from collections.abc import Iterator

import pytest

from bench.matrix import Matrix, measured, report
from bench.stations import Station, stranger
from rendering import Rendered, render
from settings.logs import CLUSTER_NAMESPACE
from tests.cluster.trial import Trial

APP = {"web", "sidekiq-alerts", "consumer", "indexer"}
COLLECTOR = f"{CLUSTER_NAMESPACE}/"
STRAY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "stray"},
    "spec": {
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
    },
}


@pytest.fixture(scope="module")
def outsider() -> Iterator[Station]:
    with stranger() as made:
        yield made


def made_of(trial: Trial) -> Rendered:
    return render(trial.name, trial.project.folder, trial.file)


def tried(trial: Trial, outsider: Station) -> Matrix:
    trial.installation.wait_serving()
    began = time.monotonic()
    found = measured(trial.kubectl, made_of(trial), outsider)
    report(found, time.monotonic() - began)
    return found


@pytest.fixture(scope="module")
def matrix(trial: Trial, outsider: Station) -> Matrix:
    return tried(trial, outsider)


@pytest.fixture(scope="module")
def whole(watched: Trial, outsider: Station) -> Matrix:
    return tried(watched, outsider)


def component(pod: str) -> str:
    """Return what a pod's name begins with: web of web-7d9c-x2x, postgres of postgres-0; of a stranger its namespace and a slash."""
    if "/" in pod:
        return f"{pod.partition('/')[0]}/"
    words = pod.split("-")
    return "-".join(words[:-1] if words[-1].isdigit() else words[:-2])


def admitted(matrix: Matrix, server: str, port: int) -> set[str]:
    """Return who got through to a port of a component's pods."""
    inside = {pair.source for pair in matrix.pairs if pair.outcome == "open" and pair.door.partition(":")[2] == str(port)}
    doors = {f"{pod}:{port}" for pod in matrix.listeners if component(pod) == server}
    return {component(source) if source != "outside" else source for source in inside if matrix.opened(source) & doors}


def test_every_pair_is_as_the_settings_say(matrix: Matrix) -> None:
    assert [str(pair) for pair in matrix.differences] == []
    assert len(matrix.pairs) > 300
    assert {component(pod) for pod in matrix.listeners} >= {"web", "postgres", "redis-jobs", "mqtt", "sidekiq-alerts", "consumer"}


def test_from_outside_nothing_is_open_but_the_brokers_tls_port_and_what_the_edge_names(matrix: Matrix) -> None:
    # Services are among them: their addresses lead somewhere from there, as they do on no real cluster.
    doors = {(door.partition(":")[0].split(" ")[0], int(door.rpartition(":")[2])) for door in matrix.opened("outside")}
    assert {(component(name) if name in matrix.listeners else name, port) for name, port in doors} == {
        ("mqtt", 8883),
        ("mqtt-public", 8883),
        ("web", 3000),
        ("web", 80),
    }


def test_only_the_apps_pods_reach_the_world_and_none_the_control_plane(matrix: Matrix) -> None:
    for pod in matrix.listeners:
        opened = matrix.opened(pod)
        assert any(door.startswith("the world") for door in opened) is (component(pod) in APP), pod
        assert not any(door.startswith(("registry", "kubelet")) for door in opened), pod
        assert any(door.startswith("API server") for door in opened) is (component(pod) == "postgres"), pod


def test_the_brokers_management_is_reached_by_the_apps_pods_alone(matrix: Matrix) -> None:
    assert admitted(matrix, "mqtt", 15672) <= APP
    assert "web" in admitted(matrix, "mqtt", 15672)
    assert admitted(matrix, "postgres", 8008) <= {"postgres"}


def test_a_policy_that_the_settings_do_not_know_is_noticed(trial: Trial, outsider: Station) -> None:
    installation = trial.installation
    installation.run("apply", "--filename", "-", given=json.dumps(STRAY))
    try:
        time.sleep(5)
        found = measured(trial.kubectl, made_of(trial), outsider)
    finally:
        installation.run("delete", "networkpolicy", "stray")
    assert {component(pair.door.partition(":")[0]) for pair in found.differences if not pair.expected} >= {"web"}


@pytest.mark.long
class TestAWatchedStack:
    def test_every_pair_is_as_the_settings_say(self, whole: Matrix) -> None:
        assert [str(pair) for pair in whole.differences] == []
        assert len(whole.pairs) > 1500

    def test_every_component_that_lasts_was_dialled_and_dialled_from(self, whole: Matrix, watched: Trial) -> None:
        lasting = {one["metadata"]["name"] for one in made_of(watched).objects() if one["kind"] in ("Deployment", "StatefulSet")}
        assert {component(pod) for pod in whole.listeners} >= lasting
        assert {component(pair.source) for pair in whole.pairs} >= lasting

    @pytest.mark.parametrize(
        ("server", "port", "who"),
        [
            ("postgres", 8008, {"postgres", "prometheus"}),
            ("prometheus", 9090, {"prometheus", "grafana"}),
            ("alertmanager", 9093, {"prometheus", "grafana"}),
            ("loki", 3100, {"prometheus", "grafana", COLLECTOR}),
            ("mqtt", 15672, APP),
            ("kube-state-metrics", 8080, {"prometheus"}),
            ("elasticsearch", 9300, {"elasticsearch"}),
        ],
    )
    def test_what_asks_for_no_credentials_is_reached_by_those_that_need_it(
        self, whole: Matrix, server: str, port: int, who: set[str]
    ) -> None:
        assert admitted(whole, server, port) <= who

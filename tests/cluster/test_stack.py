"""A whole product on a real cluster: brought up, changed, broken, mended, removed."""

import base64
import http.client
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.installation import Installation
from bench.load import running, wait_until
from cli import demo
from cli.sandbox import Started
from tests.cluster.trial import BARE, Trial
from tests.engine.project import PASSPHRASE, Project
from tools.progress import Progress

UNHARMED = {"kube-system", "kube-public", "kube-node-lease", "default"}


class TestAfterUp:
    def test_a_lamp_falls_and_somebody_is_told(self, installation: Installation) -> None:
        told = demo.fall(installation.demo, Progress())
        assert told.alert > 0

    def test_a_second_preview_finds_nothing_to_change(self, trial: Trial) -> None:
        result = trial.has_no_changes()
        assert result.code == 0, result.text

    def test_every_service_has_somebody_behind_it(self, installation: Installation) -> None:
        slices = installation.objects("endpointslices")
        served = {
            one["metadata"]["labels"]["kubernetes.io/service-name"]
            for one in slices
            if any((endpoint.get("conditions") or {}).get("ready") for endpoint in one.get("endpoints") or [])
        }
        services = {one["metadata"]["name"] for one in installation.objects("services")}
        assert services == served
        assert {"web", "postgres", "redis-jobs", "mqtt", "mqtt-public"} <= services

    def test_every_workload_runs_its_newest_version(self, installation: Installation) -> None:
        for workload in [*installation.objects("deployments"), *installation.objects("statefulsets")]:
            status, wanted = workload["status"], workload["spec"]["replicas"]
            assert status["observedGeneration"] >= workload["metadata"]["generation"]
            assert status["updatedReplicas"] == status["readyReplicas"] == wanted, workload["metadata"]["name"]

    def test_no_container_had_to_be_started_twice(self, installation: Installation) -> None:
        restarts = {
            f"{pod['metadata']['name']}/{status['name']}": status["restartCount"]
            for pod in installation.objects("pods")
            for status in pod["status"].get("containerStatuses") or []
            if status["restartCount"]
        }
        assert restarts == {}

    def test_no_generated_secret_is_readable_in_the_state_the_outputs_or_the_objects(
        self, trial: Trial, installation: Installation
    ) -> None:
        secrets = {
            base64.b64decode(value).decode()
            for one in installation.objects("secrets")
            for key, value in (one.get("data") or {}).items()
            if "PASSWORD" in key or "TOKEN" in key or "SECRET" in key or key in ("password", "cookie", "superuser", "app")
        }
        assert len(secrets) >= 6
        exported = trial.project.ok("stack", "export", "--stack", trial.name)
        outputs = trial.project.ok("stack", "output", "--json", "--stack", trial.name)
        objects = installation.run("get", "pods,deployments,statefulsets,jobs,configmaps,services", "--output", "json")
        for place in (exported, outputs, objects, trial.file.read_text()):
            assert [secret[:3] for secret in secrets if secret in place] == []

    def test_a_stray_message_is_stored_and_stops_nobody(self, installation: Installation) -> None:
        before = int(installation.sql("select count(*) from events where kind <> 'fall'"))
        publish(installation, "lamps/lamp-1/fall", "this is no JSON")
        wait_until(
            lambda: int(installation.sql("select count(*) from events where kind <> 'fall' or flaw is not null")) > before,
            60,
            lambda: "the malformed message was not stored",
        )
        assert demo.fall(installation.demo, Progress()).alert > 0


class TestAnotherImage:
    def test_it_rolls_out_without_a_failed_request_or_a_lost_fall(
        self, trial: Trial, installation: Installation, lamps: dict[str, str], next_image: str
    ) -> None:
        web_before = set(installation.ready_pods("web"))
        trial.say({"images": {"pinned": {"lamp": next_image}}})
        load = installation.load(lamps, per_second=10)
        with running(load), Visitor(installation.demo.web) as visitor:
            trial.must_up()
            installation.wait_serving()
            wait_until(lambda: not web_before & set(installation.ready_pods("web")), 60, lambda: "the old web pods still serve")
            report = load.stop(60)
        assert visitor.failures == []
        assert visitor.count > 50
        assert len(report.acknowledged) == len(report.events) > 0
        assert (report.lost, report.doubled) == ([], [])
        assert {pod["spec"]["containers"][0]["image"] for pod in installation.pods("web")} == {next_image}
        assert trial.has_no_changes().code == 0


@pytest.mark.long
class TestAFailedMigration:
    def test_it_stops_the_rollout_and_the_old_version_serves_on_with_its_own_configuration(
        self, trial: Trial, installation: Installation
    ) -> None:
        trial.say({})
        trial.must_up()
        installation.wait_serving()
        [before] = installation.pods("web")
        migrated = {job["metadata"]["name"] for job in installation.objects("jobs")}

        # A release that would come with other config vars, and whose migration fails.
        trial.say({"release": {"command": ["sh", "-c", "exit 1"]}, "app": {"config": {"OF_THE_NEW_RELEASE": "yes"}}})
        result = trial.up()
        assert result.code != 0
        assert "release" in result.text
        assert demo.fall(installation.demo, Progress()).alert > 0

        # A node is drained, a pod is evicted: the old version has to start again, with what it was started with.
        installation.kill_pod(before["metadata"]["name"])
        wait_until(lambda: bool(fresh_web(installation, before)), 120, lambda: "the old version did not come back")
        [after] = installation.pods("web")
        assert after["spec"]["containers"][0]["image"] == before["spec"]["containers"][0]["image"]
        assert after["spec"]["containers"][0]["envFrom"] == before["spec"]["containers"][0]["envFrom"]
        environment = installation.run("exec", after["metadata"]["name"], "--", "env")
        assert "OF_THE_NEW_RELEASE" not in environment
        assert demo.fall(installation.demo, Progress()).alert > 0

        # Mended, the same `up` goes on from there.
        trial.say({"app": {"config": {"OF_THE_NEW_RELEASE": "yes"}}})
        trial.must_up()
        installation.wait_serving()
        [mended] = installation.pods("web")
        assert "OF_THE_NEW_RELEASE=yes" in installation.run("exec", mended["metadata"]["name"], "--", "env")
        assert not migrated & {job["metadata"]["name"] for job in installation.objects("jobs")}
        assert trial.has_no_changes().code == 0

        trial.say({})
        trial.must_up()


class TestWhoseANamespaceIs:
    def test_one_that_somebody_else_made_is_refused_before_anything_is_created_in_it(
        self, started: Started, make_checkout: Callable[[], Project], namespace: Callable[[str], str]
    ) -> None:
        taken = namespace("lamp-taken")
        trial = Trial("taken", make_checkout(), started)
        result = trial.up()
        assert result.code != 0
        assert f"namespace {taken} on cluster sandbox was made by somebody else" in result.text
        assert "name another one as switchyard:namespace in Pulumi.taken.yaml" in result.text
        assert trial.project.state("taken") == []
        names = trial.kubectl.get("all,secrets,networkpolicies,serviceaccounts")["items"]
        assert [one["metadata"]["name"] for one in names if one["metadata"]["name"] != "default"] == []

    def test_one_of_another_stack_is_refused_with_that_stacks_name(
        self, trial: Trial, started: Started, make_checkout: Callable[[], Project]
    ) -> None:
        other = Trial("other", make_checkout(), started, {"namespace": trial.namespace})
        before = trial.kubectl.get("all,secrets,configmaps,networkpolicies")["items"]
        result = other.up()
        assert result.code != 0
        assert f"namespace {trial.namespace} on cluster sandbox belongs to the stack lamp.trial" in result.text
        assert other.project.state("other") == []
        after = trial.kubectl.get("all,secrets,configmaps,networkpolicies")["items"]
        assert {one["metadata"]["uid"] for one in before if one["kind"] != "Pod"} <= {one["metadata"]["uid"] for one in after}


class TestASmallProduct:
    def test_one_web_process_comes_up_alone_and_destroy_removes_it_and_nothing_else(
        self, trial: Trial, started: Started, make_checkout: Callable[[], Project]
    ) -> None:
        bare = Trial("bare", make_checkout(), started, BARE)
        theirs = {one["metadata"]["uid"] for one in trial.kubectl.get("deployments,statefulsets,secrets,services")["items"]}
        try:
            bare.must_up()
            workloads = bare.kubectl.get("deployments,statefulsets,jobs")["items"]
            assert [one["metadata"]["name"] for one in workloads] == ["web"]
            status = workloads[0]["status"]
            assert status["readyReplicas"] == workloads[0]["spec"]["replicas"]
            assert answer(f"{bare.outputs()['urls']['web']}/health/live") == 200
            assert bare.has_no_changes().code == 0
        finally:
            result = bare.destroy()
        assert result.code == 0, result.text
        assert bare.project.state("bare") == []
        namespaces = {one["metadata"]["name"] for one in bare.kubectl.get("namespaces")["items"]}
        assert "lamp-bare" not in namespaces
        assert UNHARMED | {trial.namespace} <= namespaces
        assert theirs <= {one["metadata"]["uid"] for one in trial.kubectl.get("deployments,statefulsets,secrets,services")["items"]}
        volumes = bare.kubectl.get("persistentvolumes")["items"]
        assert [one for one in volumes if one["spec"].get("claimRef", {}).get("namespace") == "lamp-bare"] == []


PROGRAM = """
import pulumi, pulumi_kubernetes as k8s
where = pulumi.ResourceOptions(provider=k8s.Provider("cluster", kubeconfig={kubeconfig!r}, context="sandbox"))
opts = pulumi.ResourceOptions.merge(where, pulumi.ResourceOptions(aliases={aliases}))
k8s.core.v1.ConfigMap({name!r}, metadata={{"name": "kept", "namespace": {namespace!r}}}, data={{"a": "b"}}, opts=opts)
"""


class TestARenamedResource:
    """The provider makes a renamed resource anew onto the live object, and then deletes the old one: the same object."""

    def test_an_alias_keeps_the_object_and_without_one_it_is_gone(
        self, started: Started, cluster_env: dict[str, str], namespace: Callable[[str], str], tmp_path: Path, trial: Trial
    ) -> None:
        where = namespace("lamp-renamed")
        project = TinyProject(tmp_path / "tiny", cluster_env)
        kubeconfig = str(started.sandbox.kubeconfig)

        def program(name: str, aliases: str) -> None:
            project.write(PROGRAM.format(name=name, aliases=aliases, kubeconfig=kubeconfig, namespace=where))
            project.ok("up", "--yes", "--skip-preview", "--stack", "tiny")

        def live() -> list[str]:
            found = trial.kubectl.get("configmaps", "--all-namespaces")["items"]
            return [one["metadata"]["uid"] for one in found if one["metadata"]["name"] == "kept"]

        project.ok("stack", "init", "tiny", "--no-select")
        program("first", "[]")
        [object_id] = live()
        program("second", "[pulumi.Alias(name='first')]")
        assert live() == [object_id]
        program("third", "[]")
        assert live() == [], "the provider no longer deletes what a rename left: the rule about aliases can go"
        project.ok("destroy", "--yes", "--skip-preview", "--stack", "tiny")


class TinyProject(Project):
    """A Pulumi project with a program of a few lines."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        folder.mkdir()
        passphrase, backend = folder.with_name("tiny-passphrase"), folder.with_name("tiny-backend")
        passphrase.write_text(PASSPHRASE)
        backend.mkdir()
        self.folder = folder
        self.env = {**env, "PULUMI_BACKEND_URL": f"file://{backend}", "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)}
        (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")

    def write(self, program: str) -> None:
        (self.folder / "__main__.py").write_text(program)


class Visitor:
    """Somebody who asks for a page again and again, each time with a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/health/ready"
        self._stop = threading.Event()
        self.count = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._stop.wait(0.05):
            self.count += 1
            try:
                status = answer(self._url)
                if status != 200:
                    self.failures.append(f"{time.monotonic():.1f}: {status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.monotonic():.1f}: {error!r}")


def answer(url: str) -> int:
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=10)
    try:
        connection.request("GET", place.path, headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def publish(installation: Installation, topic: str, payload: str) -> None:
    from bench.load import Lamp

    lamp = Lamp(installation.broker, demo.SERIAL, installation.demo.passwords["DEMO_LAMP_PASSWORD"])
    try:
        wait_until(lambda: lamp.connected, 60, lambda: "the demo lamp was not let in")
        lamp.publish(topic, payload).wait_for_publish(30)
    finally:
        lamp.close()


def fresh_web(installation: Installation, old: dict[str, Any]) -> list[str]:
    return [name for name in installation.ready_pods("web") if name != old["metadata"]["name"]]


@pytest.fixture
def namespace(trial: Trial) -> Iterator[Callable[[str], str]]:
    """Make namespaces that are not of any stack."""
    made: list[str] = []

    def make(name: str) -> str:
        kubectl = trial.kubectl
        subprocess.run(kubectl.argv("create", "namespace", name), check=True, capture_output=True, timeout=60)
        made.append(name)
        return name

    yield make
    for name in made:
        subprocess.run(trial.kubectl.argv("delete", "namespace", name, "--wait=true"), check=True, capture_output=True, timeout=120)

"""`sy doctor -s STACK` on the real cluster: all is right as it is, each fault is made in turn and named, and nothing stays behind."""

import base64
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import kubectl, machine
from cli import preflight as command
from cli.environment import users
from cli.kubectl import Kubectl
from cli.sandbox import Started
from preflight import balancer, images, names, namespace, packets, place, rights, room, run, storage
from preflight.api import Api, Proxy
from preflight.findings import Finding
from preflight.namespace import Standing
from preflight.needs import Needs
from preflight.objects import name_of, text
from preflight.place import UNTIL, Clock, Place
from rendering import render
from settings import Settings, resolve
from settings.edge import Edge
from settings.loader import PROJECT, read_stack_file
from settings.ownership import INSTALLATION_LABEL, STACK_LABEL
from settings.stack import Cluster, RegistryLogin
from tests.cluster.trial import PRODUCT_IMAGES, overlay
from tests.unit.stacks import UNWATCHED
from tools.paths import ROOT
from tools.progress import Progress

STACK = "preflight"
"""Never brought up: its namespace is free unless a test makes it."""
NAMESPACE = f"lamp-{STACK}"
OWNER = Standing(f"lamp.{STACK}")
SECONDS = 120
NOTHING = "sha256:" + "0" * 64
"""The digest of no image."""
APP_ALONE = {
    "postgres": {"where": "none"},
    "redis": {"jobs": {"where": "none"}},
    "mqtt": {"where": "none"},
    "consumer": {"where": "none"},
    "canary": {"where": "none"},
    "sidekiq": {"alerts": None},
}


MODEST = {"cpu": "1m", "memory": "128Mi", "scratch": "16Mi"}
SMALL = {
    "postgres": {"resources": MODEST},
    "redis": {"jobs": {"resources": MODEST}},
    "mqtt": {"resources": MODEST},
    "web": {"web": {"resources": MODEST}},
    "sidekiq": {"alerts": {"resources": MODEST}},
    "consumer": {"resources": MODEST},
    "release": {"resources": MODEST},
}
"""A stack that finds room whatever else stands on the sandbox."""


class Checkout:
    """A folder with the settings of the product, in which stacks can be said."""

    def __init__(self, folder: Path, started: Started) -> None:
        self.folder = folder
        for part in ("product.yaml", "settings"):
            (folder / part).symlink_to(ROOT / part)
        added = started.embedded(PRODUCT_IMAGES).config()
        cluster = {key.removeprefix(f"{PROJECT}:"): value for key, value in added.items()}
        self._base: dict[str, Any] = overlay({"tier": "sandbox", **cluster}, UNWATCHED)

    def say(self, said: Mapping[str, Any]) -> Path:
        """Write the stack's file: the sandbox's settings with others over them."""
        file = self.folder / f"Pulumi.{STACK}.yaml"
        merged = overlay(self._base, said)
        file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in merged.items()}}))
        return file

    def settings(self, said: Mapping[str, Any]) -> Settings:
        """Return the settings of the stack with others over them."""
        return resolve(STACK, *read_stack_file(self.say(said)), self.folder)

    def needs(self, said: Mapping[str, Any]) -> Needs:
        """Return what the stack needs with these settings."""
        return Needs(STACK, NAMESPACE, render(STACK, self.folder, self.say(said)).objects())


@pytest.fixture(scope="module")
def checkout(started: Started, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"), started)


@pytest.fixture(scope="module")
def argv(started: Started) -> list[str]:
    """kubectl, as the administrator."""
    cluster = Cluster(identifier="sandbox", kubeconfig=str(started.sandbox.kubeconfig), context=started.sandbox.context)
    return Kubectl(kubectl.find(machine.find_built("kubectl")), cluster, NAMESPACE).cluster_argv()


@pytest.fixture(scope="module")
def api(argv: list[str]) -> Iterator[Api]:
    with Proxy(argv, users()) as made:
        yield made


@pytest.fixture(scope="module")
def needs(checkout: Checkout) -> Needs:
    return checkout.needs({})


@pytest.fixture(scope="module")
def ended(api: Api) -> Iterator[list[str]]:
    """Paths of namespaces whose test is over; the last one waits until they are all gone."""
    made: list[str] = []
    yield made
    for path in made:
        wait_gone(api, path)


@pytest.fixture
def temporary(api: Api, needs: Needs, ended: list[str]) -> Iterator[Callable[..., Place]]:
    """Make temporary namespaces, which end with the test."""
    made: list[Place] = []

    def make(needed: Needs = needs, seconds: float = SECONDS, login: str = "") -> Place:
        made.append(Place(api, needed, Clock(seconds), login))
        made[-1].make()
        return made[-1]

    yield make
    for one in made:
        api.delete(one.path)
        ended.append(one.path)


@pytest.fixture
def stand(api: Api, needs: Needs, ended: list[str]) -> Iterator[Callable[..., tuple[Needs, str]]]:
    """Make a namespace with the label of the stack's owner, and return the needs of the stack in it, and its path."""
    made: list[str] = []

    def make(needed: Needs = needs, labels: Mapping[str, str] | None = None) -> tuple[Needs, str]:
        name = f"{NAMESPACE}-{secrets.token_hex(3)}"
        api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {STACK_LABEL: OWNER.owner, **(labels or {})}}})
        made.append(f"/api/v1/namespaces/{name}")
        return replace(needed, namespace=name), made[-1]

    yield make
    for path in made:
        api.delete(path)
        ended.append(path)


def wait_gone(api: Api, path: str) -> None:
    deadline = time.monotonic() + SECONDS
    while api.find(path):
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.2)


def only(found: Iterator[Finding] | list[Finding], check: str = "") -> Finding:
    """The one finding, or the one about a check."""
    (one,) = [finding for finding in found if not check or finding.check == check]
    return one


def told(finding: Finding, verdict: str, *words: str) -> None:
    """Assert a verdict, that its line has some words, and a cure where something is wrong."""
    line = f"{finding.found}; {finding.cure}"
    assert finding.verdict == verdict, f"{finding.check}: {line}"
    assert all(word in line for word in words), line
    assert bool(finding.cure) == (verdict == "wrong")


def objects(api: Api) -> set[str]:
    """What a preflight must leave as it is, but for its own namespace: others use the sandbox meanwhile, and so not everything."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    paths = [storage.CLASSES, f"{rbac}/clusterroles", f"{rbac}/clusterrolebindings"]
    paths += [f"/api/v1/namespaces/default/{kind}" for kind in ("pods", "secrets", "configmaps", "services", "persistentvolumeclaims")]
    return {f"{path} {name_of(one)} {text(one, 'metadata', 'resourceVersion')}" for path in paths for one in api.items(path)}


def left(api: Api, name: str) -> list[str]:
    """What there is of a temporary namespace."""
    volumes = [one for one in api.items("/api/v1/persistentvolumes") if text(one, "spec", "claimRef", "namespace") == name]
    return [name] * bool(api.find(f"/api/v1/namespaces/{name}")) + [name_of(one) for one in volumes]


def temporary_name(said: str) -> str:
    """The name of the temporary namespace, as a run tells it while it waits."""
    return re.findall(r"switchyard-preflight-\w+", said)[0]


# The whole report


def test_all_is_right_for_a_new_stack_within_a_minute_and_nothing_stays(
    checkout: Checkout, api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    checkout.say(SMALL)
    before = objects(api)
    report = command.report(STACK, Progress(), checkout.folder)
    assert [(one.check, one.found) for one in report.findings if one.verdict != "right"] == []
    found = {one.check: one.found for one in report.findings}
    assert {"rights", "admission", "quota", "nodes", "volume", "network policies", "cluster DNS", "API server from pods"} <= set(found)
    assert {f"image {name}" for name in PRODUCT_IMAGES} <= set(found)
    assert "got 10.121.0." in found["load balancer mqtt-public"]
    assert report.seconds < 60 and report.code == 0
    assert left(api, temporary_name(capfd.readouterr().err)) == []
    assert objects(api) == before and not api.find(f"/api/v1/namespaces/{NAMESPACE}")


def test_a_lost_context_is_one_line_and_exit_code_2(checkout: Checkout) -> None:
    checkout.say({"cluster": {"context": "elsewhere"}})
    report = command.report(STACK, Progress(), checkout.folder)
    told(only(report.findings[1:]), "wrong", 'context "elsewhere" does not exist', "cluster.context")
    assert report.code == 2


def test_a_cluster_that_does_not_answer_is_said_to(argv: list[str], checkout: Checkout, needs: Needs, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(argv[argv.index("--kubeconfig") + 1]).read_text())
    config["clusters"][0]["cluster"]["server"] = "https://10.118.0.1:1"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    words = [argv[0], "--kubeconfig", str(file), "--context", config["current-context"]]
    found = run.preflight(words, users(), checkout.settings({}), Standing(""), needs, print)
    told(only(found), "wrong", "does not answer", "refused")


def test_missing_secrets_and_digests_are_named_with_their_commands(checkout: Checkout) -> None:
    checkout.say({"app": {"secrets": ["SENTRY_DSN"]}, "images": {"pinned": {"lamp": None}}, "cluster": {"context": None}})
    report = command.report(STACK, Progress(), checkout.folder)
    lines = " ".join(f"{one.found}; {one.cure}" for one in report.findings if one.verdict == "wrong")
    assert "SENTRY_DSN" in lines and "config set --secret SENTRY_DSN" in lines and "images pin lamp" in lines and "cluster.context" in lines
    assert report.findings[-1].verdict == "unknown" and report.code == 2


@contextmanager
def asking(api: Api) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run that is under way, and the name of its namespace, which is there."""
    argv = [sys.executable, "-m", "cli", "doctor", "-s", "sandbox"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        name = temporary_name(next(line for line in running.stderr if "switchyard-preflight" in line))
        while not api.find(f"/api/v1/namespaces/{name}/pods/fenced"):
            assert running.poll() is None
            time.sleep(0.1)
        yield running, name


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_ctrl_c_leaves_nothing(api: Api) -> None:
    with asking(api) as (running, name):
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        assert left(api, name) == []


def test_what_a_killed_run_left_is_deleted_by_the_next(api: Api) -> None:
    with asking(api) as (running, name):
        proxies = [pid for shell in children(running.pid) for pid in children(shell) if "proxy" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(proxies) == 1
        running.kill()
        assert running.wait(30) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while Path(f"/proc/{proxies[0]}").exists():
        assert time.monotonic() < deadline, "the way to the cluster is left open"
        time.sleep(0.1)
    assert name not in place.leftovers(api, time.time()), "a run that may still be going on is let be"
    assert name in place.leftovers(api, time.time() + place.LIFE_SECONDS + 1)
    api.merge(f"/api/v1/namespaces/{name}", {"metadata": {"annotations": {UNTIL: "0"}}})
    told(only(run._leftovers(api, print)), "right", name)  # pyright: ignore[reportPrivateUsage]
    deadline = time.monotonic() + SECONDS
    while left(api, name):
        assert time.monotonic() < deadline
        time.sleep(0.2)


# Rights, the namespace, what the cluster accepts


@pytest.fixture
def limited(api: Api, argv: list[str], stand: Callable[..., tuple[Needs, str]], tmp_path: Path) -> tuple[list[str], Needs]:
    """kubectl as an account that may read pods of one namespace and nothing else, and the stack there."""
    needed, path = stand()
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{needed.namespace}"
    api.create(f"{path}/serviceaccounts", {"metadata": {"name": "limited"}})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    api.create(f"{rbac}/roles", {"metadata": {"name": "limited"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"}
    subject = {"kind": "ServiceAccount", "name": "limited", "namespace": needed.namespace}
    api.create(f"{rbac}/rolebindings", {"metadata": {"name": "limited"}, "roleRef": reference, "subjects": [subject]})
    token = api.create(f"{path}/serviceaccounts/limited/token", {"spec": {}})["status"]["token"]
    config = yaml.safe_load(Path(argv[argv.index("--kubeconfig") + 1]).read_text())
    config["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return [argv[0], "--kubeconfig", str(file), "--context", config["current-context"]], needed


def test_what_an_account_may_not_do_is_listed_and_the_rest_can_not_be_known(limited: tuple[list[str], Needs], checkout: Checkout) -> None:
    words, needed = limited
    found = run.preflight(words, users(), checkout.settings({}), OWNER, needed, print)
    told(only(found, "rights"), "wrong", ":limited", "create, delete, get, patch namespaces", "statefulsets.apps", "ClusterRole")
    assert "watch pods" not in only(found, "rights").found
    for check in ("namespace", "nodes", "network policies", "image lamp", "volume"):
        told(only(found, check), "unknown", "forbidden")


def test_a_kind_that_the_cluster_does_not_know_is_named(api: Api, needs: Needs) -> None:
    # One that no cluster has: a sandbox that was used before may have the gateway's.
    lamp = {"apiVersion": "lamps.example/v1", "kind": "Lamp", "metadata": {"name": "kitchen", "namespace": NAMESPACE}}
    found = list(rights.rights(api, Needs(STACK, NAMESPACE, [*needs.objects, lamp])))
    told(only(found, "kind Lamp"), "wrong", "does not know lamps.example/v1 Lamp", "CustomResourceDefinitions")
    told(only(found, "rights"), "right")


def test_somebody_elses_namespace_is_told_from_the_stacks_own(api: Api, needs: Needs, stand: Callable[..., tuple[Needs, str]]) -> None:
    told(only(namespace.namespace(api, needs, OWNER, "sandbox")), "right", "free")
    there, _ = stand(labels={INSTALLATION_LABEL: "aaaa"})
    told(only(namespace.namespace(api, there, OWNER, "sandbox")), "right", "own")
    told(only(namespace.namespace(api, there, replace(OWNER, installation="aaaa"), "sandbox")), "right", "own")
    told(
        only(namespace.namespace(api, there, Standing("lamp.other"), "sandbox")), "wrong", f"belongs to the stack lamp.{STACK}", "namespace"
    )
    told(only(namespace.namespace(api, there, replace(OWNER, installation="bbbb"), "sandbox")), "wrong", "another state", "log in")


def test_a_stack_that_was_brought_up_elsewhere_is_not_made_anew(api: Api, needs: Needs) -> None:
    told(only(namespace.namespace(api, needs, replace(OWNER, installation="aaaa"), "sandbox")), "wrong", "was brought up before", "context")


def test_a_namespace_that_can_not_go_is_named_with_what_keeps_it(api: Api, stand: Callable[..., tuple[Needs, str]]) -> None:
    there, path = stand()
    api.create(f"{path}/configmaps", {"metadata": {"name": "keeper", "finalizers": ["switchyard.dev/test"]}})
    api.delete(path)
    try:
        deadline = time.monotonic() + SECONDS
        while "switchyard.dev/test" not in (found := only(namespace.namespace(api, there, OWNER, "sandbox"))).found:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        told(found, "wrong", "is being deleted")
    finally:
        api.merge(f"{path}/configmaps/keeper", {"metadata": {"finalizers": None}})


def test_limits_of_the_namespace_are_named_before_a_pod_is_refused(api: Api, stand: Callable[..., tuple[Needs, str]]) -> None:
    there, path = stand()
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.memory": "1Gi", "requests.storage": "1Ti", "pods": "5"}}}
    api.create(f"{path}/resourcequotas", quota)
    told(only(room.quota(api, there)), "wrong", "requests.memory", "allowed", "pods", "edit resourcequota small")
    limits = [{"type": "Container", "max": {"memory": "300Mi"}}]
    api.create(f"{path}/limitranges", {"metadata": {"name": "narrow"}, "spec": {"limits": limits}})
    told(only(namespace.accepted(api, there, there.namespace)), "wrong", "maximum memory usage per Container is 300Mi")


def test_a_quota_that_is_large_enough_is_right_but_not_one_that_asks_for_a_cpu_limit(
    api: Api, stand: Callable[..., tuple[Needs, str]]
) -> None:
    there, path = stand()
    hard = {"requests.memory": "40Gi", "limits.cpu": "64", "services.loadbalancers": "1"}
    api.create(f"{path}/resourcequotas", {"metadata": {"name": "large"}, "spec": {"hard": hard}})
    told(only(room.quota(api, there)), "right", "large")
    told(only(namespace.accepted(api, there, there.namespace)), "wrong", "must specify limits.cpu")


def test_pods_that_pod_security_refuses_are_named(api: Api, checkout: Checkout, temporary: Callable[..., Place]) -> None:
    needed = checkout.needs(APP_ALONE)
    for one in needed.of_kind("Deployment"):
        one["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] = False
    told(only(namespace.accepted(api, needed, temporary(needed).name)), "wrong", "Pod web-preflight", "restricted")


# Nodes and storage


def test_a_pod_that_no_node_takes_is_named_with_the_reason(api: Api, checkout: Checkout) -> None:
    elsewhere = checkout.needs(APP_ALONE | {"placement": {"node_selector": {"pool": "lamps"}}})
    told(only(room.nodes(api, elsewhere)), "wrong", "no node takes web", "pool=lamps", "placement")
    large = checkout.needs(overlay(APP_ALONE, {"web": {"web": {"resources": {"memory": "900Gi"}}}}))
    told(only(room.nodes(api, large)), "wrong", "web asks for", "900Gi", "more than any node has")
    many = checkout.needs(overlay(APP_ALONE, {"web": {"web": {"replicas": 40, "resources": {"memory": "1Gi"}}}}))
    told(only(room.nodes(api, many)), "wrong", "of 40 pods of web", "is left on a node")


@contextmanager
def storage_class(api: Api, **said: object) -> Iterator[str]:
    """A class of the tests' own."""
    body = {
        "metadata": {"name": "preflight-test"},
        "provisioner": "sandbox.switchyard.dev/local",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    api.create(storage.CLASSES, body | said)
    try:
        yield "preflight-test"
    finally:
        api.delete(f"{storage.CLASSES}/preflight-test")


def test_a_class_that_is_missing_or_deletes_what_is_to_be_protected_is_named(api: Api) -> None:
    told(
        only(storage.storage_class(api, "fast", False)),
        "wrong",
        "storage class" and "none of that name",
        "standard",
        "cluster.storage_class",
    )
    told(only(storage.storage_class(api, None, False)), "right", "the default")
    told(only(storage.storage_class(api, None, True)), "wrong", "reclaimPolicy: Retain", "allowVolumeExpansion: true", "protect: false")
    with storage_class(api, reclaimPolicy="Retain", allowVolumeExpansion=True) as name:
        told(only(storage.storage_class(api, name, True)), "right", "keeps the volumes")


def test_a_volume_of_a_class_that_keeps_them_is_given_back(api: Api, checkout: Checkout, temporary: Callable[..., Place]) -> None:
    with storage_class(api, reclaimPolicy="Retain") as name:
        needed = checkout.needs({"cluster": {"storage_class": name}})
        there = temporary(needed)
        told(only(storage.volume(api, needed, there, name, needed.claims)), "right", "mounted and written to")
        kept = [one for one in api.items("/api/v1/persistentvolumes") if text(one, "spec", "claimRef", "namespace") == there.name]
        assert [text(one, "spec", "persistentVolumeReclaimPolicy") for one in kept] == ["Retain"]
        assert there.remove(SECONDS)
        assert not [one for one in api.items("/api/v1/persistentvolumes") if text(one, "spec", "claimRef", "namespace") == there.name]


def test_a_volume_that_nobody_makes_is_not_called_right(api: Api, checkout: Checkout, temporary: Callable[..., Place]) -> None:
    with storage_class(api, provisioner="nobody.example/none") as name:
        needed = checkout.needs({"cluster": {"storage_class": name}})
        found = only(storage.volume(api, needed, temporary(needed, 8), name, needed.claims))
        told(found, "unknown", "Pending", "nobody.example/none")


# Images


def test_an_image_that_is_not_there_is_named(checkout: Checkout, temporary: Callable[..., Place]) -> None:
    image = f"10.118.0.1:5000/switchyard/lamp@{NOTHING}"
    needed = checkout.needs(APP_ALONE | {"images": {"pinned": {"lamp": image}}})
    told(only(images.pull(needed, temporary(needed), image, frozenset(), "push it")), "wrong", image, "not found", "push it")


def test_the_stacks_pull_secrets_are_there_while_images_are_pulled(
    api: Api, checkout: Checkout, temporary: Callable[..., Place], stand: Callable[..., tuple[Needs, str]]
) -> None:
    login = {"server": "registry.example", "user": "robot", "password": "REGISTRY_PASSWORD"}
    needed, path = stand(checkout.needs(APP_ALONE | {"images": {"pull_secrets": ["others", "missing"], "login": login}}))
    content = RegistryLogin(**login).docker_config("hunter2-hunter2")
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    api.create(f"{path}/secrets", {"metadata": {"name": "others"}, "type": "kubernetes.io/dockerconfigjson", "data": data})
    there = temporary(needed, login=content)
    assert there.pull_secrets == ["others", "registry-login"]
    for name in there.pull_secrets:
        assert api.get(f"{there.path}/secrets/{name}")["data"] == data
    (image,) = images.images(needed)
    told(only(images.pull(needed, there, image, frozenset(), "")), "right", "pulled")
    assert [one["name"] for one in api.get(f"{there.path}/pods/image-lamp")["spec"]["imagePullSecrets"]] == there.pull_secrets
    told(only(namespace.accepted(api, needed, there.name)), "right")


# The network, with packets


def test_policies_that_are_not_enforced_let_packets_through(
    checkout: Checkout, needs: Needs, temporary: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without any, as on a network that does not care for them.
    monkeypatch.setattr(packets, "SETTLE_SECONDS", 4)
    found = list(packets.packets(needs, checkout.settings({}), temporary(), [], []))
    told(only(found, "network policies"), "wrong", "ingress and egress", "packets still pass", "Calico")


def test_wrong_addresses_of_dns_and_api_server_are_named_with_the_right_ones(checkout: Checkout, temporary: Callable[..., Place]) -> None:
    said = {"cluster": {"dns": {"app": "elsewhere"}, "dns_ranges": [], "api_server": ["192.0.2.1/32"]}}
    needed = checkout.needs(said)
    found = list(packets.packets(needed, checkout.settings(said), temporary(needed), packets.policies_of(needed), []))
    told(only(found, "network policies"), "right")
    told(only(found, "cluster DNS"), "wrong", '{"k8s-app": "kube-dns"}', "cluster.dns_ranges")
    told(only(found, "API server from pods"), "wrong", "10.118.0.1/32", "6443")


def test_external_services_are_tried_from_a_pod_through_their_policies(checkout: Checkout, temporary: Callable[..., Place]) -> None:
    # The sandbox's registry stands in for servers outside of the cluster: it accepts connections.
    def external(port: int, ranges: list[str], host: str = "10.118.0.1") -> dict[str, Any]:
        return {"where": "external", "external": {"host": host, "port": port, "user": "app", "ranges": ranges}}

    said = overlay(
        APP_ALONE,
        {
            "postgres": external(5000, ["10.118.0.1/32"]),
            "redis": {
                "jobs": external(443, ["192.0.2.0/24"], "kubernetes.default.svc.cluster.local"),
                "cache": external(5001, ["10.118.0.1/32"]) | {"config_var": "CACHE_URL"},
            },
        },
    )
    needed, settings = checkout.needs(said), checkout.settings(said)
    found = list(packets.packets(needed, settings, temporary(needed), packets.policies_of(needed), packets.external_targets(settings)))
    told(only(found, "network policies"), "right")
    told(only(found, "external postgres"), "right", "10.118.0.1:5000")
    told(only(found, "external redis.jobs"), "wrong", "kubernetes.default.svc.cluster.local:443", "redis.jobs.external.ranges")
    told(only(found, "external redis.cache"), "wrong", "10.118.0.1:5001", "refused")
    assert not [one for one in found if one.check == "API server from pods"], "nothing of this stack needs it"


def test_a_load_balancer_that_nobody_serves_is_named(api: Api, needs: Needs, temporary: Callable[..., Place]) -> None:
    (service,) = balancer.wanted(needs)
    absent = overlay(service, {"spec": {"loadBalancerClass": "nobody.example/none"}})
    told(only(balancer.balancer(api, needs, temporary(seconds=5), absent)), "wrong", "nothing took notice", "mqtt.annotations")


def test_a_gateway_is_there_when_a_pod_runs_in_its_namespace(api: Api) -> None:
    told(only(names.gateway(api, "envoy-gateway-system")), "wrong", "no namespace envoy-gateway-system", "edge.namespaces")
    told(only(names.gateway(api, "default")), "wrong", "no pod runs")
    told(only(names.gateway(api, "kube-system")), "right")


def test_a_class_that_serves_the_edge_is_there_or_is_told_how_to_make(api: Api) -> None:
    told(only(names.gateway_class(api, Edge(where="gateway", class_name="nobody"))), "wrong", "none of that name", "./sy cluster up")
    told(only(names.gateway_class(api, Edge(where="ingress", class_name="nobody"))), "wrong", "none of that name", "install its controller")


def test_a_name_that_devices_dial_must_lead_to_the_broker(api: Api, needs: Needs, stand: Callable[..., tuple[Needs, str]]) -> None:
    told(only(names.device_name(api, needs, "mqtt.lamps.invalid")), "unknown", "after the first `up`")
    there, path = stand()
    (service,) = balancer.wanted(there)
    made = api.create(f"{path}/services", overlay(service, {"metadata": {"namespace": there.namespace}}))
    deadline = time.monotonic() + SECONDS
    while not (address := balancer.address_of(made)):
        assert time.monotonic() < deadline
        made = api.get(f"{path}/services/{name_of(service)}")
    told(only(names.device_name(api, there, "mqtt.lamps.invalid")), "wrong", "does not resolve", f"lead to {address}")
    told(only(names.device_name(api, there, "localhost")), "wrong", "127.0.0.1", address)
    told(only(names.device_name(api, there, address)), "right", address)
    told(only(balancer.balancer(api, there, Place(api, there, Clock(1)), service)), "right", f"the stack's own has {address}")

"""The sandbox does what a real cluster does, and a stopped one leaves nothing behind."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.machine import AlreadyBuilt
from sandbox.cluster import Sandbox
from sandbox.layout import HOST
from sandbox.network import outside
from tools.errors import UserError
from tools.paths import state_dir
from tools.progress import Progress

sys.path.insert(0, str(Path(__file__).parent))
import leftovers
import probe_image

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(os.geteuid() != 0, reason="the sandbox needs root")]

NAMESPACE = "sandbox-test"
REFUSED = "refused"


class Cluster:
    """The sandbox with kubectl for it."""

    def __init__(self, sandbox: Sandbox, kubectl: Path) -> None:
        self.sandbox = sandbox
        self._kubectl = [str(kubectl), f"--kubeconfig={sandbox.kubeconfig}", f"--namespace={NAMESPACE}"]

    def run(self, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._kubectl, *argv], input=text, capture_output=True, text=True, check=False)

    def must(self, *argv: str, text: str | None = None) -> str:
        done = self.run(*argv, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def inside(self, pod: str, command: str) -> subprocess.CompletedProcess[str]:
        return self.run("exec", pod, "--", "sh", "-c", command)

    def get(self, what: str, name: str, path: str) -> str:
        return self.must("get", what, name, f"-o=jsonpath={{{path}}}")


def pod(name: str, image: str, command: str, *, labels: dict[str, str] | None = None, claim: str = "", group: int = 0) -> dict[str, object]:
    """Return a pod that any namespace takes, with the claim mounted at /data."""
    context: dict[str, object] = {"runAsNonRoot": True, "runAsUser": 10100, "seccompProfile": {"type": "RuntimeDefault"}}
    container: dict[str, object] = {
        "name": "main",
        "image": image,
        "command": ["/bin/sh", "-c", command],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "true"]}, "periodSeconds": 1},
    }
    spec: dict[str, object] = {
        "containers": [container],
        "securityContext": context | ({"fsGroup": group} if group else {}),
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def objects(image: str) -> list[dict[str, object]]:
    """Return what the tests below look at."""
    serve = "mkdir -p /tmp/www && echo here > /tmp/www/index.html && exec httpd -f -v -p 8080 -h /tmp/www"
    wait = "exec sleep 100000"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    service = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]}
    balancer = {**service, "type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"app": "public"}}
    rule = {"from": [{"podSelector": {"matchLabels": {"may": "enter"}}}], "ports": [{"port": 8080}]}
    policy = {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [rule], "policyTypes": ["Ingress"]}
    return [
        pod("server", image, serve, labels={"app": "server"}),
        pod("public", image, serve, labels={"app": "public"}),
        pod("allowed", image, wait, labels={"may": "enter"}),
        pod("stranger", image, wait),
        pod("owner", image, wait, claim="owned", group=10100),
        pod("careless", image, wait, claim="closed"),
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "owned"}, "spec": claim},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "closed"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}, "spec": service},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "public"}, "spec": balancer},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "server"}, "spec": policy},
    ]


@pytest.fixture(scope="module")
def progress() -> Iterator[Progress]:
    made = Progress()
    yield made
    made.close()


@pytest.fixture(scope="module")
def cluster(progress: Progress) -> Iterator[Cluster]:
    programs = AlreadyBuilt()
    sandbox = Sandbox(state_dir(), programs)
    if not sandbox.status().up:
        pytest.skip("the sandbox is not up: ./sy sandbox up")
    found = Cluster(sandbox, programs.program("kubectl"))
    image = probe_image.push(programs.program("crane"), sandbox.registry)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    found.must("delete", "namespace", NAMESPACE, "--ignore-not-found")
    found.must("apply", "-f-", text=json.dumps(namespace))
    found.must("apply", "-f-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(image)}))
    found.must("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    yield found
    sandbox.up(None, progress)
    found.must("delete", "namespace", NAMESPACE, "--wait=false")


def eventually(check: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def fetch(cluster: Cluster, client: str, url: str) -> str:
    # Not with -T: it makes the static busybox crash.
    done = cluster.inside(client, f"timeout 3 wget -q -O- {url}")
    return done.stdout.strip() if done.returncode == 0 else REFUSED


def test_up_again_restarts_nothing(cluster: Cluster, progress: Progress) -> None:
    before = cluster.sandbox.status().processes
    cluster.sandbox.up(None, progress)
    assert {process.pid for process in cluster.sandbox.status().processes} == {process.pid for process in before}


def test_names_of_services_resolve_in_pods(cluster: Cluster) -> None:
    answer = cluster.must("exec", "stranger", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    assert "10.120.0.1" in answer


def test_a_volume_belongs_to_root_until_fsgroup_says_otherwise(cluster: Cluster) -> None:
    assert cluster.inside("careless", "stat -c '%a %u' /data").stdout.strip() == "755 0"
    assert cluster.inside("careless", "touch /data/x").returncode != 0
    assert cluster.inside("owner", "touch /data/x").returncode == 0


def test_a_network_policy_lets_one_in_and_refuses_another(cluster: Cluster) -> None:
    assert eventually(lambda: fetch(cluster, "allowed", "http://server") == "here")
    assert eventually(lambda: fetch(cluster, "stranger", "http://server") == REFUSED)
    assert fetch(cluster, "stranger", "http://public") == "here", "the refusal above must be the policy's doing"


def test_a_load_balancer_is_reached_from_outside_with_the_clients_address(cluster: Cluster) -> None:
    assert eventually(lambda: cluster.get("service", "public", ".status.loadBalancer") != "{}")
    address = cluster.get("service", "public", ".status.loadBalancer.ingress[0].ip")
    assert address.startswith("10.121.0.")
    with outside("test") as client:
        ask = client.argv("curl", "-s", "--max-time", "2", f"http://{address}/")
        assert eventually(lambda: subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() == "here")
        assert f"[::ffff:{client.address}]" in cluster.must("logs", "public")


def test_a_service_is_reached_from_the_host(cluster: Cluster) -> None:
    address = cluster.get("service", "public", ".spec.clusterIP")
    with socket.create_connection((address, 80), timeout=3) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in connection.recv(100)


def test_pod_security_refuses_a_privileged_pod(cluster: Cluster) -> None:
    wanted = pod("evil", "none", "true")
    wanted["spec"]["containers"][0]["securityContext"] = {"privileged": True}  # type: ignore[index]
    assert 'violates PodSecurity "restricted' in cluster.run("apply", "-f-", text=json.dumps(wanted)).stderr


def test_a_second_command_is_refused_while_one_works(cluster: Cluster, progress: Progress) -> None:
    with cluster.sandbox._locked(), pytest.raises(UserError, match="is changing the sandbox"):
        cluster.sandbox.up(None, progress)


@pytest.mark.fault
def test_after_a_power_cut_up_brings_everything_back(cluster: Cluster, progress: Progress) -> None:
    cluster.must("exec", "owner", "--", "sh", "-c", "echo kept > /data/kept; sync")
    cluster.sandbox.kill_everything()
    assert not cluster.sandbox.status().running
    cluster.sandbox.up(None, progress)
    assert eventually(lambda: cluster.inside("owner", "cat /data/kept").stdout.strip() == "kept", 60)


@pytest.mark.fault
def test_down_leaves_nothing_and_up_goes_on_where_it_was(cluster: Cluster, progress: Progress) -> None:
    cluster.sandbox.down(progress)
    assert leftovers.find(state_dir() / "sandbox") == []
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", 6443))
        other.listen()
        with pytest.raises(UserError, match=rf"{HOST}:6443, and .*pid {os.getpid()}"):
            cluster.sandbox.up(None, progress)
    cluster.sandbox.up(None, progress)
    assert eventually(lambda: fetch(cluster, "allowed", "http://server") == "here", 60)
    assert eventually(lambda: fetch(cluster, "stranger", "http://server") == REFUSED)

"""The gateway that the cluster has once: what its controller may do, what its namespace admits, and who reaches it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bench.stations import listened, pause_processes
from cli import cluster, machine
from cli import sandbox as cli_sandbox
from cli.kubectl import Kubectl, find
from cli.sandbox import Started
from sandbox import network
from sandbox.network import Outside
from settings.gateway import CONTROLLER, GATEWAY_CLASS, GATEWAY_NAMESPACE
from settings.stack import Cluster
from tools.progress import Progress

ACCOUNT = f"system:serviceaccount:{GATEWAY_NAMESPACE}:{CONTROLLER}"
XDS = 18000
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "guest"},
    "spec": {"containers": [{"name": "guest", "image": "guest", "securityContext": {"privileged": True}}]},
}


@pytest.fixture(scope="module")
def gateway(started: Started) -> Kubectl:
    """The gateway's namespace, with the controller ready."""
    progress = Progress()
    cli_sandbox.start(None, list(cluster.cluster_target.GATEWAY_IMAGES.values()), progress)
    access = Cluster(identifier="sandbox", kubeconfig=str(started.sandbox.kubeconfig), context=started.sandbox.context)
    client = Kubectl(find(machine.find_built("kubectl")), access, GATEWAY_NAMESPACE)
    cluster.refresh(client, progress, required=False, gateway=True)
    progress.close()
    return client


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """A machine on the sandbox's network that is neither the host nor a node."""
    with network.outside("gateway") as made:
        yield made


def said(client: Kubectl, *words: str, text: str = "") -> str:
    done = subprocess.run(client.argv(*words), input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def may(client: Kubectl, verb: str, what: str, namespace: str) -> bool:
    kind, _, part = what.partition("/")
    of = (f"--subresource={part}",) if part else ()
    return said(client, "auth", "can-i", verb, kind, *of, "--namespace", namespace, "--as", ACCOUNT).strip().endswith("yes")


def tried(client: Kubectl, document: dict[str, Any], namespace: str) -> str:
    return said(client, "create", "--dry-run=server", "--namespace", namespace, "--filename", "-", text=json.dumps(document))


def parameters(**kubernetes: Any) -> dict[str, Any]:
    spec = {"provider": {"type": "Kubernetes", "kubernetes": kubernetes}} if kubernetes else {}
    return {"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyProxy", "metadata": {"name": "guest"}, "spec": spec}


def controller(client: Kubectl) -> dict[str, Any]:
    selector = ("--selector", f"app.kubernetes.io/component={CONTROLLER}", "--field-selector", "status.phase=Running")
    return [pod for pod in client.get("pods", *selector)["items"] if "deletionTimestamp" not in pod["metadata"]][-1]


def test_its_class_is_accepted(gateway: Kubectl) -> None:
    found = gateway.get("gatewayclass", GATEWAY_CLASS)
    assert [one["status"] for one in found["status"]["conditions"] if one["type"] == "Accepted"] == ["True"]


@pytest.mark.parametrize(
    ("verb", "what", "namespace", "allowed"),
    [
        ("create", "deployments.apps", GATEWAY_NAMESPACE, True),
        ("create", "deployments.apps", "default", False),
        ("create", "pods", GATEWAY_NAMESPACE, False),
        ("create", "secrets", GATEWAY_NAMESPACE, False),
        ("create", "rolebindings.rbac.authorization.k8s.io", GATEWAY_NAMESPACE, False),
        ("update", "gateways.gateway.networking.k8s.io/status", "default", True),
        ("update", "gateways.gateway.networking.k8s.io", "default", False),
        ("patch", "services", "default", False),
        ("create", "pods/exec", GATEWAY_NAMESPACE, False),
        # The one right that is larger than its need: docs/decisions/23-gateway.md.
        ("list", "secrets", "default", True),
    ],
)
def test_the_controller_makes_things_in_its_own_namespace_alone(
    gateway: Kubectl, verb: str, what: str, namespace: str, allowed: bool
) -> None:
    assert may(gateway, verb, what, namespace) == allowed


def test_its_namespace_refuses_a_pod_that_is_not_restricted(gateway: Kubectl) -> None:
    assert 'violates PodSecurity "restricted' in tried(gateway, POD, GATEWAY_NAMESPACE)


@pytest.mark.parametrize(
    ("refused", "document"),
    [
        (
            "envoyDeployment.pod.volumes",
            parameters(envoyDeployment={"pod": {"volumes": [{"name": "a", "secret": {"secretName": "envoy"}}]}}),
        ),
        ("envoyDeployment.initContainers", parameters(envoyDeployment={"initContainers": [{"name": "a", "image": "b"}]})),
        ("envoyDeployment.patch", parameters(envoyDeployment={"patch": {"value": {"spec": {}}}})),
        ("envoyServiceAccount", parameters(envoyServiceAccount={"name": CONTROLLER})),
    ],
)
def test_a_stack_may_not_reach_into_pods_that_run_beside_others(gateway: Kubectl, refused: str, document: dict[str, Any]) -> None:
    assert f"{refused} is the cluster's to say" in tried(gateway, document, "default")


def test_a_stack_says_how_many_envoys_it_has_and_what_their_balancer_is(gateway: Kubectl) -> None:
    balancer = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]}
    answer = tried(gateway, parameters(envoyDeployment={"replicas": 3}, envoyService=balancer), "default")
    assert "created (server dry run)" in answer


def test_nobody_outside_reaches_the_controller_although_it_listens(gateway: Kubectl, outside: Outside) -> None:
    pod = controller(gateway)
    assert XDS in listened(pause_processes()[GATEWAY_NAMESPACE, pod["metadata"]["name"]])
    argv = outside.argv(sys.executable, "-c", CONNECT, pod["status"]["podIP"], str(XDS))
    assert subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode != 0

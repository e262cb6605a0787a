"""What belongs to a cluster, ready to be worked on: the program in cluster/, its stack, and what the cluster tells of it."""

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml

from cli import checks, kubectl, machine
from cli.engine import Engine
from cli.environment import local_workspace, own_workspace, write_private
from cli.errors import FailedError
from cli.images import SANDBOX_REGISTRY
from cli.kubectl import Kubectl
from cli.stack import KEPT_KEYS, SANDBOX_CLUSTER, Document, Stack, read
from cli.target import existing
from images import catalog
from settings.clusters import PROJECT, ClusterSettings, LogFiles, Route, live_route, load, stacks_on
from settings.gateway import CONTROLLER, GATEWAY_CLASS, GATEWAY_NAMESPACE
from settings.logs import CLUSTER_NAMESPACE, COLLECTOR, RECORD
from settings.ownership import STACK_LABEL
from settings.stack import Cluster
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

FOLDER = ROOT / "cluster"
IMAGE = "otel-collector"
GATEWAY_IMAGES = {"image": "envoy-gateway", "proxy": "envoy"}
"""What the gateway runs: the setting of each image, and its name."""
NAMESPACES = "switchyard.dev/namespaces"
READY_SECONDS = 180
POLL_SECONDS = 0.5
PROGRAM = (
    "cluster/*.py",
    "cluster/Pulumi.yaml",
    "cluster/crds/*.json",
    "components/certificates.py",
    "components/kube/*.py",
    "components/site.py",
    "settings/clusters.py",
    "settings/gateway.py",
    "settings/logs.py",
)
"""What the program's objects are made by: another text may make others."""


@dataclass(frozen=True)
class Standing:
    """What the cluster has of it."""

    collector: Mapping[str, Any] | None
    """The DaemonSet of the collector; None: there is none."""
    controller: Mapping[str, Any] | None = None
    """The Deployment of the gateway's controller; None: there is none."""
    record: Mapping[str, Any] | None = None
    """The ConfigMap that says what all of it was made of."""

    @property
    def digest(self) -> str:
        """What it was made of; empty when `sy` did not make it."""
        said: Mapping[str, Any] = (self.record or {}).get("data") or {}
        return str(said.get("digest", ""))

    @property
    def namespaces(self) -> list[str]:
        """The namespaces whose lines are sent."""
        return [name for name in str(self._annotations.get(NAMESPACES, "")).split(",") if name]

    @property
    def nodes(self) -> tuple[int, int]:
        """On how many nodes a collector of the present configuration is ready, and on how many one should be."""
        status: Mapping[str, Any] = (self.collector or {}).get("status") or {}
        return min(int(status.get("numberReady", 0)), int(status.get("updatedNumberScheduled", 0))), int(
            status.get("desiredNumberScheduled", 0)
        )

    @property
    def ready(self) -> bool:
        """Whether every node has its collector."""
        if self.collector is None:
            return False
        status: Mapping[str, Any] = self.collector.get("status") or {}
        observed = int(status.get("observedGeneration", 0))
        ready, wanted = self.nodes
        return wanted > 0 and ready == wanted and observed >= int(self.collector["metadata"]["generation"])

    @property
    def serves(self) -> bool:
        """Whether the gateway's controller, as it should be now, is ready."""
        if self.controller is None:
            return False
        status: Mapping[str, Any] = self.controller.get("status") or {}
        current = int(status.get("observedGeneration", 0)) >= int(self.controller["metadata"]["generation"])
        return current and min(int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0))) > 0

    @property
    def _annotations(self) -> Mapping[str, str]:
        return (self.collector or {"metadata": {}})["metadata"].get("annotations") or {}


@dataclass(frozen=True)
class ClusterTarget:
    """One cluster."""

    identifier: str
    engine: Engine
    kubectl: Kubectl
    """Of the namespace that the program makes."""
    settings: ClusterSettings
    routes: list[Route]
    """The stacks as they should be served now."""
    on_sandbox: bool

    def standing(self) -> Standing:
        """Ask the cluster; FailedError when it does not answer."""
        return standing(self.kubectl)

    def log_files(self) -> LogFiles:
        """Return how the first node's kubelet keeps log files; what the settings say where it does not tell."""
        try:
            [node, *_] = cast("list[Any]", self.kubectl.get("nodes")["items"])
            told = self.kubectl.raw(f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz")["kubeletconfig"]
            return LogFiles(size=str(told["containerLogMaxSize"]), count=int(told["containerLogMaxFiles"]))
        except (FailedError, KeyError, ValueError):
            return self.settings.log_files

    def wait_ready(self, progress: Progress) -> None:
        """Wait until every node has its collector, and the gateway its controller, where they are wanted."""
        if any(route.loki for route in self.routes):
            reason = "not every node has its log collector"
            self._wait("the log collector on the nodes", reason, CLUSTER_NAMESPACE, progress, lambda: self.standing().ready)
        if self.settings.serves(self.routes):
            reason = "the gateway has no controller"
            self._wait("the gateway's controller", reason, GATEWAY_NAMESPACE, progress, lambda: self.standing().serves)

    def _wait(self, what: str, reason: str, namespace: str, progress: Progress, ready: Callable[[], bool]) -> None:
        if ready():
            return
        deadline = time.monotonic() + READY_SECONDS
        with progress.step(f"waiting for {what} of {self.identifier}"):
            while not ready():
                if time.monotonic() > deadline:
                    raise FailedError(
                        f"after {READY_SECONDS} s {reason}. Look with: {self.kubectl.shown()} --namespace {namespace} get pods,events"
                    )
                time.sleep(POLL_SECONDS)


def standing(client: Kubectl) -> Standing:
    """Ask a cluster what it has; FailedError when it does not answer."""
    own, beside = _inside(client, CLUSTER_NAMESPACE), _inside(client, GATEWAY_NAMESPACE)
    return Standing(
        own.get("daemonset", COLLECTOR, "--ignore-not-found") or None,
        beside.get("deployment", CONTROLLER, "--ignore-not-found") or None,
        own.get("configmap", RECORD, "--ignore-not-found") or None,
    )


def opened(name: str, progress: Progress) -> ClusterTarget:
    """Return the cluster that a stack stands on; UserError when it can not be reached that way."""
    stack = Stack.open(name)
    if stack.on_sandbox:
        target = existing(name, progress)
        return on_sandbox(target.reached(), progress)
    checks.require_login(stack)
    return _own(stack, progress)


def on_sandbox(client: Kubectl, progress: Progress, *, gateway: bool = False) -> ClusterTarget:
    """Return the sandbox: its stacks are those that stand on it, because several checkouts may have brought theirs up.

    `gateway`: a stack is about to have a Gateway. Once there, the controller stays.
    """
    workspace = local_workspace()
    workspace.prepare()
    routes = live_routes(client)
    folder = workspace.stacks / "cluster"
    folder.mkdir(exist_ok=True)
    file = folder / f"Pulumi.{SANDBOX_CLUSTER}.yaml"
    before = own_words(file)
    said: Document = {
        "cluster": client.cluster.model_dump(mode="json", include={"identifier", "kubeconfig", "context", "api_server"}),
        # Two cores hold the whole product; what is asked for is kept free, and all of it is used by nobody.
        "resources": {"cpu": "20m"},
        "routes": [route.model_dump(mode="json") for route in routes],
    }
    if any(route.loki for route in routes):
        said["image"] = sandbox_image(IMAGE) or before.get("image") or _unbuilt(IMAGE, "a stack whose logs are kept")
    if gateway or standing(client).controller:
        said["gateway"] = _gateway_on_sandbox(cast("Document", before.get("gateway") or {}))
    said |= own_words(FOLDER / file.name)
    said["digest"] = digest(said)
    _write(file, said)
    programs = machine.ensure(machine.ENGINE, progress)
    engine = Engine(programs.engine, SANDBOX_CLUSTER, file, workspace, workspace.variables(programs.toolchain), FOLDER, PROJECT)
    return ClusterTarget(SANDBOX_CLUSTER, engine, _inside(client), load(said), routes, on_sandbox=True)


def _gateway_on_sandbox(before: Document) -> Document:
    """Return what the sandbox says of the gateway; an image that is not built here stays as it was said `before`."""
    images = {
        key: sandbox_image(name) or before.get(key) or _unbuilt(name, "a stack with a Gateway") for key, name in GATEWAY_IMAGES.items()
    }
    # Its balancers lead to the nodes by the balancer's own address.
    return {**images, "always": True, "node_ports": False, "replicas": 1, "resources": {"cpu": "20m", "memory": "192Mi"}}


def _unbuilt(image: str, whom: str) -> NoReturn:
    raise UserError(f"the image {image} has not been built yet: `./sy up` builds it, for {whom}")


def _own(stack: Stack, progress: Progress) -> ClusterTarget:
    identifier = stack.settings.cluster.identifier
    file = FOLDER / f"Pulumi.{identifier}.yaml"
    settings, found = load(own_words(file)), stacks_on(identifier, ROOT)
    access = settings.cluster or found.access
    if access is None or not access.context:
        raise UserError(f"stack {stack.name} names no cluster.context yet: say how the cluster {identifier} is reached")
    routes = found.routes if settings.routes is None else settings.routes
    workspace = own_workspace()
    programs = machine.ensure(machine.ENGINE, progress)
    engine = Engine(programs.engine, identifier, file, workspace, workspace.variables(programs.toolchain), FOLDER, PROJECT)
    client = Kubectl(kubectl.find(machine.find_built("kubectl")), access, CLUSTER_NAMESPACE)
    return ClusterTarget(identifier, engine, client, settings, routes, on_sandbox=False)


def own_words(file: Path) -> Document:
    """Return what a cluster's file says, by its bare keys."""
    config = cast("Document", read(file).get("config") or {})
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items() if key.startswith(f"{PROJECT}:")}


def live_routes(client: Kubectl) -> list[Route]:
    """Return the stacks that stand on the cluster, as their namespaces tell."""
    found = client.get("namespaces", "--selector", STACK_LABEL)
    return [route for namespace in cast("list[Any]", found["items"]) for route in live_route(namespace)]


def with_gateways(client: Kubectl) -> list[str]:
    """Return the namespaces whose Gateways the cluster's gateway serves; FailedError when the cluster does not answer."""
    found = client.get("gateways.gateway.networking.k8s.io", "--all-namespaces")
    served = [one for one in cast("list[Any]", found["items"]) if one["spec"]["gatewayClassName"] == GATEWAY_CLASS]
    return sorted({str(one["metadata"]["namespace"]) for one in served})


def digest(said: Document) -> str:
    """Return what changes with the program and with what it is told."""
    made = hashlib.sha256(json.dumps({key: value for key, value in said.items() if key != "digest"}, sort_keys=True).encode())
    for pattern in PROGRAM:
        for file in sorted(ROOT.glob(pattern)):
            made.update(file.read_bytes())
    return made.hexdigest()[:20]


@contextlib.contextmanager
def locked() -> Generator[None]:
    """Hold the lock of the sandbox's cluster program: of two `up` at once, the second waits for the first."""
    workspace = local_workspace()
    workspace.prepare()
    with (workspace.folder / "cluster.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _inside(client: Kubectl, namespace: str = CLUSTER_NAMESPACE) -> Kubectl:
    return Kubectl(client.program, Cluster.model_validate(client.cluster.model_dump()), namespace)


def sandbox_image(name: str) -> str | None:
    """Return an image in the sandbox's registry; None when it has not been built as it is described now."""
    try:
        built = catalog.built(name, machine.AlreadyBuilt())
    except UserError:
        return None
    return f"{SANDBOX_REGISTRY}/{name}@{built.digest}" if built else None


def _write(file: Path, said: Document) -> None:
    """Write a stack file of the second project, if it changed; what Pulumi keeps in it stays."""
    before = read(file)
    config = {"pulumi:disable-default-providers": ["kubernetes"], **{f"{PROJECT}:{key}": value for key, value in said.items()}}
    text = yaml.safe_dump({**{key: before[key] for key in KEPT_KEYS if key in before}, "config": config}, sort_keys=False)
    if not file.exists() or file.read_text() != text:
        write_private(file, text)


def missing(target: ClusterTarget, standing: Standing) -> Sequence[str]:
    """Return the namespaces whose lines should be sent and are not."""
    return sorted({route.namespace for route in target.routes if route.loki} - set(standing.namespaces))

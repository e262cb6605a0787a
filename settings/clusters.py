"""What belongs to a cluster and not to a stack: the settings of the program in cluster/, and what it must know of each stack there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from pydantic import Field, ValidationError

from settings.errors import SettingsError
from settings.gateway import GATEWAY_CLASS, Gateway
from settings.loader import ROOT, read_stack_file, resolve
from settings.logs import COMPONENTS_ANNOTATION, KUBELET_LABEL, LOGS_LABEL
from settings.messages import problem_of
from settings.quantities import bytes_of
from settings.stack import Cluster, Settings
from settings.types import AbsolutePath, Bytes, Count, Image, Model, Resources

PROJECT = "switchyard-cluster"
"""Name of the second Pulumi project, and namespace of its keys."""
READABLE_FILES = 2
"""Files of a container that the collector reads: the one that is written to, and the one before it. The kubelet packs older ones."""


QUEUED_LINES = 0.7
"""What of a full queue is lines, when they have 100 bytes; the rest is when and where each was written."""


class LogFiles(Model):
    """How the nodes' kubelets keep containers' log files: what containerLogMaxSize and containerLogMaxFiles say there."""

    size: Bytes = "10Mi"
    """The kubelet turns to a new file when one has this many bytes."""
    count: Count = 5
    """Files that it keeps of each container."""


class Route(Model):
    """One stack on the cluster: whose lines are read, and where they go."""

    namespace: str
    """The stack's namespace, and the tenant of its lines."""
    loki: str | None = None
    """The namespace of the Loki that keeps them; None: nobody does."""
    components: list[str] = []
    """The stack's components: each is read, buffered and sent by itself, so that one that writes too much holds up no other."""
    kubelet: bool = False
    """Whether its Prometheus reads the kubelets' figures."""
    gateway: bool = False
    """Whether it has a Gateway of the class switchyard."""


class ClusterSettings(Model):
    """What the program in cluster/ is told: cluster/Pulumi.<identifier>.yaml, only as far as it differs."""

    cluster: Cluster | None = None
    """How the cluster is reached; None: as the stacks on it say."""
    image: Image = "otel-collector"
    """The collector's image, with a digest; `up` refuses one without."""
    pod_logs: AbsolutePath = "/var/log/pods"
    """The folder on each node with the containers' log files."""
    state: AbsolutePath = "/var/lib/switchyard-collector"
    """The folder on each node where the collector keeps how far it has read, and what waits to be sent."""
    queue: Bytes = "16Mi"
    """Bytes on each node's disk that may wait for a Loki, for each component of each stack."""
    log_files: LogFiles = LogFiles()
    """How long lines can wait in the files themselves."""
    resources: Resources = Resources(cpu="100m", memory="256Mi", scratch="64Mi")
    """What it asks for on each node."""
    gateway: Gateway = Gateway()
    """The controller of all stacks' Gateways; made where a stack has one of the class switchyard."""
    routes: list[Route] | None = None
    """The stacks; None: those of the files Pulumi.<stack>.yaml whose cluster.identifier is this cluster's, and who want anything of it."""
    pull_secrets: list[str] = []
    """Names of Secrets in the namespace switchyard-cluster that the kubelet pulls with, made by somebody else."""
    digest: str = Field(default="", pattern=r"^[0-9a-f]*$")
    """What `sy` recognises the same program with the same settings by; people leave it out."""

    def serves(self, routes: Iterable[Route]) -> bool:
        """Return whether the gateway's controller is there for these stacks."""
        return self.gateway.always or any(route.gateway for route in routes)

    def loose(self, routes: Iterable[Route]) -> list[str]:
        """Return the keys of the images that run for these stacks and have no digest."""
        routes = list(routes)
        collected = {"image": self.image} if any(route.loki for route in routes) else {}
        served = {"gateway.image": self.gateway.image, "gateway.proxy": self.gateway.proxy} if self.serves(routes) else {}
        return [key for key, image in {**collected, **served}.items() if "@sha256:" not in image]


@dataclass(frozen=True)
class Stacks:
    """What the stacks' files say of one cluster."""

    routes: list[Route]
    access: Cluster | None
    """How the first of them that knows reaches it."""
    unread: list[str]
    """Sentences about files that can not be read; their stacks may be on it as well."""


def load(said: Mapping[str, Any]) -> ClusterSettings:
    """Return the settings; SettingsError has everything that is wrong."""
    try:
        return ClusterSettings.model_validate(dict(said))
    except ValidationError as error:
        found = [problem_of(detail, "the cluster's file") for detail in error.errors(include_url=False, include_context=True)]
        raise SettingsError([f"{'.'.join(map(str, one.path))}: {one.reason}" for one in found]) from None


def stacks_on(identifier: str, root: File = ROOT) -> Stacks:
    """Return what the stacks' files in `root` say of the cluster called `identifier`."""
    routes: list[Route] = []
    access: Cluster | None = None
    unread: list[str] = []
    for file in sorted(root.glob("Pulumi.?*.yaml")):
        name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        try:
            settings = resolve(name, *read_stack_file(file, root), root)
        except SettingsError as error:
            unread += [f"{file.name} is left out, because it can not be read: {problem}" for problem in error.problems[:1]]
            continue
        if settings.cluster.identifier != identifier:
            continue
        access = access or (settings.cluster if settings.cluster.context else None)
        routes += route_of(name, settings)
    return Stacks(routes, access, unread)


def route_of(stack: str, settings: Settings) -> Iterator[Route]:
    """Yield what the cluster does for a stack: nothing, if its lines are not kept and nobody reads the kubelets' figures."""
    namespace = settings.namespace_of(stack)
    loki, kubelet = settings.logs.kept_in(namespace), settings.metrics.where == "cluster" and settings.metrics.kubelet
    gateway = has_gateway(settings)
    if loki or kubelet or gateway:
        yield Route(namespace=namespace, loki=loki, components=components(settings), kubelet=kubelet, gateway=gateway)


def has_gateway(settings: Settings) -> bool:
    """Return whether the stack has a Gateway that the cluster's controller serves."""
    return settings.edge.where == "gateway" and settings.edge.class_name == GATEWAY_CLASS


def components(settings: Settings) -> list[str]:
    """Return the names of the stack's pods, without what tells them apart."""
    return sorted({part.component for part in settings.footprint()})


def live_route(namespace: Mapping[str, Any]) -> Iterator[Route]:
    """Yield what the cluster does for a stack, as its namespace tells it; a Gateway is served without anybody's telling."""
    about: dict[str, Any] = namespace["metadata"]
    labels: dict[str, str] = about.get("labels") or {}
    loki, kubelet = labels.get(LOGS_LABEL), labels.get(KUBELET_LABEL) == "true"
    annotations: dict[str, str] = about.get("annotations") or {}
    listed = annotations.get(COMPONENTS_ANNOTATION, "")
    if (loki or kubelet) and not about.get("deletionTimestamp"):
        yield Route(namespace=about["name"], loki=loki, components=sorted(filter(None, listed.split(","))), kubelet=kubelet)


def outage_seconds(files: LogFiles, queue: str, bytes_a_second: float) -> float:
    """Return for how long a Loki may be away before a container that writes so fast loses lines.

    First the queue takes them, then they wait in the container's files. Of those the one before the current is certain to be whole and
    unpacked; the current one may just have begun.
    """
    whole = min(files.count, READABLE_FILES) - 1
    return (bytes_of(queue) * QUEUED_LINES + whole * bytes_of(files.size)) / bytes_a_second

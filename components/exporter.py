"""What all exporters have in common: a program of the image `exporters`, in a small Deployment, client of the server that it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import core

from components.endpoints import Endpoint
from components.kube import probes
from components.kube.configuration import config_map, secret
from components.kube.workload import Pod, container, deployment, from_config, from_secret
from components.site import Site
from settings.metrics import Metrics
from settings.types import Resources, bytes_of

LOGIN, CONFIG, AUTHORITY = "/run/secrets/exporter", "/etc/exporter", "/etc/exporter-ca"
PASSWORD = f"{LOGIN}/password"
CA_FILE = f"{AUTHORITY}/ca.pem"
START_WITHIN_SECONDS = 60
IMAGE = "exporters"


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A program of the image `exporters`."""

    name: str
    port: int
    command: Sequence[str]
    resources: Resources
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    path: str = "/"
    """What it answers at once, without asking its server."""

    @property
    def port_name(self) -> str:
        """What its port is called: redis, sidekiq. Two of one pod may not share a name."""
        return self.name.removesuffix("-exporter")

    def container(self, site: Site, mounts: Mapping[str, str]) -> core.v1.ContainerArgs:
        """Return its container. It is alive when it listens and ready when it answers: whether its server does is a metric."""
        limit = {"GOMEMLIMIT": str(bytes_of(self.resources.memory) * 3 // 4), "GOMAXPROCS": "1"}
        return container(
            self.name,
            site.image(IMAGE),
            site,
            self.resources,
            command=self.command,
            env={**limit, **self.env},
            ports={self.port_name: self.port},
            mounts=mounts,
            read_only=[*mounts],
            probes={
                "startup_probe": probes.tcp(self.port, within_seconds=START_WITHIN_SECONDS),
                "liveness_probe": probes.tcp(self.port),
                "readiness_probe": probes.http(self.path, self.port),
            },
        )


def run(
    parent: pulumi.Resource,
    name: str,
    exporters: Sequence[Exporter],
    args: Metrics,
    site: Site,
    endpoint: Endpoint | None = None,
    config: str | None = None,
) -> None:
    """Make the Deployment of `exporters`: clients of `endpoint`, with its password, the files of `config`, and the server's authority."""
    child = pulumi.ResourceOptions(parent=parent)
    volumes: list[core.v1.VolumeArgs] = []
    mounts: dict[str, str] = {}
    if endpoint and endpoint.password is not None:
        login = {"password": endpoint.password}
        volumes.append(from_secret("login", secret(name, name, site, login, [endpoint.user, endpoint.fingerprint], child)))
        mounts[LOGIN] = "login"
    if config:
        volumes.append(from_config("config", config))
        mounts[CONFIG] = "config"
    if endpoint and endpoint.ca is not None:
        trusted = config_map(f"{name}-ca", name, site, {"ca.pem": endpoint.ca}, child, endpoint.ca_fingerprint)
        volumes.append(from_config("authority", trusted))
        mounts[AUTHORITY] = "authority"
    pod = Pod(
        component=name,
        containers=[exporter.container(site, mounts) for exporter in exporters],
        volumes=volumes,
        labels=endpoint.client_labels if endpoint else {},
        grace_seconds=10,
        placement=args.placement,
    )
    # Never two at once: every sum over their figures would be twice as large.
    deployment(name, pod, site, child, replicas=1, start_seconds=START_WITHIN_SECONDS, singleton=True)

"""A release of the app: one image with one configuration, which never change while its pods live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import pulumi
from pulumi_kubernetes import core

from components.endpoints import AUTHORITIES
from components.kube.configuration import digest
from components.kube.workload import Pod, container, empty_dir, from_config
from components.site import Site
from components.watch import Expectation, Scrape, fact
from settings.app import App, Process, Schedule
from settings.app import Release as ReleaseSettings

APP_LABEL = "switchyard.dev/app"
"""Label of every pod that runs the app's image: it may reach the SaaS that the product uses."""
SERVICE_ACCOUNT = "app"
"""What every pod that runs the app's image runs as: a cloud may give it rights of its own, and the cluster gives it none."""
IDENTITY = "switchyard.dev/identity"
"""Annotation of a pod that changes with those of its ServiceAccount."""
METRICS = "metrics"
"""The name of the port where a process tells its own metrics, and takes no requests of anybody else."""
WRITABLE = "writable"
"""The volume of all folders that the app may write to."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What every process of the app runs with."""

    app: App
    image: str
    config_secret: str
    """Name of the immutable Secret with all config vars."""
    authorities: str | None
    """Name of the immutable ConfigMap with the certificates that external servers are verified with."""
    client_labels: Mapping[str, str]
    """Labels that let its pods reach the backing services."""
    after: Sequence[pulumi.Resource] = ()
    """What must have succeeded before a pod of this release starts: its migration."""
    extra_secrets: Sequence[pulumi.Input[str]] = field(default_factory=list[pulumi.Input[str]])
    """Further Secrets whose keys become config vars."""

    def pod(
        self,
        component: str,
        said: Process | Schedule | ReleaseSettings,
        site: Site,
        *,
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        probes: Mapping[str, core.v1.ProbeArgs] | None = None,
        prestop: Sequence[str] | None = None,
        grace_seconds: int = 30,
        restart_policy: str | None = None,
    ) -> Pod:
        """Return a pod of this release that runs a process called `component`."""
        volumes = {path: f"{WRITABLE}/{_folder(path)}" for path in self.app.writable}
        trusted = {AUTHORITIES: "authorities"} if self.authorities else {}
        process = container(
            "app",
            self.image,
            site,
            said.resources,
            command=command or said.command,
            env={**getattr(said, "config", {}), **(env or {}), **_metrics_env(said)},
            # Code that ran on Heroku asks DYNO where it is.
            env_fields={"DYNO": "metadata.name"},
            env_secrets=[self.config_secret, *self.extra_secrets],
            ports={**(ports or {}), **_metrics_port(said)},
            mounts={**volumes, **trusted},
            read_only=[*trusted],
            probes=probes,
            prestop=prestop,
        )
        return Pod(
            component=component,
            containers=[process],
            init_containers=[self._folders(said, site)] if volumes else [],
            volumes=[
                *([empty_dir(WRITABLE, said.resources.scratch)] if volumes else []),
                *([from_config("authorities", self.authorities)] if self.authorities else []),
            ],
            labels={APP_LABEL: "true", **self.client_labels},
            uid=self.app.uid,
            grace_seconds=grace_seconds,
            restart_policy=restart_policy,
            service_account=SERVICE_ACCOUNT,
            # A cloud hands out an account's identity when a pod is made.
            annotations={IDENTITY: digest(identity)} if (identity := self.app.service_account_annotations) else {},
            placement=said.placement,
        )

    def _folders(self, said: Process | Schedule | ReleaseSettings, site: Site) -> core.v1.ContainerArgs:
        """Return the container that makes the writable folders sticky, as /tmp is everywhere else.

        An emptyDir is writable for all and not sticky. Ruby does not take such a folder for temporary files, and uploads fail.
        """
        folders = [f"/{WRITABLE}/{_folder(path)}" for path in self.app.writable]
        # It may run again on the same volume, after the node was restarted.
        command = ["mkdir", "-p", "-m", "1777", *folders]
        return container("folders", self.image, site, said.resources, command=command, mounts={f"/{WRITABLE}": WRITABLE})


def scrapes(component: str, said: Process) -> tuple[Scrape, ...]:
    """Return where the process called `component` tells its metrics, if it does."""
    return (Scrape(job=component, component=component, port=said.metrics.port, path=said.metrics.path),) if said.metrics else ()


def told(component: str, said: Process) -> tuple[Expectation, ...]:
    """Return the expectation that the process called `component` tells metrics of its own, if it does."""
    return (fact("switchyard:app_metrics", component),) if said.metrics else ()


def _metrics_port(said: Process | Schedule | ReleaseSettings) -> dict[str, int]:
    return {METRICS: said.metrics.port} if isinstance(said, Process) and said.metrics else {}


def _metrics_env(said: Process | Schedule | ReleaseSettings) -> dict[str, str]:
    return {"METRICS_PORT": str(said.metrics.port)} if isinstance(said, Process) and said.metrics else {}


def _folder(path: str) -> str:
    return quote(path.strip("/"), safe="")

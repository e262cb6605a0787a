"""Processes without a port: what the other lines of a Procfile were, and what Heroku Scheduler ran."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core

from components.kube import probes
from components.kube.workload import cron_job, deployment
from components.release import Release, scrapes, told
from components.site import Site
from components.watch import Expectation, Watch, members, rules
from settings.app import Process as ProcessSettings
from settings.app import Schedule as ScheduleSettings
from settings.types import seconds_of

MISSED_SECONDS = 300
"""A run that could not start within this time of its hour is left out; the next one comes by itself."""

SETTLE_SECONDS = 30
"""A process without a heartbeat counts as started when it has run this long: one that crashes while it boots replaces no old one."""


class Process(pulumi.ComponentResource):
    """A long-running command of the app: a Deployment of its own name."""

    watch: Watch
    """Its own metrics, where it has them, and how many of it there are."""

    def __init__(
        self, name: str, process: str, args: ProcessSettings, site: Site, release: Release, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the process called `process` of `release`."""
        super().__init__("switchyard:index:Process", name, None, opts)
        run(self, name, process, args, site, release)
        self.watch = watched(process, args, *rules("processes"))
        self.register_outputs({})


class Schedule(pulumi.ComponentResource):
    """A command of the app at set times: a CronJob that never overlaps itself."""

    def __init__(
        self, name: str, schedule: str, args: ScheduleSettings, site: Site, release: Release, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the schedule called `schedule` of `release`."""
        super().__init__("switchyard:index:Schedule", name, None, opts)
        cron_job(
            name,
            release.pod(schedule, args, site, restart_policy="Never"),
            site,
            pulumi.ResourceOptions(parent=self, depends_on=list(release.after)),
            schedule=args.cron,
            time_zone=args.time_zone,
            stop_seconds=seconds_of(args.stop_after),
            missed_seconds=MISSED_SECONDS,
            retries=1,
        )
        self.register_outputs({})


def watched(component: str, said: ProcessSettings, *rules: str, expects: Sequence[Expectation] = ()) -> Watch:
    """Return what a process without a port brings to be watched: its own metrics, its number, and the files of its `rules`.

    `expects` are further facts that its rules compare with.
    """
    rules = (*rules, "app") if said.metrics else rules
    expectations = (members(component, said.replicas), *told(component, said), *expects)
    return Watch(rules=rules, scrapes=scrapes(component, said), expectations=expectations)


def run(
    parent: pulumi.Resource,
    name: str,
    component: str,
    said: ProcessSettings,
    site: Site,
    release: Release,
    *,
    command: list[str] | None = None,
    env: dict[str, str] | None = None,
    singleton: bool = False,
) -> None:
    """Make the Deployment of a process without a port; it is alive as long as it touches its heartbeat file."""
    pod = release.pod(component, said, site, command=command, env=env, probes=_probes(said), grace_seconds=said.grace_seconds)
    opts = pulumi.ResourceOptions(parent=parent, depends_on=list(release.after))
    deployment(
        name,
        pod,
        site,
        opts,
        replicas=said.replicas,
        start_seconds=seconds_of(said.start_within),
        settle_seconds=None if said.health else SETTLE_SECONDS,
        singleton=singleton or said.singleton,
    )


def _probes(said: ProcessSettings) -> dict[str, core.v1.ProbeArgs]:
    if said.health is None:
        return {}
    return {
        "startup_probe": probes.heartbeat(said.health, within_seconds=seconds_of(said.start_within)),
        "liveness_probe": probes.heartbeat(said.health),
        # No Service asks for it. But a drain and a rollout do: neither takes away the last one that works.
        "readiness_probe": probes.heartbeat(said.health, early=True),
    }

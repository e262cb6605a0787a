"""The nightly restart: of chosen processes, one after the other, at a set time. Off unless a stack asks for it."""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings.app import Process
from settings.problems import Problem
from settings.quantities import seconds_of
from settings.types import Cron, DnsLabel, Model, Placement, Resources, TimeZone

if TYPE_CHECKING:
    from settings.stack import Settings

COMPONENT = "restart"
"""The CronJob, its pods, its account and its Role."""
MARGIN_SECONDS = 60
"""What a rollout is given beyond the sum of what its pods may take: scheduling, pulling an image, forgetting endpoints."""


class Restart(Model):
    """A restart of processes at a set time. One that needs it has a fault: docs/components/restart.md has better cures."""

    processes: list[DnsLabel] = []
    """Which, by the name of their pods (web, sidekiq-alerts), in this order: the next one is restarted when the one before serves again.
    None: nothing is restarted. Never the consumer, never what keeps data."""
    cron: Cron = "30 3 * * *"
    """When, as five cron fields."""
    time_zone: TimeZone = "Etc/UTC"
    """The zone that `cron` is read in."""
    resources: Resources = Resources(cpu="10m", memory="96Mi", scratch="16Mi")
    """What the pod asks for that restarts them; kubectl was seen to use 48 MiB."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""


def restartable(settings: "Settings") -> dict[str, Process]:
    """Return the processes that may be restarted at a set time, by the name of their pods."""
    pools = {f"sidekiq-{name}": pool for name, pool in settings.sidekiq.items()}
    return {**settings.web, **pools, **settings.running_processes()}


def within_seconds(process: Process) -> int:
    """Return how long a rolling restart may take: its pods start one after the other, and each old one may work on for its grace period."""
    return process.replicas * (seconds_of(process.start_within) + process.grace_seconds) + MARGIN_SECONDS


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each name that is no process, or one that must not be restarted by the clock."""
    known, seen = restartable(settings), set[str]()
    for index, name in enumerate(settings.restart.processes):
        path = ("restart", "processes", index)
        reads = (("web",), ("sidekiq",), ("processes",))
        if name in seen:
            yield Problem(path, "is named twice", name)
        elif name not in known:
            yield Problem(path, _why_not(settings, name, list(known)), name, reads)
        seen.add(name)


def _why_not(settings: "Settings", name: str, known: list[str]) -> str:
    if name == "consumer":
        return "never by the clock: while it starts no fall is read. One that hangs is restarted by its heartbeat (consumer.health)"
    services = {"postgres", "mqtt", "elasticsearch", "loki", "prometheus", "alertmanager", *(f"redis-{redis}" for redis in settings.redis)}
    if name in services or name in {"redis", "rabbitmq"}:
        return "never by the clock: it keeps data, and every restart of it is a failover or an outage"
    if name in settings.processes:
        return "does not run in this stack: something that it needs is absent"
    if name in settings.sidekiq:
        return f'expected the name of its pods - did you mean "sidekiq-{name}"?'
    close = difflib.get_close_matches(name, known, 1)
    meant = f' - did you mean "{close[0]}"?' if close else f"; there is {', '.join(known) or 'none'}"
    return f"expected a process of the app that runs all the time{meant}"

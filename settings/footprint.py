"""What a stack asks of its cluster: pods, processor time, memory and volumes, by component, also while a release is rolled out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from settings import rotation
from settings.app import Process
from settings.elasticsearch import SNAPSHOT_JOB
from settings.problems import Path
from settings.quantities import bytes_of, cores_of
from settings.restart import COMPONENT as RESTART
from settings.types import Resources
from settings.watching import exporters

if TYPE_CHECKING:
    from settings.stack import Settings

SURGE = 1
"""Pods beyond its replicas that a Deployment may have while it rolls out (maxSurge); one that runs alone (Recreate) has none."""


@dataclass(frozen=True)
class Footprint:
    """What one component asks for. An init container asks for what its pod's main one does, and is not added to it."""

    component: str
    """The name of its pods: web, sidekiq-alerts, postgres, release."""
    replicas: int
    """Pods that run all the time; a Job's and a schedule's do not."""
    surge: int
    """Pods beside them while a release is rolled out, or at set times."""
    cpu: Decimal
    """Cores that each pod asks for."""
    memory: int
    """Bytes of memory that each pod asks for."""
    storage: int
    """Bytes of each replica's volume; 0 for none."""
    path: Path = ()
    """Where the settings say it."""

    @property
    def pods(self) -> int:
        """Pods at the most."""
        return self.replicas + self.surge


@dataclass(frozen=True)
class Total:
    """The sum over components."""

    cpu: Decimal
    memory: int
    storage: int


def footprint(settings: "Settings") -> list[Footprint]:
    """Return what each component asks for, in the order in which a stack is made."""
    return [*_services(settings), *_app(settings), *_watching(settings)]


def total(parts: Sequence[Footprint], *, rolling: bool = True) -> Total:
    """Return the sum of all parts, with the pods that a rollout adds unless `rolling` is false."""
    pods = [(part, part.pods if rolling else part.replicas) for part in parts]
    return Total(
        cpu=sum((part.cpu * count for part, count in pods), Decimal(0)),
        memory=sum(part.memory * count for part, count in pods),
        storage=sum(part.storage * part.replicas for part in parts),
    )


def _services(settings: "Settings") -> Iterator[Footprint]:
    postgres, mqtt, search = settings.postgres, settings.mqtt, settings.elasticsearch
    beside = volume_exporters(settings)
    if postgres.where == "cluster":
        yield _part("postgres", postgres.members, 0, postgres.resources, ("postgres",), postgres.volume.size, beside)
    for name, redis in settings.redis.items():
        if redis.where == "cluster":
            volume = redis.volume.size if redis.persistent else None
            yield _part(f"redis-{name}", 1, 0, redis.resources, ("redis", name), volume, beside)
    if mqtt.where == "cluster":
        yield _part("mqtt", mqtt.members, 0, mqtt.resources, ("mqtt",), mqtt.volume.size, beside)
    if search.where == "cluster":
        part = _part("elasticsearch", search.members, 0, search.resources, ("elasticsearch",), search.volume.size, beside)
        kept = search.keeps_snapshots
        yield replace(part, storage=part.storage + bytes_of(kept.size)) if kept else part
        if search.snapshots:
            yield _part("elasticsearch-snapshots", 0, 1, SNAPSHOT_JOB, ("elasticsearch", "snapshots"))
    if (logs := settings.logs).where == "cluster":
        yield _part("loki", 1, 0, logs.resources, ("logs",), logs.volume.size, beside)


def volume_exporters(settings: "Settings") -> list[Resources]:
    """Return what the container asks for that stands in each pod with a volume: it tells the volume's free space."""
    return [settings.metrics.volumes] if settings.metrics.where == "cluster" else []


def _watching(settings: "Settings") -> Iterator[Footprint]:
    metrics = settings.metrics
    if metrics.where == "cluster":
        beside = volume_exporters(settings)
        yield _part("prometheus", 1, 0, metrics.resources, ("metrics",), metrics.volume.size, beside)
        alerts = settings.alerts
        yield _part("alertmanager", 1, 0, alerts.resources, ("alerts",), alerts.volume.size, beside)
    for name, (first, *others) in exporters(settings).items():
        yield _part(name, 1, 0, first, ("metrics",), always=others)
    if settings.canary.where == "cluster":
        yield _part("canary", 1, 0, settings.canary.resources, ("canary",))
    if settings.grafana.where == "cluster":
        yield _part("grafana", 1, SURGE, settings.grafana.resources, ("grafana",))


def _app(settings: "Settings") -> Iterator[Footprint]:
    if settings.release.command:
        yield _part("release", 0, 1, settings.release.resources, ("release",))
    for name, web in settings.web.items():
        yield _process(name, web, ("web", name))
    for name, pool in settings.sidekiq.items():
        yield _process(f"sidekiq-{name}", pool, ("sidekiq", name))
    if settings.consumer.where == "cluster":
        yield _process("consumer", settings.consumer, ("consumer",), alone=settings.consumer.alone)
    for name, process in settings.running_processes().items():
        yield _process(name, process, ("processes", name))
    for name, schedule in settings.schedules.items():
        yield _part(name, 0, 1, schedule.resources, ("schedules", name))
    for path, service in rotation.services(settings).items():
        if service.rotation > 1:
            yield _part(rotation.job_name(rotation.component_of(path)), 0, 1, rotation.WAITING, path)
    if settings.restart.processes:
        yield _part(RESTART, 0, 1, settings.restart.resources, ("restart",))


def _process(component: str, process: Process, path: Path, *, alone: bool = False) -> Footprint:
    surge = 0 if process.singleton or alone else SURGE
    return _part(component, process.replicas, surge, process.resources, path)


def _part(
    component: str,
    replicas: int,
    surge: int,
    resources: Resources,
    path: Path,
    volume: str | None = None,
    beside: Sequence[Resources] = (),
    *,
    always: Sequence[Resources] = (),
) -> Footprint:
    """Return one component's part; its pods have the containers `always`, and where they have a volume those `beside` it."""
    containers = [resources, *always, *(beside if volume else ())]
    cpu = sum((cores_of(one.cpu) for one in containers), Decimal(0))
    memory = sum(bytes_of(one.memory) for one in containers)
    return Footprint(component, replicas, surge, cpu, memory, bytes_of(volume) if volume else 0, path)

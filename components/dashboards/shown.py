"""What of a stack there is to be shown: a dashboard has panels for that alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settings.app import Process
    from settings.stack import Settings


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The parts of a stack that dashboards know."""

    members: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many pods of each component run all the time."""
    metrics: bool = False
    """Whether there is a Prometheus to ask."""
    kubelet: bool = False
    """Whether the nodes' kubelets tell of every container, also of one that has no metrics of its own."""
    logs: bool = False
    """Whether there is a Loki to ask."""
    app: tuple[str, ...] = ()
    """The app's own components."""
    app_measured: tuple[str, ...] = ()
    """Those of them that tell metrics of their own."""
    web_measured: bool = False
    """Whether a web process is among those."""
    sidekiq: tuple[str, ...] = ()
    """Pools, by their components' names."""
    queues: tuple[str, ...] = ()
    """The broker's, where the stack runs it."""
    postgres: bool = False
    """Whether there is a Postgres, of the stack's own or somebody else's."""
    elasticsearch: bool = False
    """Whether there is an Elasticsearch, of the stack's own or somebody else's."""
    redis: tuple[str, ...] = ()
    """Valkey servers that the stack runs, by their components' names."""

    @classmethod
    def of(cls, settings: "Settings") -> "Shown":
        """Return what `settings` describe."""
        processes: dict[str, Process] = {**settings.web, **{f"sidekiq-{name}": pool for name, pool in settings.sidekiq.items()}}
        processes |= {"consumer": settings.consumer} if settings.consumer.where == "cluster" else {}
        processes |= settings.running_processes()
        redis = tuple(f"redis-{name}" for name, said in settings.redis.items() if said.where == "cluster")
        return cls(
            metrics=settings.metrics.where == "cluster",
            kubelet=settings.metrics.where == "cluster" and settings.metrics.kubelet,
            logs=settings.logs.where != "none",
            members={part.component: part.replicas for part in settings.footprint() if part.replicas},
            app=tuple(processes),
            app_measured=tuple(name for name, said in processes.items() if said.metrics),
            web_measured=any(web.metrics for web in settings.web.values()),
            sidekiq=tuple(f"sidekiq-{name}" for name in settings.sidekiq),
            queues=tuple(settings.mqtt.queues) if settings.mqtt.where == "cluster" else (),
            postgres=settings.postgres.where != "none",
            elasticsearch=settings.elasticsearch.where != "none",
            redis=redis,
        )

    def has(self, component: str) -> bool:
        """Say whether pods of `component` run."""
        return component in self.members

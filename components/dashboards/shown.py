"""What of a stack there is to be shown: a dashboard has panels for that alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settings.stack import Settings


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The parts of a stack that dashboards know."""

    members: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many pods of each component run all the time."""
    metrics: bool = False
    """Whether there is a Prometheus to ask."""
    logs: bool = False
    """Whether there is a Loki to ask."""
    web: tuple[str, ...] = ()
    """Components that serve HTTP."""
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
        redis = tuple(f"redis-{name}" for name, said in settings.redis.items() if said.where == "cluster")
        return cls(
            metrics=settings.metrics.where == "cluster",
            logs=settings.logs.where != "none",
            members={part.component: part.replicas for part in settings.footprint() if part.replicas},
            web=tuple(settings.web),
            sidekiq=tuple(f"sidekiq-{name}" for name in settings.sidekiq),
            queues=tuple(settings.mqtt.queues) if settings.mqtt.where == "cluster" else (),
            postgres=settings.postgres.where != "none",
            elasticsearch=settings.elasticsearch.where != "none",
            redis=redis,
        )

    def has(self, component: str) -> bool:
        """Say whether pods of `component` run."""
        return component in self.members

"""What watches a stack: the pods that its metrics bring, from settings alone."""

from typing import TYPE_CHECKING

from settings.types import Resources

if TYPE_CHECKING:
    from settings.stack import Settings


def exporters(settings: "Settings") -> dict[str, list[Resources]]:
    """Return the pods that ask others for their figures: component -> what each of its containers asks for."""
    metrics = settings.metrics
    if metrics.where == "none":
        return {}
    made = {"kube-state-metrics": [metrics.kube_state_metrics]}
    if settings.postgres.where != "none":
        made["postgres-exporter"] = [metrics.exporters]
    jobs = jobs_redis(settings)
    for name, redis in settings.redis.items():
        if redis.where != "none":
            made[f"redis-{name}-exporter"] = [metrics.exporters, *([metrics.sidekiq] if name == jobs else [])]
    if settings.elasticsearch.where != "none":
        made["elasticsearch-exporter"] = [metrics.exporters]
    if "cluster" in (settings.mqtt.where, settings.elasticsearch.where) or (settings.edge.where == "gateway" and settings.web):
        made["blackbox-exporter"] = [metrics.exporters]
    return made


def jobs_redis(settings: "Settings") -> str | None:
    """Return the name of the Redis that keeps Sidekiq's jobs; None where there is none.

    It is the one whose address Sidekiq looks up by itself. An app may tell Sidekiq of another config var in its own code: where nothing
    else says that one, it is the only store that there is.
    """
    if not settings.sidekiq:
        return None
    read = settings.app.config.get("REDIS_PROVIDER", "REDIS_URL")
    used = {name: redis for name, redis in settings.redis.items() if redis.where != "none"}
    if named := next((name for name, redis in used.items() if redis.config_var == read), None):
        return named
    stores = [name for name, redis in used.items() if redis.persistent]
    elsewhere = read in (*settings.app.config, *settings.app.secrets)
    return stores[0] if len(stores) == 1 and not elsewhere else None


def sidekiq_queues(settings: "Settings") -> list[str]:
    """Return the queues that the stack's pools serve, without their weights, sorted."""
    return sorted({queue.partition(",")[0] for pool in settings.sidekiq.values() for queue in pool.queues})

"""What must fit together: names, config vars, queues, and services with those who use them."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from settings.app import FileHealth, Process, Web
from settings.problems import Path, Problem, dotted

if TYPE_CHECKING:
    from settings.stack import Settings

OWN_NAMES = (
    "consumer",
    "release",
    "app",
    *(f"{service}-rotation" for service in ("postgres", "mqtt", "elasticsearch")),
    "postgres",
    "postgres-members",
    "mqtt",
    "mqtt-members",
    "mqtt-public",
    "elasticsearch",
    "elasticsearch-members",
    "elasticsearch-snapshots",
    "loki",
    "loki-members",
    "elasticsearch-exporter",
    "postgres-exporter",
    "blackbox-exporter",
    "kube-state-metrics",
    "prometheus",
    "prometheus-members",
    "grafana",
    "alertmanager",
    "alertmanager-members",
    "canary",
    "restart",
    "edge",
    "edge-redirect",
)
"""Names of pods and Services of the stack's own: the provider would write one over the other and say nothing."""
LONGEST_NAME = 46
"""Characters of a Deployment's name: its pods are called after it and two random parts, of 10 and 5 characters, and 63 are a name's most.
A longer name's first random part is cut, and what tells a pod's component by its name (alerts, logs) would not know it any more."""
_POSTGRES_ACCOUNTS = ("postgres", "replicator", "rewind", "monitor")
_PASSWORD = re.compile(r"://[^/\s:@]*:(?!\$\(\w+\)@|\$\{\w+\}@)[^/\s@]+@")
"""A password inside an address. $(NAME) and ${NAME} are none: something puts one in their place."""
_MADE_FOR_WEB = {"PORT": "port", "RAILS_MAX_THREADS": "threads", "WEB_CONCURRENCY": "concurrency", "PUMA_PERSISTENT_TIMEOUT": "keep_alive"}
_MADE_FOR_SIDEKIQ = {"RAILS_MAX_THREADS": "concurrency", "SIDEKIQ_TIMEOUT": "stop_within"}


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield everything that does not fit together."""
    yield from _members(settings)
    yield from _alone(settings)
    yield from _accounts(settings)
    yield from _queues(settings)
    yield from _names(settings)
    yield from _config_vars(settings)
    yield from _in_clear(settings)
    yield from _heartbeats(settings)
    yield from _overridden(settings)
    yield from _caches(settings)
    yield from _jobless(settings)
    yield from _unprotected(settings)


def _members(settings: "Settings") -> Iterator[Problem]:
    for name, service in (("mqtt", settings.mqtt), ("elasticsearch", settings.elasticsearch)):
        if service.where == "cluster" and service.members % 2 == 0:
            reason = f"expected an odd number: of {service.members} half is no majority, so an even one more makes nothing safer"
            yield Problem((name, "members"), reason, service.members, ((name, "where"),))


def _alone(settings: "Settings") -> Iterator[Problem]:
    consumer = settings.consumer
    if consumer.where == "cluster" and consumer.alone and consumer.replicas != 1:
        reason = f"expected 1 with consumer.mode {consumer.mode}: a second one would cut the first off"
        yield Problem(("consumer", "replicas"), reason, consumer.replicas, (("consumer", "mode"), ("consumer", "where")))
    groups = {"web": settings.web, "sidekiq": settings.sidekiq, "processes": settings.processes}
    said = [((group, name), process) for group, members in groups.items() for name, process in members.items()]
    for path, process in [*said, (("consumer",), consumer)]:
        if process.singleton and process.replicas != 1 and not (path == ("consumer",) and consumer.where == "none"):
            yield Problem(
                (*path, "replicas"), f"expected 1 of a singleton ({dotted(path)}.singleton)", process.replicas, ((*path, "singleton"),)
            )


def _accounts(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for a database whose owner would be another account of the server."""
    postgres = settings.postgres
    if postgres.where == "cluster" and postgres.database in _POSTGRES_ACCOUNTS:
        taken = ", ".join(_POSTGRES_ACCOUNTS)
        yield Problem(("postgres", "database"), f"the server has an account of that name for itself ({taken})", postgres.database)


def _queues(settings: "Settings") -> Iterator[Problem]:
    consumer, mqtt = settings.consumer, settings.mqtt
    reads: tuple[Path, ...] = (("mqtt",), ("consumer",), ("app",))
    if consumer.where != "cluster":
        return
    if mqtt.where == "none":
        if consumer.mode == "amqp":
            yield Problem(("consumer", "mode"), "needs a broker, but mqtt.where is none", consumer.mode, reads)
    elif consumer.mode == "amqp" and mqtt.where == "external" and mqtt.amqp_var not in [*settings.app.config, *settings.app.secrets]:
        said = f"name {mqtt.amqp_var} under app.secrets, or say consumer.mode: mqtt and replicas: 1"
        reason = f"needs an AMQP address, and an external broker is known by its MQTT address alone: {said}"
        yield Problem(("consumer", "mode"), reason, consumer.mode, reads)
    elif consumer.mode == "amqp" and mqtt.where == "cluster" and consumer.queue not in mqtt.queues:
        yield Problem(("consumer", "queue"), f"no such queue under mqtt.queues ({', '.join(mqtt.queues) or 'none'})", consumer.queue, reads)
    elif consumer.mode == "mqtt" and mqtt.where == "cluster" and consumer.queue in mqtt.queues:
        # A queue that nobody reads fills the disk, and then the broker takes no message any more.
        reason = f"reads its session and not the queue {consumer.queue!r}, which would fill up: say mqtt.queues.{consumer.queue}: null"
        yield Problem(("consumer", "mode"), reason, consumer.mode, reads)


def _names(settings: "Settings") -> Iterator[Problem]:
    groups = {"web": settings.web, "sidekiq": settings.sidekiq, "processes": settings.processes, "schedules": settings.schedules}
    taken = dict.fromkeys(OWN_NAMES, "Switchyard itself") | {
        f"redis-{name}{end}": f"redis.{name}" for name in settings.redis for end in ("", "-exporter", "-members", "-rotation")
    }
    for group, members in groups.items():
        for name in members:
            full = f"sidekiq-{name}" if group == "sidekiq" else name
            if full in taken:
                yield Problem((group, name), f"the name {full!r} is taken by {taken[full]}")
            taken[full] = f"{group}.{name}"
    derived = [(("sidekiq", name), name, f"sidekiq-{name}") for name in settings.sidekiq]
    derived += [(("redis", name), name, f"redis-{name}-exporter") for name, redis in settings.redis.items() if redis.where != "none"]
    for path, name, full in derived:
        if len(full) > LONGEST_NAME:
            most = LONGEST_NAME - len(full) + len(name)
            reason = (
                f"expected at most {most} characters: of its pods' names, {full}-…, Kubernetes would cut the end by which they are known"
            )
            yield Problem(path, reason)


def _config_vars(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each config var that two settings make, at the one that is easier to change."""
    app = settings.app
    said: list[tuple[str, Path, str]] = [(var, path, dotted(path)) for var, path in settings.derived_from()]
    said += [(var, ("app", "generate"), "app.generate") for var in app.generate]
    said += [(var, ("app", "config", var), "app.config") for var in app.config]
    said += [(var, ("app", "secrets"), "app.secrets") for var in app.secrets]
    first: dict[str, str] = {}
    for var, path, owner in said:
        if var in first:
            yield Problem(path, f"config var {var} is already made by {first[var]}")
        first.setdefault(var, owner)


def _in_clear(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem, without the value, for each config var whose address has a password in it."""
    groups = {"web": settings.web, "sidekiq": settings.sidekiq, "processes": settings.processes, "schedules": settings.schedules}
    said: list[tuple[Path, dict[str, str]]] = [(("app", "config"), settings.app.config), (("consumer", "config"), settings.consumer.config)]
    said += [((group, name, "config"), process.config) for group, members in groups.items() for name, process in members.items()]
    for where, config in said:
        for var in (var for var, value in config.items() if _PASSWORD.search(value)):
            reason = f"a password in clear: name {var} under app.secrets and set it with `pulumi config set --secret {var}`"
            yield Problem((*where, var), reason)


def _heartbeats(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each heartbeat file that no process could touch: it would be restarted for ever."""
    said: list[tuple[Path, FileHealth | None]] = [(("sidekiq", name, "health"), pool.health) for name, pool in settings.sidekiq.items()]
    said += [(("processes", name, "health"), process.health) for name, process in settings.running_processes().items()]
    said += [(("consumer", "health"), settings.consumer.health)] if settings.consumer.where == "cluster" else []
    for where, health in said:
        if health and not any(PurePosixPath(health.file).is_relative_to(folder) for folder in settings.app.writable):
            reason = "is in none of the folders under app.writable, and all else is read-only"
            yield Problem((*where, "file"), reason, health.file, (("app", "writable"),))


def _overridden(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each config var that a process would never see, because a setting of its own makes it."""
    groups = (("web", settings.web, _MADE_FOR_WEB), ("sidekiq", settings.sidekiq, _MADE_FOR_SIDEKIQ))
    for group, members, made in groups:
        for name, process in members.items():
            for var in process.config:
                if var in made:
                    yield Problem((group, name, "config", var), f"say {group}.{name}.{made[var]} instead")
    yield from _told_at(settings)
    for var in ("PORT", "WEB_CONCURRENCY", "PUMA_PERSISTENT_TIMEOUT"):
        if settings.web and var in settings.app.config:
            yield Problem(("app", "config", var), f"say {_MADE_FOR_WEB[var]} of each process under web instead")
    for path, config in [(("app",), settings.app.config), *((("web", name), web.config) for name, web in settings.web.items())]:
        if settings.web and "TRUSTED_PROXIES" in config:
            yield Problem((*path, "config", "TRUSTED_PROXIES"), "say edge.trusted_proxies instead")


def _told_at(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each process whose own metrics could not be where Prometheus asks for them."""
    said: list[tuple[Path, Process]] = [(("web", name), web) for name, web in settings.web.items()]
    said += [(("sidekiq", name), pool) for name, pool in settings.sidekiq.items()]
    said += [(("processes", name), process) for name, process in settings.running_processes().items()]
    said += [(("consumer",), settings.consumer)] if settings.consumer.where == "cluster" else []
    for path, process in said:
        if process.metrics is None:
            continue
        if isinstance(process, Web) and process.metrics.port == process.port:
            reason = f"is also {dotted((*path, 'port'))}, where it serves: two servers of one process can not have one port"
            yield Problem((*path, "metrics", "port"), reason, process.port, ((*path, "port"),))
        if "METRICS_PORT" in process.config:
            yield Problem((*path, "config", "METRICS_PORT"), f"say {dotted((*path, 'metrics', 'port'))} instead")


def _caches(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem where Sidekiq's jobs would be thrown away with what a cache forgets."""
    used = {name: redis for name, redis in settings.redis.items() if redis.where != "none"}
    caches = {name: redis for name, redis in used.items() if not redis.persistent}
    for name, cache in caches.items():
        path: Path = ("redis", name, "policy")
        if cache.config_var == "REDIS_URL" and settings.sidekiq and "REDIS_PROVIDER" not in settings.app.config:
            reason = (
                "Sidekiq keeps its jobs at REDIS_URL, and a cache throws them away when it is full: say noeviction, or another config_var"
            )
            yield Problem(path, reason, cache.policy, (("redis", name), ("sidekiq",), ("app", "config")))
        for other, jobs in used.items():
            here, there = cache.external, jobs.external
            both = cache.where == jobs.where == "external" and jobs.persistent
            if both and here and there and (here.host.lower(), here.port) == (there.host.lower(), there.port):
                reason = (
                    f"{here.host}:{here.port} also keeps the jobs of redis.{other}; a server has one policy for all its databases, "
                    "so either jobs are thrown away or the cache fills it up: give the cache a server of its own"
                )
                yield Problem(path, reason, cache.policy, (("redis", name), ("redis", other)))


def _jobless(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem where Sidekiq has nowhere to take jobs from: by default it would dial its own pod."""
    if any(redis.where != "none" for redis in settings.redis.values()):
        return
    for name, pool in settings.sidekiq.items():
        if {"REDIS_URL", "REDIS_PROVIDER"}.isdisjoint([*settings.app.config, *settings.app.secrets, *pool.config]):
            reason = "needs a Redis for its jobs, and the stack has none: say redis: {jobs: {}}, or name REDIS_URL under app.secrets"
            yield Problem(("sidekiq", name), reason, reads=(("redis",), ("app",)))


def _unprotected(settings: "Settings") -> Iterator[Problem]:
    if settings.tier == "production" and not settings.protect:
        # Left in the file it would hold for every later run, long after the one deletion that it was meant for.
        reason = "production keeps its protection; `./sy up --allow-data-loss STACK` lifts it for one run"
        yield Problem(("protect",), reason, settings.protect, (("tier",),))

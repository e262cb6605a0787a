"""Tells Prometheus how Sidekiq is doing, read from its Redis: an app that knows nothing of Prometheus is covered as it is.

Read-only, at each scrape: what is told is what Redis says then. Without Redis there is sidekiq_up 0 and nothing else.
"""

# What it imports is in its image alone.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false, reportAttributeAccessIssue=false

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from prometheus_client import start_http_server
from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, Metric

TIMEOUT_SECONDS = 3
SETS = {"scheduled": "schedule", "retry": "retry", "dead": "dead"}
"""Sidekiq's sorted sets of jobs: what metrics call them, and their keys."""


def connection(environment: dict[str, str]) -> "redis.Redis[str]":
    """Return a client of the server that the environment names; it connects when it is first used, and again after an error."""
    tls = environment.get("REDIS_TLS", "disable")
    encrypted: dict[str, Any] = {
        "ssl": True,
        "ssl_cert_reqs": "none" if tls == "require" else "required",
        "ssl_check_hostname": tls == "verify-full",
        "ssl_ca_certs": environment.get("REDIS_CA_FILE"),
    }
    password = environment.get("REDIS_PASSWORD_FILE")
    return redis.Redis(
        host=environment["REDIS_HOST"],
        port=int(environment["REDIS_PORT"]),
        db=int(environment.get("REDIS_DATABASE") or 0),
        username=environment.get("REDIS_USER") or None,
        password=Path(password).read_text().strip() if password else None,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        decode_responses=True,
        **(encrypted if tls not in ("disable", "prefer") else {}),
    )


class Sidekiq:
    """A collector: asked by Prometheus, it asks Redis."""

    def __init__(self, client: "redis.Redis[str]", queues: list[str]) -> None:
        """Tell of the store behind `client`; the `queues` that settings name are told also before their first job."""
        self.client = client
        self.queues = queues

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, or sidekiq_up 0 alone."""
        try:
            found = list(self._metrics(time.time()))
        except redis.RedisError as error:
            print(f"sidekiq: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            found = []
        yield GaugeMetricFamily("sidekiq_up", "1 when Redis answered, 0 when it did not.", value=int(bool(found)))
        yield from found

    def _metrics(self, now: float) -> Iterator[Metric]:
        yield from self._of_queues(now)
        for name, key in SETS.items():
            yield GaugeMetricFamily(f"sidekiq_{name}_jobs", f"Jobs in Sidekiq's set {key!r}.", value=self.client.zcard(key))
        for name, key in (("processed", "stat:processed"), ("failed", "stat:failed")):
            yield CounterMetricFamily(f"sidekiq_{name}_jobs", f"Jobs that Sidekiq has {name}.", value=int(self.client.get(key) or 0))
        yield from self._of_processes()

    def _of_queues(self, now: float) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("sidekiq_enqueued_jobs", "Jobs that wait in the queue.", labels=["name"])
        latency = GaugeMetricFamily("sidekiq_queue_latency_seconds", "How long its oldest job has waited.", labels=["name"])
        for name in sorted({*self.queues, *self.client.smembers("queues")}):
            waiting.add_metric([name], self.client.llen(f"queue:{name}"))
            latency.add_metric([name], waited(self.client.lindex(f"queue:{name}", -1), now))
        yield from (waiting, latency)

    def _of_processes(self) -> Iterator[Metric]:
        fields = [self.client.hmget(key, "info", "busy", "concurrency") for key in self.client.smembers("processes")]
        # One that was killed stays in the set until another notices; its own key has gone after a minute.
        alive = [(int(busy or 0), threads_of(info, concurrency)) for info, busy, concurrency in fields if info]
        yield GaugeMetricFamily("sidekiq_processes", "Processes that have told of themselves within a minute.", value=len(alive))
        yield GaugeMetricFamily("sidekiq_busy", "Jobs that are worked on.", value=sum(busy for busy, _ in alive))
        yield GaugeMetricFamily("sidekiq_concurrency", "Threads that work on jobs.", value=sum(threads for _, threads in alive))


def waited(job: str | None, now: float) -> float:
    """Return how many seconds a job has waited: Sidekiq up to 7 writes seconds, from 8 on milliseconds. 0 for none."""
    try:
        since = float(json.loads(job).get("enqueued_at") or now) if job else now
    except (ValueError, TypeError, AttributeError):
        return 0.0
    return max(0.0, now - (since / 1000 if since > 1e11 else since))


def threads_of(info: str, concurrency: str | None) -> int:
    """Return how many threads a process has, which it says in its `info` or beside it."""
    try:
        return int(concurrency or json.loads(info).get("concurrency") or 0)
    except (ValueError, TypeError, AttributeError):
        return 0


def main() -> None:
    """Serve until told to stop."""
    queues = [name for name in os.environ.get("SIDEKIQ_QUEUES", "").split(",") if name]
    REGISTRY.register(Sidekiq(connection(dict(os.environ)), queues))
    start_http_server(int(os.environ["PORT"]))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


if __name__ == "__main__":
    main()

"""Probes that mean something."""

import shlex

from pulumi_kubernetes import core

from settings.app import FileHealth, HttpHealth
from settings.types import seconds_of

PERIOD_SECONDS = 5
"""How often the kubelet asks: a dead process is noticed within three of these."""
START_PERIOD_SECONDS = 1
"""How often it asks one that starts, which others wait for: Kubernetes has no shorter one."""


def http(path: str, port: int, host: str | None = None, *, within_seconds: int = 0, patient: bool = False) -> core.v1.ProbeArgs:
    """Return a probe that wants 200 from `path`; with `within_seconds` it is patient for that long (a startup probe).

    A `patient` one gives up after a minute: an app's threads may all wait for a database that is away, and restarting every
    web pod at once would not bring it back.

    The kubelet takes a redirect for success: it asks as if TLS had ended before it, so that force_ssl does not redirect.
    """
    headers = [core.v1.HTTPHeaderArgs(name="X-Forwarded-Proto", value="https")]
    if host:
        headers.append(core.v1.HTTPHeaderArgs(name="Host", value=host))
    action = core.v1.HTTPGetActionArgs(path=path, port=port, http_headers=headers)
    if patient:
        return _probe(0, http_get=action, timeout_seconds=5, period_seconds=10, failures=6)
    return _probe(within_seconds, http_get=action)


def tcp(port: int, *, within_seconds: int = 0) -> core.v1.ProbeArgs:
    """Return a probe that wants the port to accept a connection."""
    return _probe(within_seconds, tcp_socket=core.v1.TCPSocketActionArgs(port=port))


def command(
    words: list[str], *, within_seconds: int = 0, timeout_seconds: int = 5, period_seconds: int = PERIOD_SECONDS
) -> core.v1.ProbeArgs:
    """Return a probe that wants `words` to exit 0."""
    action = core.v1.ExecActionArgs(command=words)
    return _probe(within_seconds, exec_=action, timeout_seconds=timeout_seconds, period_seconds=period_seconds)


def heartbeat(health: FileHealth, *, within_seconds: int = 0, early: bool = False) -> core.v1.ProbeArgs:
    """Return a probe that wants the process to have touched its heartbeat file lately; an `early` one within half that time."""
    age = max(1, seconds_of(health.max_age) // (2 if early else 1))
    test = f"now=$(date +%s) && seen=$(stat -c %Y {shlex.quote(health.file)}) && [ $((now - seen)) -le {age} ]"
    return command(["sh", "-c", test], within_seconds=within_seconds, period_seconds=10)


def web_probes(health: HttpHealth, port: int, start_within: str) -> dict[str, core.v1.ProbeArgs]:
    """Return the three probes of a web container, as arguments of a container."""
    return {
        "startup_probe": http(health.live, port, health.host, within_seconds=seconds_of(start_within)),
        "liveness_probe": http(health.live, port, health.host, patient=True),
        "readiness_probe": http(health.ready, port, health.host),
    }


def _probe(
    within_seconds: int,
    *,
    http_get: core.v1.HTTPGetActionArgs | None = None,
    tcp_socket: core.v1.TCPSocketActionArgs | None = None,
    exec_: core.v1.ExecActionArgs | None = None,
    timeout_seconds: int = 3,
    period_seconds: int = PERIOD_SECONDS,
    failures: int = 3,
) -> core.v1.ProbeArgs:
    period = START_PERIOD_SECONDS if within_seconds else period_seconds
    return core.v1.ProbeArgs(
        http_get=http_get,
        tcp_socket=tcp_socket,
        exec_=exec_,
        period_seconds=period,
        timeout_seconds=timeout_seconds,
        failure_threshold=max(1, within_seconds // period) if within_seconds else failures,
    )

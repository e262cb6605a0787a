"""Generated passwords of servers: which a stack has, and what a rotation may say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings.backing import Backing
from settings.problems import Problem
from settings.types import Resources

if TYPE_CHECKING:
    from settings.stack import Settings

WAITING = Resources(cpu="20m", memory="64Mi", scratch="16Mi")
"""What the Job asks for that waits until a server lets the next generation in: a shell and the server's own client."""

Services = dict[tuple[str, ...], Backing]
"""Backing services by the path of their settings: ("postgres",), ("redis", "jobs")."""


def services(settings: "Settings") -> Services:
    """Return the servers that the stack runs itself, and so makes the passwords of."""
    named: Services = {("postgres",): settings.postgres, ("mqtt",): settings.mqtt, ("elasticsearch",): settings.elasticsearch}
    named |= {("redis", name): redis for name, redis in settings.redis.items()}
    return {path: said for path, said in sorted(named.items()) if said.where == "cluster"}


def job_name(component: str) -> str:
    """Return the component of the Job that waits until the server `component` lets the next generation in."""
    return f"{component}-rotation"


def component_of(path: tuple[str, ...]) -> str:
    """Return the component that a service runs as: redis-jobs for ("redis", "jobs")."""
    return "-".join(map(str, path))


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each service that would let nobody in."""
    for path, said in services(settings).items():
        if said.revoked >= said.rotation:
            reason = f"expected less than {'.'.join(path)}.rotation, which is {said.rotation}: nobody could log in any more"
            yield Problem((*path, "revoked"), reason, said.revoked, ((*path, "rotation"),))

"""What is said of servers that somebody else runs must be usable, before anything tries to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings.backing import Backing, External
from settings.problems import Path, Problem
from settings.references import is_address, within

if TYPE_CHECKING:
    from settings.stack import Settings


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield what is wrong with the external services, in use or only written down."""
    services: list[tuple[Path, Backing]] = [
        (("postgres",), settings.postgres),
        (("mqtt",), settings.mqtt),
        (("elasticsearch",), settings.elasticsearch),
    ]
    services += [(("redis", name), redis) for name, redis in settings.redis.items()]
    for path, service in services:
        if service.external:
            yield from _said(path, service.external)
        elif service.where == "external":
            reads: tuple[Path, ...] = ((*path, "external"),)
            yield Problem((*path, "where"), "needs external: {host, port, user, password}", service.where, reads)


def _said(service: Path, said: External) -> Iterator[Problem]:
    path: Path = (*service, "external")
    if said.tls == "verify-ca" and said.ca is None:
        # libpq refuses this too: anybody may have a certificate of a public authority, for another name.
        reason = "needs ca, the certificate of the authority that signed the server's, as PEM; verify-full can do with the image's own"
        yield Problem((*path, "tls"), reason, said.tls, ((*path, "ca"),))
    if said.ca is not None and not said.tls.startswith("verify-"):
        reason = "would never look at ca: say verify-full, or verify-ca where the certificate has another name"
        yield Problem((*path, "tls"), reason, said.tls, ((*path, "ca"),))
    if is_address(said.host) and not within(said.host, said.ranges):
        reason = f"the app could not reach it: it is in none of the ranges under {'.'.join(map(str, path))}.ranges"
        yield Problem((*path, "host"), reason, said.host, ((*path, "ranges"),))
    if service[0] == "redis" and said.database and not said.database.isdecimal():
        yield Problem((*path, "database"), "expected the number of a database, in quotes, such as '0'", said.database)

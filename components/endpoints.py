"""Endpoints: all that an app knows of a backing service. Who runs the service can not be told from one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

import pulumi

from components.site import CLIENT_LABEL, Secrets
from settings.backing import External


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a service is, and how to log in."""

    service: str
    """Name by which its clients are labelled: postgres, redis-jobs, mqtt."""
    host: str
    port: int
    user: str = ""
    password: pulumi.Output[str] | None = None
    database: str = ""
    tls: bool = False
    fingerprint: str = ""
    """Changes when the password does."""
    ranges: tuple[str, ...] = ()
    """Address ranges of an external service; empty for one of the stack's own."""

    @classmethod
    def external(cls, service: str, said: External, secrets: Secrets) -> Self:
        """Return the endpoint of a service that somebody else runs."""
        return cls(
            service=service,
            host=said.host,
            port=said.port,
            user=said.user,
            password=secrets.value(said.password) if said.password else None,
            database=said.database,
            tls=said.tls != "disable",
            fingerprint=secrets.fingerprint(said.password) if said.password else "",
            ranges=tuple(said.ranges),
        )

    @property
    def client_labels(self) -> dict[str, str]:
        """The labels of a pod that may reach the service."""
        return {f"{CLIENT_LABEL}{self.service}": "true"}

    def url(self, scheme: str, path: str = "", port: int | None = None) -> pulumi.Output[str]:
        """Return the address with user and password, as config vars carry it."""
        place = f"{self.host}:{port or self.port}{path}"
        if self.password is None:
            login = f"{quote(self.user, safe='')}@" if self.user else ""
            return pulumi.Output.from_input(f"{scheme}://{login}{place}")
        user = quote(self.user, safe="")
        return self.password.apply(lambda password: f"{scheme}://{user}:{quote(password, safe='')}@{place}")


ConfigVars = Mapping[str, pulumi.Output[str]]
"""Config vars by name; they end up in a Secret."""


def postgres_vars(endpoint: Endpoint, name: str) -> ConfigVars:
    """Return the config var that a Rails app finds its database by."""
    mode = "require" if endpoint.tls else "prefer"
    return {name: endpoint.url("postgresql", f"/{endpoint.database}?sslmode={mode}")}


def redis_vars(endpoint: Endpoint, name: str) -> ConfigVars:
    """Return the config var that Sidekiq finds its Redis by."""
    return {name: endpoint.url("rediss" if endpoint.tls else "redis", f"/{endpoint.database or 0}")}

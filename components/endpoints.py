"""Endpoints: all that an app knows of a backing service. Who runs the service can not be told from one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import quote, urlencode

import pulumi

from components.site import CLIENT_LABEL, Secrets
from settings.backing import External, ExternalTls, beside

AUTHORITIES = "/etc/switchyard/ca"
"""Folder, in every pod of the app, of the certificates that external servers are verified with."""

TlsMode = Literal["prefer"] | ExternalTls
"""prefer: encrypted if the server offers it, in clear otherwise; the rest as `External.tls` says."""


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
    tls: TlsMode = "disable"
    ca: pulumi.Input[str] | None = None
    """The authority that the server's certificate must be signed by, as PEM; None: whichever the app's image trusts."""
    version: str = ""
    """The server's version, as far as it is known."""
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
            tls=said.tls,
            ca=said.ca,
            version=said.version,
            fingerprint=secrets.fingerprint(said.password) if said.password else "",
            ranges=tuple(said.ranges),
        )

    @property
    def client_labels(self) -> dict[str, str]:
        """The labels of a pod that may reach the service."""
        return {f"{CLIENT_LABEL}{self.service}": "true"}

    @property
    def encrypted(self) -> bool:
        """Whether its clients must encrypt."""
        return self.tls not in ("disable", "prefer")

    @property
    def ca_fingerprint(self) -> str:
        """What changes with `ca` as far as it changes: the stack's own authority is made once, for ten years."""
        return self.ca if isinstance(self.ca, str) else "the stack's own" if self.ca is not None else ""

    @property
    def ca_file(self) -> str | None:
        """Path of the file with `ca` in every pod of the app."""
        return f"{AUTHORITIES}/{self.service}.pem" if self.ca is not None else None

    def place(self, port: int | None = None) -> str:
        """Return host and port as addresses have them: an IPv6 address stands in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{port or self.port}"

    @property
    def path(self) -> str:
        """The database as the path of an address: /lamp; empty for none."""
        return f"/{quote(self.database)}" if self.database else ""

    def scheme(self, plain: str, encrypted: str) -> str:
        """Return the one of two URL schemes that says whether to encrypt."""
        return encrypted if self.encrypted else plain

    def url(self, scheme: str, path: str = "", port: int | None = None) -> pulumi.Output[str]:
        """Return the address with user and password, as config vars carry it."""
        place = f"{self.place(port)}{path}"
        if self.password is None:
            login = f"{quote(self.user, safe='')}@" if self.user else ""
            return pulumi.Output.from_input(f"{scheme}://{login}{place}")
        user = quote(self.user, safe="")
        return self.password.apply(lambda password: f"{scheme}://{user}:{quote(password, safe='')}@{place}")

    def tls_vars(self, config_var: str) -> "ConfigVars":
        """Return the config vars beside `config_var` that say what its URL can not: REDIS_TLS, the mode, and REDIS_CA_FILE, a path."""
        said = {"TLS": self.tls if self.encrypted else None, "CA_FILE": self.ca_file}
        return {beside(config_var, what): pulumi.Output.from_input(value) for what, value in said.items() if value}


ConfigVars = Mapping[str, pulumi.Output[str]]
"""Config vars by name; they end up in a Secret."""


def postgres_vars(endpoint: Endpoint, name: str) -> ConfigVars:
    """Return the config vars that a Rails app finds its database by. libpq reads all it needs from the URL."""
    query = {"sslmode": endpoint.tls} | ({"sslrootcert": root} if (root := _root_certificate(endpoint)) else {})
    address = endpoint.url("postgresql", f"{endpoint.path or '/'}?{urlencode(query, safe='/')}")
    return {name: address, **endpoint.tls_vars(name)}


def redis_vars(endpoint: Endpoint, name: str) -> ConfigVars:
    """Return the config vars that Sidekiq finds its Redis by."""
    return {name: endpoint.url(endpoint.scheme("redis", "rediss"), f"/{endpoint.database or 0}"), **endpoint.tls_vars(name)}


def elasticsearch_vars(endpoint: Endpoint, name: str) -> ConfigVars:
    """Return the config vars that the app finds its search engine by."""
    return {name: endpoint.url(endpoint.scheme("http", "https"), endpoint.path), **endpoint.tls_vars(name)}


def authorities(endpoints: Sequence[Endpoint]) -> dict[str, pulumi.Input[str]]:
    """Return the files of the folder AUTHORITIES: name -> PEM."""
    return {f"{endpoint.service}.pem": endpoint.ca for endpoint in endpoints if endpoint.ca is not None}


def _root_certificate(endpoint: Endpoint) -> str | None:
    # Without sslrootcert libpq would look for a file in the user's home and fail; `system` (libpq 16 and later) is the image's own store.
    return endpoint.ca_file or ("system" if endpoint.tls == "verify-full" else None)

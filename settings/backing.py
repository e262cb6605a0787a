"""The backing services: in the cluster, external, or absent. The app sees no difference."""

from typing import Literal

from pydantic import Field

from settings.types import Bytes, Cidr, Count, DnsLabel, Duration, EnvName, Host, IpV4, Model, MqttFilter, Pem, Placement, Port, Resources

Where = Literal["cluster", "external", "none"]
"""`cluster`: the stack runs it; `external`: it is somebody else's; `none`: the product has none."""

ExternalTls = Literal["disable", "require", "verify-ca", "verify-full"]
"""How much a client asks of an external server: see `External.tls`."""


NOWHERE = ".invalid"
"""The end of a host name that nobody can have (RFC 2606): it stands in a fork where only a human knows the host."""


class External(Model):
    """A service that somebody else runs. Its password is a secret of its own: see `password`."""

    host: Host
    """Name or address."""
    port: Port
    """TCP port."""
    user: str = ""
    """Account; empty for none."""
    password: EnvName | None = None
    """Name of the secret that holds the password, set with `pulumi config set --secret NAME`."""
    database: str = ""
    """Database name (Postgres), number (Redis) or first part of the path (Elasticsearch); an MQTT broker has none."""
    tls: ExternalTls = "require"
    """disable: in clear; require: encrypted, whoever answers; verify-ca: only a server whose certificate `ca` signed; verify-full: and
    whose name it carries."""
    ca: Pem | None = None
    """The authority that signed the server's certificate, as PEM, for verify-ca and verify-full; None: verify-full trusts the authorities
    of the app's image. No secret."""
    version: str = ""
    """The server's version, such as 13.16: what the app's client must be able to talk to."""
    ranges: list[Cidr] = Field(default=["0.0.0.0/0"], min_length=1)
    """Addresses that network policies let the app reach."""

    def tls_vars(self, config_var: str) -> list[str]:
        """Return the names of the config vars that go with `config_var`: DATABASE_TLS and DATABASE_CA_FILE with DATABASE_URL."""
        said = {"TLS": self.tls != "disable", "CA_FILE": self.ca is not None}
        return [beside(config_var, what) for what, needed in said.items() if needed]


def beside(config_var: str, what: str) -> str:
    """Return the name of a config var that says more about `config_var`: DATABASE_URL and CA_FILE give DATABASE_CA_FILE."""
    return f"{config_var.removesuffix('_URL')}_{what}"


class Backing(Model):
    """What all backing services say."""

    where: Where = "cluster"
    """Who runs it."""
    external: External | None = None
    """Where it is when it is external."""
    rotation: int = Field(default=1, ge=1)
    """The generation of its passwords: one more makes new ones, which running servers take beside those before.
    `./sy rotate` raises it."""
    revoked: int = Field(default=0, ge=0)
    """The newest generation of passwords that nobody is let in with any more; `./sy rotate` raises it once all clients have the next one.
    Of those that are not revoked, the two newest are let in."""

    @property
    def accepted(self) -> list[int]:
        """The generations of passwords that clients may log in with: the current one, then the one before it, unless it is revoked."""
        return [generation for generation in (self.rotation, self.rotation - 1) if generation > self.revoked]

    @property
    def dropped(self) -> list[int]:
        """The generations whose accounts are taken away: those before the accepted ones."""
        return list(range(1, min(self.accepted)))


class Volume(Model):
    """A persistent volume."""

    size: Bytes = "10Gi"
    """Its size when it is made. Kubernetes fixes it then: grow the claims themselves first, then say the new size here."""
    storage_class: str | None = None
    """Its StorageClass when it is made; None: as `cluster.storage_class` says."""


class Postgres(Backing):
    """Postgres under Patroni: one member, or several with automatic failover."""

    major: Literal[13, 14, 15, 16, 17] = 17
    """Major version; keep the source's while moving."""
    members: Count = 3
    """Servers; 1 has no failover."""
    database: str = Field(default="app", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """The app's database, and the user that owns it."""
    config_var: EnvName = "DATABASE_URL"
    """The config var that the app reads."""
    max_connections: int = Field(default=100, ge=20, le=5000)
    """Connections the server accepts, the superuser's included."""
    volume: Volume = Volume()
    """Each member's data."""
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    """What each member asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""


class Redis(Backing):
    """One Valkey server: Sidekiq's jobs (`noeviction`, append-only file) or a cache."""

    policy: Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru"] = "noeviction"
    """What happens when memory is full. Jobs are never evicted: `noeviction`."""
    config_var: EnvName = "REDIS_URL"
    """The config var that the app reads."""
    memory_share: float = Field(default=0.65, ge=0.1, le=0.8)
    """maxmemory as a share of the container's memory; rewriting the append-only file forks and needs the rest."""
    volume: Volume = Volume(size="2Gi")
    """The append-only file; caches have none."""
    resources: Resources = Resources(memory="256Mi")
    """What it asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

    @property
    def persistent(self) -> bool:
        """Whether its data outlives the pod."""
        return self.policy == "noeviction"


class Queue(Model):
    """A queue that keeps messages until the app has dealt with them. It exists before any device is let in.

    Before a queue is renamed or dropped, let its reader empty it: the broker keeps what is in it, and nobody reads it any more.
    """

    topics: list[MqttFilter] = Field(min_length=1)
    """MQTT topic filters whose messages it keeps, such as `lamps/+/fall`."""
    single_active: bool = True
    """One reader at a time; the next takes over at once."""


class Mqtt(Backing):
    """RabbitMQ with MQTT and AMQP: an acknowledgement means replicated and on disk."""

    where: Where = "none"
    """Who runs it; a product that says nothing has none."""
    members: Count = 3
    """Servers; odd."""
    queues: dict[DnsLabel, Queue] = {}
    """Queues by name."""
    amqp_var: EnvName = "AMQP_URL"
    """Config var with the AMQP address."""
    mqtt_var: EnvName = "MQTT_URL"
    """Config var with the MQTT address."""
    management_var: EnvName = "MQTT_MANAGEMENT_URL"
    """Config var with the management API's address, for making devices' accounts."""
    session_expiry: Duration = "14d"
    """How long the broker keeps the session of a client that is away."""
    allow_from: list[Cidr] = Field(default=["0.0.0.0/0"], min_length=1)
    """Where devices may come from."""
    client_ids: Literal["user", "any"] = "user"
    """What a device may call itself when it connects. user: by its user name alone, so nobody can cut another one off, as a broker does
    with the first of two clients that share an id; any: as it likes, while lamps are moved whose accounts are called otherwise."""
    host_names: list[str] = []
    """Names that devices dial, for the certificate; none: `mqtt.<domain>`."""
    annotations: dict[str, str] = {}
    """Annotations of the load balancer's Service: a cloud's own words for its kind, its fixed address, its idle timeout."""
    address: IpV4 | None = None
    """The load balancer's address, where the cluster lets one be asked for: devices in the field know a name, and the name this address."""
    keep_alive: Duration = "60s"
    """How often a silent device says that it is there (MQTT's keep-alive), the longest of all devices."""
    balancer_idle: Duration | None = None
    """After how long the load balancer forgets a silent connection, as `annotations` or the cloud say; None: never. It must be longer than
    one and a half `keep_alive`: a lamp that was forgotten believes for minutes that it can report a fall."""
    volume: Volume = Volume(size="5Gi")
    """Each member's messages."""
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    """What each member asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

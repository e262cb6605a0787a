"""The edge: how people reach the web processes, from which addresses, within which limits."""

from typing import Literal

from pydantic import Field

from settings.proxies import CLOUDFLARE, Allowed, Trusted, ranges
from settings.quantities import seconds_of
from settings.types import (
    Bytes,
    Cidr,
    Count,
    DnsLabel,
    Duration,
    EnvName,
    HostName,
    IpV4,
    LabelKey,
    Model,
    NamespaceName,
    ObjectName,
    OwnFile,
    Pem,
    Placement,
    Resources,
    RoutePath,
)

CLOUDFLARE_IDLE_SECONDS = 900
"""Cloudflare takes up an idle connection to an origin for so long; one that the origin has just closed becomes an error 520
(developers.cloudflare.com/fundamentals/reference/connection-limits)."""
LONGEST_SECONDS = 86400
"""No connection is kept longer, and no request may take longer: the Gateway API takes five digits of seconds."""
DRAIN_SECONDS = 30
"""A proxy that is told to stop takes new connections for at least so long: every balancer must have forgotten it. A cloud's asks each node
whether it has one, and gives it up after two or three answers that it has not: 10 s (Azure), 24 s (Google), 30 s (AWS)."""


class Certificate(Model):
    """What the gateway shows to browsers."""

    by: Literal["authority", "given", "issuer", "secret"] = "authority"
    """authority: signed by the stack's own, which no browser knows; given: `pem` and `key`; issuer: the cluster's cert-manager makes it,
    asked by `annotations`; secret: somebody else keeps it in the Secret called `secret`."""
    pem: Pem | None = None
    """by: given: the certificate, then those between it and its authority. No secret."""
    key: EnvName | None = None
    """by: given: name of the secret that holds the certificate's key, set with `pulumi config set --secret NAME`."""
    annotations: dict[LabelKey, str] = {}
    """by: issuer: what tells cert-manager which issuer to ask, such as cert-manager.io/cluster-issuer: letsencrypt."""
    secret: ObjectName | None = None
    """by: issuer or secret: the Secret of type kubernetes.io/tls; None: edge-tls."""

    @property
    def kept_in(self) -> str:
        """The Secret that somebody else fills."""
        return self.secret or "edge-tls"


class Route(Model):
    """What of the requests goes to one web process."""

    hosts: list[HostName] = Field(default=[], max_length=16)
    """Host names that lead to it, 16 at the most, as the Gateway API has it; none: `domain`."""
    paths: list[RoutePath] = Field(default=["/"], min_length=1, max_length=64)
    """Beginnings of paths, 64 at the most; the longest that fits wins."""
    streams: bool = False
    """Whether bodies are handed on as they arrive, and connections may be upgraded (WebSockets). Otherwise the gateway takes in the whole
    request first, so that no slow client occupies the app."""


class KeepAlive(Model):
    """For how long each hop keeps an idle connection: the side that serves always longer than the side that asks."""

    balancer: Duration = "920s"
    """What the load balancer before the gateway keeps. Nothing here sets it: that is done with `edge.annotations`, in the cloud's words."""
    gateway: Duration = "960s"
    """What the gateway keeps for those who ask it: longer than `balancer`."""
    app: Duration = "60s"
    """What the gateway keeps to a web process: shorter than that process' `keep_alive`."""


class Limits(Model):
    """What a request may cost. The gateway answers whatever is over it: no thread of the app is taken."""

    body: Bytes = "20Mi"
    """The largest request (413). That much of the gateway's memory is filled by each that is on its way in."""
    headers_within: Duration = "10s"
    """How long the first lines of a request may take to arrive (408), and before them TLS (the connection is closed)."""
    body_within: Duration = "60s"
    """How long the whole request may take to arrive (408)."""
    answer_within: Duration = "90s"
    """How long the app may take until its answer is whole (504). A load balancer hangs up on a connection on which nothing moves for
    `keep_alive.balancer`, so an app that takes longer must send something meanwhile; Cloudflare itself waits 120 s."""
    connections: int = Field(default=10000, ge=10, le=1000000)
    """Connections of clients to each proxy; those beyond it are closed at once."""


class Edge(Model):
    """How people reach the web processes."""

    where: Literal["gateway", "ingress", "none"] = "none"
    """gateway: the stack has a Gateway of its own, served by the cluster's Envoy Gateway; ingress: an Ingress, served by a controller that
    the cluster has; none: only those of `namespaces` and `ranges` reach the web processes."""
    class_name: ObjectName = "switchyard"
    """The GatewayClass or IngressClass that serves it; `./sy cluster up` makes the GatewayClass switchyard."""
    gateway_namespace: DnsLabel = "switchyard-gateway"
    """Where the cluster's Envoy Gateway runs this stack's proxies: they alone, and only those of this stack's Gateway, are let in."""
    routes: dict[DnsLabel, Route] = {}
    """What leads to each web process, by its name; none: everything at `domain` goes to the first one."""
    certificate: Certificate = Certificate()
    """What browsers are shown."""
    address: IpV4 | None = None
    """The load balancer's address, where the cluster lets one be asked for; None: any."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the load balancer's Service, or of the Ingress."""
    allow_from: list[Allowed] = Field(default=["0.0.0.0/0"], min_length=1)
    """Who may connect to the load balancer: everybody, or a proxy's ranges; `cloudflare` is the list in settings/cloudflare.txt."""
    trusted_proxies: list[Trusted] = [CLOUDFLARE]
    """Proxies whose X-Forwarded-For is believed, by the gateway and by Rails (config var TRUSTED_PROXIES); `cloudflare` is the list in
    settings/cloudflare.txt. Of anybody else the address that connects counts."""
    keep_alive: KeepAlive = KeepAlive()
    """How long idle connections live."""
    limits: Limits = Limits()
    """What a request may cost."""
    maintenance: bool = False
    """Whether everybody is shown the maintenance page (503) instead of the app, which is not touched. `./sy maintenance on` says it."""
    maintenance_page: OwnFile | None = None
    """An HTML file of this repository for that; None: a plain page of ours."""
    replicas: Count = 2
    """Proxies that serve this stack's Gateway."""
    resources: Resources = Resources(cpu="100m", memory="256Mi", scratch="64Mi")
    """What each proxy asks for; the cluster's gateway namespace is charged for it."""
    placement: Placement | None = None
    """Onto which nodes the proxies go; None: as the stack's `placement` says."""
    namespaces: list[NamespaceName] = []
    """Further namespaces whose pods reach the web processes: an Ingress controller's."""
    ranges: list[Cidr] = []
    """Addresses that reach the web processes directly."""

    @property
    def trusted(self) -> list[str]:
        """The ranges of `trusted_proxies`."""
        return ranges(self.trusted_proxies)

    @property
    def allowed(self) -> list[str]:
        """The ranges of `allow_from`; none: everybody. Of Cloudflare's those of IPv4: some clouds refuse a Service that names others."""
        if "0.0.0.0/0" in self.allow_from:
            return []
        return [one for one in ranges(self.allow_from) if one in self.allow_from or ":" not in one]

    @property
    def behind_cloudflare(self) -> bool:
        """Whether Cloudflare's proxies are believed, and so are expected to ask."""
        return CLOUDFLARE in self.trusted_proxies

    @property
    def grace_seconds(self) -> int:
        """How long a proxy that is told to stop may go on: until the slowest answer is there."""
        return DRAIN_SECONDS + seconds_of(self.limits.answer_within)

    def secrets(self) -> list[str]:
        """Return the names of the secrets that it needs."""
        given = self.where != "none" and self.certificate.by == "given" and self.certificate.key
        return [self.certificate.key] if given and self.certificate.key else []

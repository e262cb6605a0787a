"""What of the edge would not work: names nobody has, certificates nobody believes, hops that hang up on each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings import edge_certificate, proxies
from settings.edge import CLOUDFLARE_IDLE_SECONDS, LONGEST_SECONDS, Edge, Route
from settings.problems import NO_VALUE, Path, Problem
from settings.quantities import bytes_of, seconds_of

if TYPE_CHECKING:
    from settings.stack import Settings

EDGE: Path = ("edge",)
ENVOY_BYTES = 40 * 2**20
"""What a proxy needs for itself, before it takes in any request (measured: 35 MiB idle)."""
HEAP_SHARE = 0.8
"""Of its memory a proxy fills so much: beyond that it answers 503 (Envoy Gateway's calculateMaxHeapSizeBytes)."""
DURATIONS = ("balancer", "gateway", "app", "headers_within", "body_within", "answer_within")
"""What of keep_alive and limits is a length of time."""
HELD_REQUESTS = 4
"""So many of the largest requests must fit into a proxy at once."""


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield everything about the edge that would not work."""
    yield from _balancer_of_devices(settings)
    edge = settings.edge
    if wide := proxies.too_wide(edge.trusted_proxies):
        reason = f"these ranges together are {wide}, a large part of the Internet: whoever is in it could say any address was theirs"
        yield Problem(("edge", "trusted_proxies"), f"{reason}; expected the ranges of proxies alone")
    if edge.where == "none":
        return
    if not settings.web:
        yield Problem(("edge", "where"), "there is no process under web that requests could go to", edge.where, (("web",),))
    yield from _routes(settings)
    yield from _names(settings)
    yield from _certificate(settings)
    if edge.where == "gateway":
        yield from _keep_alive(settings)
        yield from _limits(edge)
    else:
        yield from _ingress(edge)


def routes(settings: "Settings") -> dict[str, Route]:
    """Return what leads to each web process that people reach."""
    edge = settings.edge
    if edge.where == "none" or not settings.web:
        return {}
    return dict(edge.routes) or {next(iter(settings.web)): Route()}


def hosts(settings: "Settings", route: Route) -> list[str]:
    """Return the host names of a route: its own, or the stack's domain; none: whatever name is asked for."""
    return list(route.hosts) or ([settings.domain] if settings.domain else [])


def all_hosts(settings: "Settings") -> list[str]:
    """Return every host name that the edge answers to, the domain first."""
    grafana = _grafana_host(settings)
    found = [*_hosts_of_routes(settings), *([grafana] if grafana else [])]
    return sorted(dict.fromkeys(found), key=lambda name: name != settings.domain)


def _routes(settings: "Settings") -> Iterator[Problem]:
    taken: dict[tuple[str, str], str] = {}
    for name, route in settings.edge.routes.items():
        path: Path = ("edge", "routes", name)
        if name not in settings.web:
            yield Problem(path, f"there is no web.{name}; under web there is {', '.join(settings.web) or 'nothing'}", reads=(("web",),))
        if route.streams and settings.edge.where == "ingress":
            yield Problem(
                (*path, "streams"), "is the Gateway's matter: of an Ingress say it in edge.annotations", reads=(("edge", "where"),)
            )
        for host in hosts(settings, route) or [""]:
            for begins in route.paths:
                # /api and /api/ are one beginning: that of /api, /api/ and all below.
                same = begins.rstrip("/")
                if other := taken.get((host, same)):
                    where = f"{host or 'any host'}{begins}"
                    yield Problem((*path, "paths"), f"{where} leads to web.{other} already", reads=(("edge", "routes"), ("domain",)))
                taken.setdefault((host, same), name)


def _names(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each name that would lead to two places: a name has one address, and a visitor one page."""
    people = dict.fromkeys(_hosts_of_routes(settings), ("edge", "routes") if settings.edge.routes else ("domain",))
    devices = settings.device_host_names if settings.mqtt.where == "cluster" else []
    reads: tuple[Path, ...] = (("domain",), ("edge", "routes"), ("mqtt", "host_names"), ("grafana", "root_url"))
    grafana = _grafana_host(settings)
    if grafana in people:
        reason = "people reach the app by this host: say one of its own, such as https://grafana.example.com/"
        yield Problem(("grafana", "root_url"), reason, grafana, reads)
    # Two balancers of one address on different ports: some clusters' let Services share one.
    shared = settings.edge.address is not None and settings.edge.address == settings.mqtt.address
    for name in [name for name in all_hosts(settings) if name in devices and not shared]:
        path: Path = people.get(name, ("grafana", "root_url"))
        if settings.mqtt.host_names:
            path = ("mqtt", "host_names")
        reason = (
            "devices dial the broker's load balancer by this name, and people the edge's: it has one address; say another name in "
            "mqtt.host_names, or in edge.routes"
        )
        yield Problem(path, reason, name, reads)


def _hosts_of_routes(settings: "Settings") -> list[str]:
    return [name for route in routes(settings).values() for name in hosts(settings, route)]


def _grafana_host(settings: "Settings") -> str | None:
    """Return the host that people reach Grafana by through the edge; None: nobody does."""
    said = settings.grafana
    return said.host if settings.edge.where != "none" and said.where == "cluster" and said.edge else None


def _certificate(settings: "Settings") -> Iterator[Problem]:
    said = settings.edge.certificate
    path: Path = ("edge", "certificate")
    reads: tuple[Path, ...] = ((*path, "by"),)
    if said.by == "given":
        if said.pem is None:
            yield Problem((*path, "pem"), "is missing: a given certificate is written here as PEM", reads=reads)
        elif reason := edge_certificate.wrong(said.pem, all_hosts(settings), edge_certificate.now()):
            yield Problem((*path, "pem"), reason, reads=(*reads, ("domain",), ("edge", "routes"), ("grafana",)))
        if said.key is None:
            reason = "a certificate without its key: say key: EDGE_TLS_KEY, and set that with `pulumi config set --secret EDGE_TLS_KEY`"
            yield Problem((*path, "key"), reason, reads=reads)
    elif said.pem or said.key:
        yield Problem((*path, "by"), "would never look at pem and key: say given, or leave them out", said.by, ((*path, "pem"),))
    if said.by == "issuer" and not said.annotations:
        reason = "nobody is asked for a certificate: say which issuer, such as cert-manager.io/cluster-issuer: letsencrypt"
        yield Problem((*path, "annotations"), reason, reads=reads)
    if said.by == "issuer" and settings.web and not all(hosts(settings, route) for route in routes(settings).values()):
        reason = "an issuer makes certificates for host names alone: say domain, or hosts of every route"
        yield Problem((*path, "by"), reason, said.by, (("domain",), ("edge", "routes")))


def _keep_alive(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each hop whose serving side hangs up before the asking side would: it answers with an error now and then."""
    edge = settings.edge
    kept = edge.keep_alive
    balancer, gateway, asks = (seconds_of(one) for one in (kept.balancer, kept.gateway, kept.app))
    chain = (("edge", "keep_alive"), ("edge", "trusted_proxies"), ("web",))
    if edge.behind_cloudflare and balancer <= CLOUDFLARE_IDLE_SECONDS:
        reason = (
            f"Cloudflare takes up connections that have been idle for up to {CLOUDFLARE_IDLE_SECONDS} s, and one that was just closed "
            f"becomes an error 520; expected more than {CLOUDFLARE_IDLE_SECONDS}s, or trusted_proxies without cloudflare"
        )
        yield Problem(("edge", "keep_alive", "balancer"), reason, kept.balancer, chain)
    if gateway <= balancer:
        reason = f"the load balancer keeps them for {balancer} s, and would ask over one that the gateway has closed; expected more"
        yield Problem(("edge", "keep_alive", "gateway"), reason, kept.gateway, chain)
    for name in routes(settings):
        web = settings.web.get(name)
        if web and seconds_of(web.keep_alive) <= asks:
            reason = (
                f"the gateway takes up connections that have been idle for up to {asks} s (edge.keep_alive.app), and would ask over one "
                "that Puma has closed; expected more"
            )
            yield Problem(("web", name, "keep_alive"), reason, web.keep_alive, (*chain, ("web", name)))


def _limits(edge: Edge) -> Iterator[Problem]:
    for part in ("keep_alive", "limits"):
        for name, said in getattr(edge, part).model_dump().items():
            if name in DURATIONS and seconds_of(said) > LONGEST_SECONDS:
                yield Problem(("edge", part, name), f"expected at most {LONGEST_SECONDS}s: the gateway takes no longer ones", said)
    memory = bytes_of(edge.resources.memory)
    needed = ENVOY_BYTES + HELD_REQUESTS * bytes_of(edge.limits.body)
    if memory * HEAP_SHARE < needed:
        reason = (
            f"{HELD_REQUESTS} requests of edge.limits.body, {edge.limits.body}, and what a proxy needs for itself do not fit into the "
            f"{HEAP_SHARE:.0%} of {edge.resources.memory} that it fills; expected at least {int(needed / HEAP_SHARE) // 2**20 + 1}Mi, or a "
            "smaller body"
        )
        yield Problem(("edge", "resources", "memory"), reason, edge.resources.memory, (("edge", "limits"),))
    if seconds_of(edge.limits.headers_within) > seconds_of(edge.limits.body_within):
        reason = (
            f"expected at most edge.limits.body_within, {edge.limits.body_within}: the whole request can not be there before its beginning"
        )
        yield Problem(("edge", "limits", "headers_within"), reason, edge.limits.headers_within, (("edge", "limits"),))


def _ingress(edge: Edge) -> Iterator[Problem]:
    for name in ("allow_from", "address"):
        said = getattr(edge, name)
        if said != Edge.model_fields[name].default:
            reason = "is the load balancer's of a Gateway: the Ingress controller has its own, and would never look at it"
            yield Problem(("edge", name), reason, said if isinstance(said, str) else NO_VALUE, (("edge", "where"),))
    if edge.maintenance:
        reason = "an Ingress has no answer of its own: it needs where: gateway; of an Ingress, let its controller show a page"
        yield Problem(("edge", "maintenance"), reason, edge.maintenance, (("edge", "where"),))
    if edge.class_name == Edge.model_fields["class_name"].default:
        reason = "is the GatewayClass that `./sy cluster up` makes; name the IngressClass of the cluster's controller"
        yield Problem(("edge", "class_name"), reason, edge.class_name, (("edge", "where"),))
    if not (edge.namespaces or edge.ranges):
        yield Problem(("edge", "namespaces"), "the Ingress controller would not be let in: name its namespace", reads=(("edge", "where"),))


def _balancer_of_devices(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem when the balancer before the broker would forget devices that are still there."""
    mqtt = settings.mqtt
    idle, alive = mqtt.balancer_idle, mqtt.keep_alive
    if mqtt.where != "cluster" or idle is None:
        return
    # A broker gives a silent client up after 1.5 times its keep-alive (MQTT 3.1.1, 3.1.2.10): until then the way must be there.
    needed = seconds_of(alive) * 3 // 2
    if seconds_of(idle) <= needed:
        reason = (
            f"devices send something every {alive} (mqtt.keep_alive), the broker waits for {needed} s, and the load balancer would have "
            f"forgotten them before; expected more than {needed}s, or a shorter keep-alive in the devices"
        )
        yield Problem(("mqtt", "balancer_idle"), reason, idle, (("mqtt", "keep_alive"),))

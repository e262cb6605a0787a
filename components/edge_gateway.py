"""The Gateway way in: a Gateway of the stack's own, what its proxies are made of, its routes, and what it demands of those who come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from components.blackbox import Elsewhere, Shown
from components.kube import gateway, spread
from components.kube.gateway import Filter, HttpRoute, Rule
from components.kube.workload import LOST_NODE_SECONDS, metadata
from components.site import Site
from components.watch import Scrape, Watch, fact, rules
from settings import edge
from settings.gateway import CONTROLLER, EDGE, GATEWAY_CLASS, LISTENERS, METRICS, proxies_service
from settings.loader import ROOT
from settings.nodes import written
from settings.quantities import bytes_of, seconds_of
from settings.types import Placement, Resources

COMPONENT = EDGE
HTTP, HTTPS = 80, 443
REDIRECT = "edge-redirect"
ENCRYPTED = "https"
"""The listener of all hosts."""
MAINTENANCE = "maintenance"
ADDRESS_SECONDS = 600
"""Clouds take a minute or two to make a load balancer."""
RETRIES = 3
HOSTS = 16
"""How many hosts a route may name (Gateway API, HTTPRoute.spec.hostnames)."""
FORGED = (
    "Client-IP",
    "X-Client-IP",
    "Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Real-IP",
    "X-Sendfile-Type",
    "X-Accel-Mapping",
    "X-Envoy-Retry-On",
    "X-Envoy-Max-Retries",
    "X-Envoy-Upstream-Rq-Timeout-Ms",
    "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms",
    "X-Envoy-Expected-Rq-Timeout-Ms",
    "X-Envoy-External-Address",
)
"""Headers by which a client could tell Rails another address or name, have it leave a file to a proxy that there is not (Rack::Sendfile),
or tell the gateway another way to work; nobody before it may set them."""
VISITOR = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
"""What the gateway fills in: the address that connected, or the one that a trusted proxy told."""
PAGE = Path(__file__).parent / "files" / COMPONENT / "maintenance.html"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A Service that requests go to."""

    name: str
    port: int
    hosts: Sequence[str]
    """Names that lead to it; none: any."""
    paths: Sequence[str] = ("/",)
    streams: bool = False
    """Whether bodies are handed on as they arrive."""
    maintained: bool = True
    """Whether the maintenance page stands for it too: it is the app."""


def owned(site: Site) -> dict[str, str]:
    """Return the labels of the pods that are this stack's proxies."""
    return {gateway.ENVOY_OWNER["namespace"]: site.namespace, gateway.ENVOY_OWNER["name"]: COMPONENT}


def made(
    name: str, args: edge.Edge, targets: Sequence[Target], secret: pulumi.Input[str], site: Site, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Make the Gateway and what its proxies are made of; return its address."""
    proxy = gateway.EnvoyProxy(name, metadata(COMPONENT, site), proxies(args, site), opts)
    about = metadata(COMPONENT, site)
    about.annotations = {
        **(args.certificate.annotations if args.certificate.by == "issuer" else {}),
        # Until then nobody can be told where it is.
        "pulumi.com/waitFor": "jsonpath={.status.addresses[0].value}",
    }
    listeners = [_listener("http", HTTP), *_encrypted(args.certificate, targets, secret)]
    infrastructure: gateway.Infrastructure = {
        "parametersRef": {"group": gateway.ENVOY_GROUP, "kind": "EnvoyProxy", "name": COMPONENT},
    }
    waiting = pulumi.ResourceOptions(
        depends_on=[proxy], custom_timeouts=pulumi.CustomTimeouts(create=f"{ADDRESS_SECONDS}s", update=f"{ADDRESS_SECONDS}s")
    )
    spec: gateway.GatewaySpec = {"gatewayClassName": args.class_name, "listeners": listeners, "infrastructure": infrastructure}
    return gateway.Gateway(name, about, spec, pulumi.ResourceOptions.merge(opts, waiting)).address


def _listener(name: str, port: int, host: str | None = None, secret: pulumi.Input[str] | None = None) -> gateway.Listener:
    """Return a port of the Gateway for routes of its own namespace: of one host or all, encrypted where there is a certificate."""
    protocol = "HTTP" if secret is None else "HTTPS"
    made: gateway.Listener = {"name": name, "port": port, "protocol": protocol, "allowedRoutes": {"namespaces": {"from": "Same"}}}
    if host:
        made["hostname"] = host
    if secret is not None:
        made["tls"] = {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": secret}]}
    return made


def _encrypted(said: edge.Certificate, targets: Sequence[Target], secret: pulumi.Input[str]) -> list[gateway.Listener]:
    """Return the listeners that end TLS: one for all hosts; where an issuer is asked, one for each.

    cert-manager makes a certificate for a listener's host, and none for a listener without. Each has a certificate of its own: with one
    for several listeners, a browser would ask for one host over the connection to another.
    """
    names = _hosts(targets) if said.by == "issuer" else []
    if not names:
        return [_listener(ENCRYPTED, HTTPS, None, secret)]
    return [
        _listener(name, HTTPS, name, said.kept_in if number == 0 else f"{said.kept_in}-{number + 1}") for number, name in enumerate(names)
    ]


def watch(args: edge.Edge) -> Watch:
    """Return the rules about the proxies, whom the exporter of certificates dials, and how it is told that their controller is there.

    Of the controller's metrics, which are about every stack, none is kept.
    """
    if args.class_name != GATEWAY_CLASS:
        # Somebody else's: what it tells, and to whom, is not known.
        return Watch(rules=rules(COMPONENT))
    alone = {"source_labels": ["__name__"], "regex": "process_start_time_seconds", "action": "keep"}
    asked = Scrape(job="gateway", component=CONTROLLER, port=METRICS, namespace=args.gateway_namespace, relabel=(alone,))
    return Watch(rules=rules(COMPONENT, "gateway"), scrapes=(asked,), expectations=(fact("switchyard:gateway", CONTROLLER),))


def shown(args: edge.Edge, targets: Sequence[Target], name: str, site: Site) -> list[Shown]:
    """Return what the proxies show to people: a certificate for `name` and all hosts, or where an issuer is asked one for each host."""
    proxies = Elsewhere(namespace=args.gateway_namespace, labels=owned(site), port=LISTENERS[1])
    names = _hosts(targets) if args.certificate.by == "issuer" else []
    return [
        Shown(
            # Numbered as the Secrets are that they come from.
            component=COMPONENT if number == 1 else f"{COMPONENT}-{number}",
            host=f"{proxies_service(site.namespace, COMPONENT)}.{args.gateway_namespace}.svc",
            port=HTTPS,
            server_name=host,
            verified=args.certificate.by == "authority",
            elsewhere=proxies,
        )
        for number, host in enumerate(names or [name], 1)
    ]


def _hosts(targets: Sequence[Target]) -> list[str]:
    return list(dict.fromkeys(host for target in targets for host in target.hosts))


def proxies(args: edge.Edge, site: Site) -> dict[str, Any]:
    """Return what the Gateway's proxies and their load balancer are made of."""
    placement = args.placement or site.placement
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    pod = {
        "nodeSelector": dict(placement.node_selector) or None,
        "tolerations": _tolerations(placement),
        "affinity": spread.affinity(placement, owned(site)),
        "topologySpreadConstraints": spread.constraints(placement, owned(site)),
        "imagePullSecrets": [{"name": one} for one in site.images.pull_secrets] or None,
    }
    container = {"image": site.image("envoy"), "resources": _resources(args.resources)}
    service: dict[str, Any] = {
        "type": "LoadBalancer",
        # Keeps clients' addresses.
        "externalTrafficPolicy": "Local",
        "annotations": dict(args.annotations) or None,
        "loadBalancerIP": args.address,
        "allocateLoadBalancerNodePorts": site.cluster.balancer_node_ports,
        "loadBalancerSourceRanges": args.allowed or None,
    }
    kubernetes: dict[str, Any] = {
        "envoyDeployment": {"replicas": args.replicas, "strategy": rolling, "pod": _said(pod), "container": container},
        "envoyService": _said(service),
    }
    if args.replicas > 1:
        kubernetes["envoyPDB"] = {"maxUnavailable": 1}
    return {
        # Over what the class says of all: uid, read-only root, temporary files.
        "mergeType": "StrategicMerge",
        "provider": {"type": "Kubernetes", "kubernetes": kubernetes},
        # One worker for each core of a large node would hold as many idle connections to every pod.
        "concurrency": 2,
        "shutdown": {"drainTimeout": f"{args.grace_seconds}s", "minDrainDuration": f"{edge.DRAIN_SECONDS}s"},
    }


def _resources(said: Resources) -> dict[str, Any]:
    fixed = {"memory": said.memory, "ephemeral-storage": said.scratch}
    return {"requests": {"cpu": said.cpu, **fixed}, "limits": fixed}


def _tolerations(placement: Placement) -> list[dict[str, Any]]:
    lost = [
        {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS}
        for condition in ("not-ready", "unreachable")
    ]
    return lost + written(placement.tolerations)


def routes(name: str, args: edge.Edge, targets: Sequence[Target], site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make what leads requests to `targets`, and everybody on port 80 to port 443."""
    gateway.HttpRouteFilter(
        f"{name}-{MAINTENANCE}",
        metadata(COMPONENT, site, MAINTENANCE),
        status=503,
        content_type="text/html; charset=utf-8",
        body=page(args),
        opts=opts,
    )
    redirect: Rule = {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]}
    for number, hosts in enumerate(_redirected(targets), 1):
        spec: gateway.RouteSpec = {"parentRefs": [{"name": COMPONENT, "sectionName": "http"}], "rules": [redirect]}
        if hosts:
            spec["hostnames"] = hosts
        called = REDIRECT if number == 1 else f"{REDIRECT}-{number}"
        HttpRoute(called, metadata(COMPONENT, site, called), spec, opts)
    for target in targets:
        spec: gateway.RouteSpec = {
            "parentRefs": _parents(args.certificate, target),
            "rules": [_rule(args, target)],
        }
        if target.hosts:
            spec["hostnames"] = list(target.hosts)
        HttpRoute(f"{name}-{target.name}", metadata(COMPONENT, site, target.name), spec, opts)


def _redirected(targets: Sequence[Target]) -> list[list[str]]:
    """Return the hosts that are led to port 443, as many at a time as a route takes; an empty list: all.

    They are named wherever they are known: an issuer that proves one answers its challenges by a route of that host on port 80, and a
    host that any route names is led by routes that name it alone.
    """
    hosts = _hosts(targets)
    named = [hosts[first : first + HOSTS] for first in range(0, len(hosts), HOSTS)]
    return named if targets and all(target.hosts for target in targets) else [[], *named]


def _parents(said: edge.Certificate, target: Target) -> list[gateway.Reference]:
    """Return the listeners that lead to a target, never that of port 80."""
    names = target.hosts if said.by == "issuer" and target.hosts else [ENCRYPTED]
    return [{"name": COMPONENT, "sectionName": name} for name in names]


def _rule(args: edge.Edge, target: Target) -> Rule:
    matches: list[gateway.Match] = [{"path": {"type": "PathPrefix", "value": path}} for path in target.paths]
    if args.maintenance and target.maintained:
        shown: Filter = {
            "type": "ExtensionRef",
            "extensionRef": {"group": gateway.ENVOY_GROUP, "kind": "HTTPRouteFilter", "name": MAINTENANCE},
        }
        return {"matches": matches, "filters": [shown]}
    # What ended TLS says so: Rails' force_ssl, its cookies and its links rest on it. And it says who asks, in place of what others said.
    told: Filter = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {
            "set": [{"name": "X-Forwarded-Proto", "value": "https"}, {"name": "X-Forwarded-For", "value": VISITOR}],
        },
    }
    return {
        "matches": matches,
        "filters": [told],
        "backendRefs": [{"name": target.name, "port": target.port}],
        "timeouts": {"request": _seconds(args.limits.answer_within)},
    }


def page(args: edge.Edge) -> str:
    """Return the maintenance page: the product's own, or ours."""
    text = (ROOT / args.maintenance_page if args.maintenance_page else PAGE).read_text()
    # The gateway fills in what stands between percent signs.
    return text.replace("%", "%%")


def policies(name: str, args: edge.Edge, targets: Sequence[Target], site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make what the Gateway demands of clients, and how it treats the web processes."""
    limits, kept = args.limits, args.keep_alive
    trusted = {"xForwardedFor": {"trustedCIDRs": args.trusted}} if args.trusted else None
    client = {
        "targetRefs": gateway.targets("Gateway", COMPONENT),
        "clientIPDetection": trusted,
        "headers": {"earlyRequestHeaders": {"remove": list(FORGED)}},
        # %2F and // would otherwise mean another path to the gateway than to Rails.
        "path": {"escapedSlashesAction": "UnescapeAndRedirect"},
        "timeout": {
            "http": {
                "idleTimeout": _seconds(kept.gateway),
                "requestHeadersReceivedTimeout": _seconds(limits.headers_within),
                "requestReceivedTimeout": _seconds(limits.body_within),
            },
            # Who connects and says nothing, or stops in the middle of TLS, is as slow as one whose request does not come.
            "tcp": {
                "connectionInspectionTimeout": _seconds(limits.headers_within),
                "tlsHandshakeTimeout": _seconds(limits.headers_within),
            },
        },
        "connection": {"connectionLimit": {"value": limits.connections}},
        "tls": {"minVersion": "1.2"},
    }
    gateway.ClientTrafficPolicy(name, metadata(COMPONENT, site), _said(client), opts)
    for suffix, streams in (("", False), ("-streams", True)):
        chosen = [target.name for target in targets if target.streams is streams]
        if chosen:
            about = metadata(COMPONENT, site, f"{COMPONENT}{suffix}")
            gateway.BackendTrafficPolicy(f"{name}{suffix}", about, _backend(args, chosen, streams=streams), opts)


def _backend(args: edge.Edge, routes: Sequence[str], *, streams: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "targetRefs": gateway.targets("HTTPRoute", *routes),
        "timeout": {"tcp": {"connectTimeout": "3s"}, "http": {"connectionIdleTimeout": _seconds(args.keep_alive.app)}},
        # Of these the app has seen nothing, so that even a POST may be sent again.
        "retry": {"numRetries": RETRIES, "retryOn": {"triggers": ["connect-failure", "refused-stream", "reset-before-request"]}},
    }
    return spec if streams else {**spec, "requestBuffer": {"limit": str(bytes_of(args.limits.body))}}


def _seconds(said: str) -> str:
    """Return a length of time as the Gateway API takes it, which knows no days."""
    return f"{seconds_of(said)}s"


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has a value."""
    return {key: value for key, value in values.items() if value is not None}

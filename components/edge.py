"""The edge: the stack's own Gateway, with its certificate, its routes and what it demands of those who come; or an Ingress instead."""

from collections.abc import Collection, Mapping, Sequence

import pulumi
from pulumi_kubernetes import core, networking

from components import edge_gateway
from components.blackbox import Shown
from components.certificates import CertificateAuthority
from components.edge_gateway import COMPONENT, Target
from components.kube import network
from components.kube.configuration import digest
from components.kube.workload import metadata
from components.site import Secrets, Site
from components.watch import Watch
from settings import edge

SOLVERS, SOLVER_PORT = {"acme.cert-manager.io/http01-solver": "true"}, 8089
"""The pods that cert-manager makes in the stack's namespace while an authority asks it, by HTTP, for proof that a host is ours."""


class Edge(pulumi.ComponentResource):
    """The way in for people.

    where: gateway
    - The Gateway `edge` on ports 80 and 443, an HTTPRoute for each web process, and one that sends port 80 to 443. Its proxies and their
      load balancer stand in the cluster's gateway namespace, are made as the EnvoyProxy `edge` says, and serve nobody else.
    - Clients keep their addresses (externalTrafficPolicy: Local). X-Forwarded-For is believed of trusted proxies alone; the app is told the
      one address that came of it, and headers that would say something else are dropped.
    - Requests are taken in whole, within limits of size and time, before the app sees them; what is over them is answered here.
    - A request that could not be handed over at all is handed to another pod. One that a pod has begun to answer never is.
    - Where an issuer is asked for the certificate, what answers its challenges (HTTP-01) is let in as the web processes are.
    - In maintenance all routes answer 503 with a page; the app, its pods and their Services stay as they are.

    where: ingress
    - One Ingress with the same hosts, paths and certificate. Limits, addresses and redirects are its controller's matter.
    """

    address: pulumi.Output[str]
    """The load balancer's address or name; empty while nobody knows it."""
    watch: Watch
    shown: Sequence[Shown]
    """The certificates that people are shown, as the exporter looks at them; none of an Ingress, whose controller shows them."""
    authority: pulumi.Output[str] | None
    """What clients verify it with, as PEM, where the stack's own authority signed its certificate."""

    def __init__(
        self,
        name: str,
        args: edge.Edge,
        targets: Sequence[Target],
        site: Site,
        secrets: Secrets,
        authority: CertificateAuthority | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the way in to `targets`; `authority` signs the certificate where it is the stack's own."""
        super().__init__("switchyard:index:Edge", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.shown: Sequence[Shown] = ()
        self.watch = Watch()
        names = _names(targets, site)
        secret = _certificate(name, args.certificate, names, site, secrets, authority, child)
        self.authority = authority.certificate if authority else None
        if args.certificate.by == "issuer":
            network.admit_to(f"{name}-challenges", COMPONENT, site, SOLVERS, peers(args, site, routed=True), [SOLVER_PORT], child)
        if args.where == "ingress":
            self.address = _ingress(name, args, targets, secret, site, child)
        else:
            self.address = edge_gateway.made(name, args, targets, secret, site, child)
            edge_gateway.routes(name, args, targets, site, child)
            edge_gateway.policies(name, args, targets, site, child)
            self.watch = edge_gateway.watch(args)
            self.shown = edge_gateway.shown(args, targets, names[0], site)
        self.register_outputs({"address": self.address})


def peers(args: edge.Edge, site: Site, *, routed: bool) -> list[network.Peer]:
    """Return who reaches a web process from outside the stack; `routed`: whether requests are led to it."""
    found = [*map(network.pods_of_namespace, args.namespaces), *map(network.addresses, args.ranges)]
    if routed and args.where == "gateway":
        found.append(network.pods_of_namespace(args.gateway_namespace, edge_gateway.owned(site)))
    return found


def _names(targets: Sequence[Target], site: Site) -> list[str]:
    """Return the names that the certificate is for: those people ask for, or one inside the cluster where any name will do."""
    return sorted({host for target in targets for host in target.hosts}) or [f"{COMPONENT}.{site.namespace}.svc"]


def server_name(targets: Sequence[Target], site: Site) -> str:
    """Return the name that clients may expect in the certificate."""
    return _names(targets, site)[0]


def _certificate(
    name: str,
    said: edge.Certificate,
    names: Sequence[str],
    site: Site,
    secrets: Secrets,
    authority: CertificateAuthority | None,
    opts: pulumi.ResourceOptions,
) -> pulumi.Input[str]:
    """Return the name of the Secret with the certificate, made here unless somebody else fills it."""
    if said.by == "given" and said.pem and said.key:
        full = f"{COMPONENT}-tls-{digest(said.pem, secrets.fingerprint(said.key))}"
        values: dict[str, pulumi.Input[str]] = {"tls.crt": said.pem, "tls.key": secrets.value(said.key)}
        _tls_secret(full, full, values, site, opts)
        return full
    if said.by == "authority" and authority:
        made = authority.server_certificate(f"{name}-tls", names, [], opts)
        # A renewed certificate never takes an earlier name again.
        kube_name = made.fingerprint.apply(lambda fingerprint: f"{COMPONENT}-tls-{fingerprint}")
        _tls_secret(f"{name}-tls", kube_name, {"tls.crt": made.certificate, "tls.key": made.key}, site, opts)
        return kube_name
    return said.kept_in


def _tls_secret(
    name: str, kube_name: pulumi.Input[str], values: Mapping[str, pulumi.Input[str]], site: Site, opts: pulumi.ResourceOptions
) -> None:
    about = metadata(COMPONENT, site, kube_name)
    core.v1.Secret(name, metadata=about, type="kubernetes.io/tls", string_data=dict(values), immutable=True, opts=opts)


def _ingress(
    name: str, args: edge.Edge, targets: Sequence[Target], secret: pulumi.Input[str], site: Site, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Make the Ingress; return its address."""
    about = metadata(COMPONENT, site)
    issuer = args.certificate.annotations if args.certificate.by == "issuer" else {}
    about.annotations = {**args.annotations, **issuer} or None
    names = sorted({host for target in targets for host in target.hosts})
    made = networking.v1.Ingress(
        name,
        metadata=about,
        spec=networking.v1.IngressSpecArgs(
            ingress_class_name=args.class_name,
            tls=[networking.v1.IngressTLSArgs(hosts=names or None, secret_name=secret)],
            rules=[_ingress_rule(host, targets) for host in names or [None]],
        ),
        opts=opts,
    )
    return made.status.apply(_ingress_address)


def _ingress_rule(host: str | None, targets: Collection[Target]) -> networking.v1.IngressRuleArgs:
    paths = [
        networking.v1.HTTPIngressPathArgs(
            path=path,
            path_type="Prefix",
            backend=networking.v1.IngressBackendArgs(
                service=networking.v1.IngressServiceBackendArgs(
                    name=target.name, port=networking.v1.ServiceBackendPortArgs(number=target.port)
                )
            ),
        )
        for target in targets
        if host is None or host in target.hosts
        for path in target.paths
    ]
    return networking.v1.IngressRuleArgs(host=host, http=networking.v1.HTTPIngressRuleValueArgs(paths=paths))


def _ingress_address(status: networking.v1.outputs.IngressStatus | None) -> str:
    points = (status.load_balancer.ingress if status and status.load_balancer else None) or []
    return next((place for point in points if (place := point.hostname or point.ip)), "")

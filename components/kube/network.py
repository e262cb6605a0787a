"""Network policies: everything is refused, and each component says who may reach it."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

import pulumi
from pulumi_kubernetes import meta, networking

from components.endpoints import Endpoint
from components.kube.workload import metadata
from components.site import CLIENT_LABEL, Site
from settings.fixed import VERSION_ANNOTATION

PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"]
"""Addresses that are nobody's SaaS: private, link-local (cloud metadata) and shared ranges."""
METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")
"""Where clouds tell whoever asks the rights of the node that it runs on."""

NAMED_PREFIX = 24
"""A range of the API server's that is no larger than this means the API server; a larger one that nobody looked where it is."""

Peer = networking.v1.NetworkPolicyPeerArgs
Ports = Sequence[int]


def pods(labels: Mapping[str, str]) -> Peer:
    """Return the pods of this namespace with `labels`."""
    return Peer(pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(labels)))


def pods_of_namespace(name: str, labels: Mapping[str, str] | None = None) -> Peer:
    """Return the pods of another namespace, those with `labels` or all."""
    return labelled_namespaces({"kubernetes.io/metadata.name": name}, labels)


def addresses(cidr: str, excluded: Sequence[str] = ()) -> Peer:
    """Return a range of addresses."""
    return Peer(ip_block=networking.v1.IPBlockArgs(cidr=cidr, except_=list(excluded) or None))


def without_metadata(cidr: str) -> Peer:
    """Return a range of addresses without those in it that tell a node's rights: they are open only to who names one by itself."""
    said = ip_network(cidr)
    inside = [one for one in METADATA if one != str(said) and said.version == ip_network(one).version and said.overlaps(ip_network(one))]
    return addresses(cidr, inside)


def allow_in(
    name: str, component: str, site: Site, peers: Sequence[Peer], ports: Ports, opts: pulumi.ResourceOptions
) -> networking.v1.NetworkPolicy:
    """Make a policy that lets `peers` reach `ports` of the component's pods; of neither none."""
    return admit_to(name, component, site, site.selector(component), peers, ports, opts)


def admit_to(
    name: str, component: str, site: Site, selector: Mapping[str, str], peers: Sequence[Peer], ports: Ports, opts: pulumi.ResourceOptions
) -> networking.v1.NetworkPolicy:
    """Make a policy of `component` that lets `peers` reach `ports` of the pods with `selector`, which somebody else may have made."""
    # To Kubernetes a rule without peers is for everybody, and one without ports for all of them.
    rules = [networking.v1.NetworkPolicyIngressRuleArgs(from_=list(peers), ports=_ports(ports))] if peers and ports else []
    return _policy(name, component, site, selector, opts, ingress=rules)


def allow_out(
    name: str,
    component: str,
    site: Site,
    selector: Mapping[str, str],
    peers: Sequence[Peer],
    ports: Ports | None,
    opts: pulumi.ResourceOptions,
    annotations: Mapping[str, str] | None = None,
) -> networking.v1.NetworkPolicy:
    """Make a policy of `component` that lets the pods with `selector` reach `ports` of `peers`, None: all ports; of neither none."""
    numbers = None if ports is None else _ports(ports)
    rules = [networking.v1.NetworkPolicyEgressRuleArgs(to=list(peers), ports=numbers)] if peers and numbers != [] else []
    return _policy(name, component, site, selector, opts, egress=rules, annotations=annotations)


def admit_everybody(
    name: str, component: str, site: Site, selector: Mapping[str, str], ports: Ports, opts: pulumi.ResourceOptions
) -> networking.v1.NetworkPolicy:
    """Make a policy that lets whoever comes reach `ports` of the pods with `selector`: those behind a public load balancer."""
    rule = networking.v1.NetworkPolicyIngressRuleArgs(ports=_ports(ports))
    return _policy(name, component, site, selector, opts, ingress=[rule])


def labelled_namespaces(labels: Mapping[str, str], pods: Mapping[str, str] | None = None) -> Peer:
    """Return the pods of the namespaces with `labels`: those with the labels `pods`, or all."""
    return Peer(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels=dict(labels)),
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)) if pods else None,
    )


def admit_clients(name: str, component: str, site: Site, ports: Ports, opts: pulumi.ResourceOptions) -> None:
    """Make the two policies of a service: its clients' way out and its own way in.

    Clients are the pods that carry the service's label (`Endpoint.client_labels`), whichever component they belong to.
    """
    clients = {f"{CLIENT_LABEL}{component}": "true"}
    allow_in(f"{name}-clients-in", component, site, [pods(clients)], ports, opts)
    allow_out(f"{name}-clients-out", component, site, clients, [pods(site.selector(component))], ports, opts)


def admit_external(name: str, endpoint: Endpoint, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make the policy that lets clients reach a service outside the cluster."""
    peers = [without_metadata(cidr) for cidr in endpoint.ranges]
    about = {VERSION_ANNOTATION: endpoint.version} if endpoint.version else {}
    allow_out(f"{name}-external", endpoint.service, site, endpoint.client_labels, peers, [endpoint.port], opts, annotations=about)


def among_members(name: str, component: str, site: Site, ports: Ports, opts: pulumi.ResourceOptions) -> None:
    """Make the policies that let a component's own pods reach each other."""
    own = site.selector(component)
    allow_in(f"{name}-members-in", component, site, [pods(own)], ports, opts)
    allow_out(f"{name}-members-out", component, site, own, [pods(own)], ports, opts)


def to_api_server(name: str, component: str, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make the policy that lets a component reach the API server."""
    peers = [without_metadata(cidr) for cidr in site.cluster.api_server]
    allow_out(f"{name}-api-server", component, site, site.selector(component), peers, site.cluster.api_server_ports, opts)


def admit_scrapes(name: str, component: str, site: Site, ports: Mapping[str, Ports], opts: pulumi.ResourceOptions) -> None:
    """Make the policies that let `component` ask other components for their metrics: component -> the ports of its pods.

    One lets it out to all of them, and each of them has one of its own that lets it in; its own pods are among them.
    """
    own = site.selector(component)
    out = [
        networking.v1.NetworkPolicyEgressRuleArgs(to=[pods(site.selector(asked))], ports=_ports(numbers))
        for asked, numbers in ports.items()
    ]
    _policy(f"{name}-scrapes", component, site, own, opts, egress=out)
    for asked, numbers in ports.items():
        allow_in(f"{name}-asks-{asked}", asked, site, [pods(own)], numbers, opts)


def to_public(
    name: str,
    component: str,
    site: Site,
    selector: Mapping[str, str],
    besides: Sequence[str],
    ports: Ports,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the policy that lets pods reach public addresses, the API server's left out, and of the private ones those `besides`."""
    peers = [addresses("0.0.0.0/0", [*PRIVATE_RANGES, *_public_control_plane(site)]), *map(without_metadata, besides)]
    allow_out(name, component, site, selector, peers, ports, opts)


def _public_control_plane(site: Site) -> list[str]:
    """Return the public addresses of the API server, where the settings name them: a larger range would leave out half the world."""
    named = [one for one in map(ip_network, site.cluster.api_server) if one.version == 4 and one.prefixlen >= NAMED_PREFIX]
    return [str(one) for one in named if not any(one.overlaps(ip_network(private)) for private in PRIVATE_RANGES)]


def default_deny(name: str, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make the two policies of the whole namespace: nothing goes in or out, except questions to the cluster's DNS."""
    networking.v1.NetworkPolicy(
        f"{name}-default-deny",
        metadata=metadata("network", site, "default-deny"),
        spec=networking.v1.NetworkPolicySpecArgs(pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]),
        opts=opts,
    )
    dns = [networking.v1.NetworkPolicyPortArgs(protocol=protocol, port=port) for protocol in ("UDP", "TCP") for port in (53, 1053)]
    servers = [pods_of_namespace(site.cluster.dns_namespace, site.cluster.dns), *map(addresses, site.cluster.dns_ranges)]
    rule = networking.v1.NetworkPolicyEgressRuleArgs(to=servers, ports=dns)
    _policy(f"{name}-dns", "network", site, {}, opts, egress=[rule], kube_name="dns")


def _ports(ports: Ports) -> list[networking.v1.NetworkPolicyPortArgs]:
    return [networking.v1.NetworkPolicyPortArgs(protocol="TCP", port=port) for port in ports]


def _policy(
    name: str,
    component: str,
    site: Site,
    selector: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    *,
    ingress: list[networking.v1.NetworkPolicyIngressRuleArgs] | None = None,
    egress: list[networking.v1.NetworkPolicyEgressRuleArgs] | None = None,
    kube_name: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> networking.v1.NetworkPolicy:
    about = metadata(component, site, kube_name or name)
    about.annotations = dict(annotations) if annotations else None
    return networking.v1.NetworkPolicy(
        name,
        metadata=about,
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(selector)),
            policy_types=["Egress"] if ingress is None else ["Ingress"],
            ingress=ingress,
            egress=egress,
        ),
        opts=opts,
    )

"""Who may talk to whom, decided from NetworkPolicies as Kubernetes decides it; cross-checked with real packets in tests/cluster."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]
Peer = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a packet comes from or goes to: a pod, or something that is none."""

    address: str = ""
    """Its IP address; empty: not known, and then no range of addresses covers it."""
    labels: Labels = field(default_factory=dict[str, str])
    namespace: str | None = None
    """The pod's namespace; None: it is no pod."""
    namespace_labels: Labels = field(default_factory=dict[str, str])
    """That namespace's labels beside its name, by which a policy of another one may mean it."""


class Network:
    """The policies of one namespace."""

    def __init__(self, namespace: str, policies: Sequence[Mapping[str, Any]]) -> None:
        """Take the NetworkPolicies of a namespace, as manifests."""
        self.namespace = namespace
        self.policies: list[dict[str, Any]] = [policy["spec"] for policy in policies]

    def connects(self, source: Labels, target: Labels, port: int) -> bool:
        """Say whether a pod with labels `source` reaches `port` of one with labels `target`: out of the one, and into the other."""
        return reaches([self], self.pod(source), self.pod(target), port)

    def admits(self, address: str, target: Labels, port: int) -> bool:
        """Say whether something at `address`, which is no pod, reaches `port` of a pod."""
        return self.enters(Place(address), target, port)

    def lets_out(self, source: Labels, address: str, port: int) -> bool:
        """Say whether a pod reaches `port` of `address`, which is no pod."""
        return self.leaves(source, Place(address), port)

    def enters(self, source: Place, target: Labels, port: int) -> bool:
        """Say whether the policies of the target, a pod of this namespace, let it in."""
        return self._allowed("Ingress", target, port, source)

    def leaves(self, source: Labels, target: Place, port: int) -> bool:
        """Say whether the policies of the source, a pod of this namespace, let it out."""
        return self._allowed("Egress", source, port, target)

    def is_restricted(self, labels: Labels, direction: str) -> bool:
        """Say whether any policy that has a rule of its own, or refuses everything, selects the pod."""
        return any(direction in spec["policyTypes"] and matches(spec.get("podSelector"), labels) for spec in self.policies)

    def pod(self, labels: Labels, address: str = "") -> Place:
        """Return a pod of this namespace."""
        return Place(address, labels, self.namespace)

    def _allowed(self, direction: str, labels: Labels, port: int, other: Place) -> bool:
        selecting = [spec for spec in self.policies if direction in spec["policyTypes"] and matches(spec.get("podSelector"), labels)]
        if not selecting:
            return True
        for spec in selecting:
            rules: list[dict[str, Any]] = spec.get(direction.lower()) or []
            if any(_port(rule, port) and self._fits(rule, other) for rule in rules):
                return True
        return False

    def _fits(self, rule: Mapping[str, Any], other: Place) -> bool:
        peers: list[Peer] = rule.get("from") or rule.get("to") or []
        # Without any it is everybody.
        return not peers or any(_has_address(peer, other.address) if "ipBlock" in peer else self._is_pod(peer, other) for peer in peers)

    def _is_pod(self, peer: Peer, other: Place) -> bool:
        if other.namespace is None:
            return False
        space = peer.get("namespaceSelector")
        inside = (
            other.namespace == self.namespace
            if space is None
            else matches(space, {**other.namespace_labels, "kubernetes.io/metadata.name": other.namespace})
        )
        return inside and matches(peer.get("podSelector"), other.labels)


def reaches(networks: Sequence[Network], source: Place, target: Place, port: int) -> bool:
    """Say whether `source` reaches a TCP port of `target`, as the policies of both their namespaces say.

    A namespace that is not among the networks has no policies.
    """
    known = {network.namespace: network for network in networks}
    ours, theirs = (known.get(place.namespace) if place.namespace else None for place in (source, target))
    return (ours is None or ours.leaves(source.labels, target, port)) and (theirs is None or theirs.enters(source, target.labels, port))


def matches(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Say whether a label selector selects `labels`; an empty one selects everything. ValueError for one by expressions."""
    if (selector or {}).get("matchExpressions"):
        raise ValueError("a selector by expressions: none of ours has any")
    wanted: Labels = (selector or {}).get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _has_address(peer: Peer, address: str) -> bool:
    if not address:
        return False
    block, inside = peer["ipBlock"], ipaddress.ip_address(address)
    excluded: list[str] = block.get("except") or []
    return inside in ipaddress.ip_network(block["cidr"]) and not any(inside in ipaddress.ip_network(cidr) for cidr in excluded)


def _port(rule: Mapping[str, Any], port: int) -> bool:
    entries: list[dict[str, Any]] = rule.get("ports") or [{}]
    return any(_covers(entry, port) for entry in entries if entry.get("protocol", "TCP") == "TCP")


def _covers(entry: Mapping[str, Any], port: int) -> bool:
    first = entry.get("port")
    return first is None or first <= port <= entry.get("endPort", first)

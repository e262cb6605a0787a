"""Who may talk to whom, decided from NetworkPolicies as Kubernetes decides it; cross-checked with real packets in tests/cluster."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

Labels = Mapping[str, str]


class Network:
    """The policies of one namespace."""

    def __init__(self, namespace: str, policies: Sequence[Mapping[str, Any]]) -> None:
        self.namespace = namespace
        self.policies = [policy["spec"] for policy in policies]

    def connects(self, source: Labels, target: Labels, port: int) -> bool:
        """Say whether a pod with labels `source` reaches `port` of one with labels `target`: out of the one, and into the other."""
        leaves = self._allowed("Egress", source, port, lambda peer: self._is_pod(peer, target))
        return leaves and self._allowed("Ingress", target, port, lambda peer: self._is_pod(peer, source))

    def admits(self, address: str, target: Labels, port: int) -> bool:
        """Say whether something at `address`, which is no pod, reaches `port` of a pod."""
        return self._allowed("Ingress", target, port, lambda peer: self._has_address(peer, address))

    def lets_out(self, source: Labels, address: str, port: int) -> bool:
        """Say whether a pod reaches `port` of `address`, which is no pod."""
        return self._allowed("Egress", source, port, lambda peer: self._has_address(peer, address))

    def is_restricted(self, labels: Labels, direction: str) -> bool:
        """Say whether any policy that has a rule of its own, or refuses everything, selects the pod."""
        return any(direction in spec["policyTypes"] and matches(spec.get("podSelector"), labels) for spec in self.policies)

    def _allowed(self, direction: str, labels: Labels, port: int, fits: Any) -> bool:
        selecting = [spec for spec in self.policies if direction in spec["policyTypes"] and matches(spec.get("podSelector"), labels)]
        if not selecting:
            return True
        rules = [rule for spec in selecting for rule in spec.get(direction.lower()) or []]
        return any(_port(rule, port) and any(fits(peer) for peer in rule.get("from", rule.get("to", []))) for rule in rules)

    def _is_pod(self, peer: Mapping[str, Any], labels: Labels) -> bool:
        if "ipBlock" in peer:
            return False
        space = peer.get("namespaceSelector")
        if space is not None and not matches(space, {"kubernetes.io/metadata.name": self.namespace}):
            return False
        return matches(peer.get("podSelector"), labels)

    def _has_address(self, peer: Mapping[str, Any], address: str) -> bool:
        block = peer.get("ipBlock")
        if not block:
            return False
        inside = ipaddress.ip_address(address)
        excluded = [ipaddress.ip_network(cidr) for cidr in block.get("except") or []]
        return inside in ipaddress.ip_network(block["cidr"]) and not any(inside in cidr for cidr in excluded)


def matches(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Say whether a label selector selects `labels`; an empty one selects everything."""
    return all(labels.get(key) == value for key, value in ((selector or {}).get("matchLabels") or {}).items())


def _port(rule: Mapping[str, Any], port: int) -> bool:
    return any(entry.get("port") == port and entry.get("protocol", "TCP") == "TCP" for entry in rule.get("ports") or [{"port": port}])

"""Lists whose order means nothing to Kubernetes, and what tells their members apart."""

import json
from collections.abc import Callable
from typing import Any, TypeGuard, cast

from settings.gateway import OWNING_NAMESPACE

Member = dict[str, Any]

UNORDERED = {
    "accessModes",
    "add",
    "apiGroups",
    "dependsOn",
    "dnsNames",
    "drop",
    "except",
    "ignoreChanges",
    "ipAddresses",
    "loadBalancerSourceRanges",
    "policyTypes",
    "ranges",
    "resourceNames",
    "resources",
    "verbs",
}
"""Lists of plain values whose order means nothing."""


def _name(member: Member) -> str:
    return str(member.get("name"))


def _port(member: Member) -> str:
    return str(member.get("name") or f"{member.get('protocol', 'TCP')}/{_plain(member.get('port', member.get('containerPort')))}")


def _reference(member: Member) -> str:
    source = next(iter(member.values()), None)
    return _name(cast("Member", source)) if isinstance(source, dict) else json.dumps(member, sort_keys=True)


def _peer(member: Member) -> str:
    if block := member.get("ipBlock"):
        return str(block.get("cidr"))
    inside = [_selected(member[key]) for key in ("namespaceSelector", "podSelector") if key in member]
    return " ".join(inside)


def _selected(selector: Any) -> str:
    labels: dict[str, str] = cast("Member", selector or {}).get("matchLabels") or {}
    # Whose Gateway it is differs with every stack, and is compared as any other value.
    return ",".join(key if key == OWNING_NAMESPACE else f"{key}={value}" for key, value in sorted(labels.items())) or "all"


def _network_rule(member: Member) -> str:
    ports: list[Member] = member.get("ports") or []
    return ",".join(sorted(map(_port, ports))) or "all"


def _role_rule(member: Member) -> str:
    parts = ("apiGroups", "resources", "resourceNames", "verbs")
    return " ".join(",".join(sorted(member.get(part) or [])) for part in parts).strip()


LIST_KEYS: dict[str, Callable[[Member], str]] = {
    "containers": _name,
    "initContainers": _name,
    "env": _name,
    "envFrom": _reference,
    "ports": _port,
    "volumes": _name,
    "volumeMounts": lambda member: str(member.get("mountPath")),
    "volumeClaimTemplates": lambda member: _name(member.get("metadata") or {}),
    "sources": _reference,
    "imagePullSecrets": _name,
    "httpHeaders": _name,
    "tolerations": lambda member: f"{member.get('key')} {member.get('effect', '')}".strip(),
    "topologySpreadConstraints": lambda member: str(member.get("topologyKey")),
    "subjects": lambda member: f"{member.get('kind')} {member.get('name')}",
    "rules": _role_rule,
    "ingress": _network_rule,
    "egress": _network_rule,
    "from": _peer,
    "to": _peer,
}
"""Lists whose order means nothing, by field, and what tells their members apart."""


def is_map(value: object) -> TypeGuard[Member]:
    """Say whether a value is a map."""
    return isinstance(value, dict)


def of_maps(value: object) -> TypeGuard[list[Member]]:
    """Say whether a value is a list of maps; an empty one is."""
    return isinstance(value, list) and all(isinstance(one, dict) for one in cast("list[Any]", value))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value

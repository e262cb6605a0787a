"""What may never differ between two stacks, whatever parity.yaml says."""

import re
from collections.abc import Iterator
from typing import Any, cast

from reports.compare import APP_IMAGE, MISSING, Row
from reports.places import Place, segment

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
POLICIES = ("NetworkPolicy", "Role", "RoleBinding", "PodDisruptionBudget")
"""Kinds that say who may do what, and when."""
OUTSIDE = ("ipBlock", "namespaceSelector")
"""Peers of a network policy that are outside the stack: other clusters have other addresses and other neighbours."""
ELSEWHERE = ("-api-server", "-external")
"""Policies that let pods reach a server which the cluster or somebody else has put where it is (components/kube/network.py)."""
_OUTSIDE = re.compile(r"[0-9a-fA-F.:]+/\d+$|.*kubernetes\.io/metadata\.name=")
"""What such a peer is called in a path: its range of addresses, or its namespace."""
SECURITY = ("securityContext", "automountServiceAccountToken", "serviceAccountName")


def reason(row: Row) -> str | None:
    """Return why a difference may never be; None when parity.yaml may allow it."""
    if why := _reason_at(row.place, missing=MISSING in (row.left, row.right)):
        return why if not _outside(row.place, row.left, row.right) else None
    values: list[Any] = [value for value in (row.left, row.right) if isinstance(value, (dict, list))]
    return next((why for value in values for place in _inside(row.place, value) if (why := covered(place))), None)


def covered(place: Place) -> str | None:
    """Return why an allowance may not cover a field, whether or not it differs now."""
    if _outside(place, None, None):
        return None
    return _reason_at(place, missing=False)


def required_kind(place: Place) -> str | None:
    """Return the only kind of allowance that a place may have; None: any."""
    if place.kind == "NetworkPolicy":
        return "identity"
    return "size" if place.kind == "PodDisruptionBudget" else None


def _reason_at(place: Place, *, missing: bool) -> str | None:
    if place == APP_IMAGE:
        return "of the app's own image, a stack may run only what the one before it has run"
    if not place.path:
        # A workload of one pod has none: it follows from the number of replicas.
        return None if place.kind == "PodDisruptionBudget" else "both stacks have the same components"
    if place.kind == "Version" or (place.kind == "External" and place.path == ("version",)):
        return "backing services have the same version: the other stack moves first"
    if place.within(*PROBES):
        return "probes are the same"
    if missing and (why := _name_missing(place)):
        return why
    return _fixed(place)


def _fixed(place: Place) -> str | None:
    if place.kind in POLICIES and place.path[0] in ("spec", "rules", "subjects", "roleRef"):
        return "policies are the same"
    if place.within(*SECURITY) or any(part.startswith("[pod-security.kubernetes.io/") for part in place.path):
        return "policies are the same: what a pod may do"
    if place.path[-1] == "image":
        return "backing services run the same image"
    return None


def _name_missing(place: Place) -> str | None:
    """Return why a member may not be missing."""
    above = place.path[-2] if len(place.path) > 1 else ""
    if above in ("env", "envFrom"):
        return "env var names are the same"
    if place.kind == "Secret" and above in ("stringData", "data"):
        return "env var names are the same, and those of secrets"
    if above in ("containers", "initContainers"):
        return "both stacks have the same components: pods of the same containers"
    return None


def _outside(place: Place, left: Any, right: Any) -> bool:
    """Say whether a place of a network policy is about who is outside the stack: addresses, and pods of other namespaces."""
    if place.kind != "NetworkPolicy":
        return False
    if len(place.path) > 1 and place.path[-2] == "egress":
        # A whole rule, which is told from others by its ports: those of a server elsewhere are not the stack's to choose.
        return place.name.endswith(ELSEWHERE) and any(_leads_outside(rule) for rule in (left, right))
    return any(part in ("from", "to") and _OUTSIDE.match(peer.strip("[]")) for part, peer in zip(place.path, place.path[1:], strict=False))


def _leads_outside(rule: Any) -> bool:
    peers: list[Any] = cast("dict[str, Any]", rule).get("to") or [] if isinstance(rule, dict) else []
    return bool(peers) and all(any(key in peer for key in OUTSIDE) for peer in peers)


def _inside(place: Place, value: Any) -> Iterator[Place]:
    """Return the places of what a map or list holds."""
    members: dict[str, Any] = (
        cast("dict[str, Any]", value)
        if isinstance(value, dict)
        else {str(index): one for index, one in enumerate(cast("list[Any]", value))}
    )
    for key, inner in members.items():
        below = Place(place.kind, place.name, (*place.path, segment(key)))
        if isinstance(inner, (dict, list)):
            yield from _inside(below, inner)
        else:
            yield below

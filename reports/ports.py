"""What a change opens: who may reach what afterwards that could not before."""

import ipaddress
from collections.abc import Iterator
from typing import Any, cast

Object = dict[str, Any]
"""A Kubernetes object, or a part of one."""

PUBLISHED = ("Gateway", "GRPCRoute", "HTTPRoute", "Ingress", "TCPRoute", "TLSRoute")
"""Kinds that lead in from outside: any change of what they say is worth a look."""

WITH_PODS = ("CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet")
HIGHEST_PORT = 65535


def opened(kind: str, before: Object | None, after: Object | None) -> list[str]:
    """Return what a change opens, one phrase each; empty when it opens nothing. None is an object that is not there."""
    if kind == "NetworkPolicy":
        return list(_policy(_spec(before), _spec(after), gone=after is None))
    if kind == "Service" and after is not None:
        return list(_service(_spec(before), _spec(after)))
    if kind in WITH_PODS and after is not None:
        return list(_pods(before, after))
    if kind in PUBLISHED and after is not None and _spec(before) != _spec(after):
        return [f"publishes {kind}"]
    return []


def _spec(thing: Object | None) -> Object:
    said = (thing or {}).get("spec")
    return cast("Object", said) if isinstance(said, dict) else {}


def _maps(said: object) -> list[Object]:
    """Return the maps of a list; what the engine does not know yet is left out."""
    return [cast("Object", one) for one in cast("list[object]", said) if isinstance(one, dict)] if isinstance(said, list) else []


def _policy(before: Object, after: Object, *, gone: bool) -> Iterator[str]:
    for direction in ("ingress", "egress"):
        refused = _refuses(before, direction)
        if refused and not _refuses(after, direction) and (not gone or not before.get(direction)):
            yield f"{direction} is no longer refused by default"
        # A policy that is moved to other pods allows them what it says.
        old = _allowed(before, direction) if before.get("podSelector") == after.get("podSelector") else []
        for peer, port in _allowed(after, direction):
            if not any(_peer_covers(had, peer) and _port_covers(was, port) for had, was in old):
                yield f"{direction} {'from' if direction == 'ingress' else 'to'} {_peer(peer)} on {_port(port)}"


def _refuses(policy: Object, direction: str) -> bool:
    if not policy:
        return False
    types = policy.get("policyTypes")
    return direction.capitalize() in types if isinstance(types, list) else direction == "ingress" or direction in policy


def _allowed(policy: Object, direction: str) -> list[tuple[Object | None, Object | None]]:
    """Return who may be reached on which port, each pair by itself; None is everybody, or every port."""
    pairs: list[tuple[Object | None, Object | None]] = []
    for rule in _maps(policy.get(direction)):
        peers = _maps(rule.get("from" if direction == "ingress" else "to")) or [None]
        ports = _maps(rule.get("ports")) or [None]
        pairs += [(peer, port) for peer in peers for port in ports]
    return pairs


def _peer_covers(had: Object | None, peer: Object | None) -> bool:
    if had is None or peer is None:
        return had is None
    if "ipBlock" in had and "ipBlock" in peer:
        return _range_covers(had["ipBlock"], peer["ipBlock"])
    return had == peer or (had == {"namespaceSelector": {}} and "ipBlock" not in peer)


def _range_covers(had: Object, block: Object) -> bool:
    try:
        wide, narrow = ipaddress.ip_network(str(had["cidr"])), ipaddress.ip_network(str(block["cidr"]))
        kept_out, still_out = ([ipaddress.ip_network(one) for one in cast("list[str]", said.get("except") or [])] for said in (had, block))
    except ValueError:
        return had == block
    inside = wide.version == narrow.version and narrow.subnet_of(wide)  # pyright: ignore[reportArgumentType]
    return inside and all(one in still_out for one in kept_out if one.overlaps(narrow))


def _port_covers(was: Object | None, port: Object | None) -> bool:
    if was is None or port is None:
        return was is None
    if was.get("protocol", "TCP") != port.get("protocol", "TCP"):
        return False
    first, last = _range(was)
    return was == port or (isinstance(first, int) and _inside(_range(port), first, last))


def _range(port: Object) -> tuple[object, object]:
    number = port.get("port")
    if number is None:
        return 0, HIGHEST_PORT
    return number, port.get("endPort") or number


def _inside(ports: tuple[object, object], first: object, last: object) -> bool:
    numbers = (*ports, first, last)
    return all(isinstance(one, int) for one in numbers) and cast("int", first) <= cast("int", ports[0]) <= cast("int", last) >= cast(
        "int", ports[1]
    )


def _peer(peer: Object | None) -> str:
    if peer is None:
        return "everybody"
    if "ipBlock" in peer:
        return str(peer["ipBlock"].get("cidr"))
    parts = [f"{word} {_selected(peer[key])}" for key, word in (("namespaceSelector", "namespace"), ("podSelector", "pods")) if key in peer]
    return " ".join(parts) or "unknown"


def _selected(selector: object) -> str:
    labels = cast("Object", selector).get("matchLabels") if isinstance(selector, dict) else None
    if not isinstance(labels, dict):
        return "any" if selector == {} else "by expression"
    said = cast("dict[str, str]", labels)
    # A namespace is selected by the label that holds its name; the key says nothing then.
    return ",".join(str(value) if key.endswith(("/metadata.name", "/component")) else f"{key}={value}" for key, value in said.items())


def _port(port: Object | None) -> str:
    if port is None:
        return "every port"
    first, last = _range(port)
    number = "every port" if port.get("port") is None else f"port {first}" if first == last else f"ports {first} to {last}"
    return number if port.get("protocol", "TCP") == "TCP" else f"{number}/{port['protocol']}"


def _service(before: Object, after: Object) -> Iterator[str]:
    for number, protocol in sorted(_exposed(after) - _exposed(before)):
        yield f"{after.get('type', 'externalIPs')} on port {number}{'' if protocol == 'TCP' else '/' + protocol}"
    old, new = before.get("loadBalancerSourceRanges"), after.get("loadBalancerSourceRanges")
    if _exposed(before) and old and old != new:
        blocks = [{"cidr": one} for one in cast("list[str]", new or ["0.0.0.0/0"])]
        wider = [block["cidr"] for block in blocks if not any(_range_covers({"cidr": one}, block) for one in cast("list[str]", old))]
        yield from (f"{after.get('type')} for {one}" for one in wider)


def _exposed(service: Object) -> set[tuple[str, str]]:
    """Return the ports that are reached from outside the cluster."""
    if service.get("type") not in ("LoadBalancer", "NodePort") and not service.get("externalIPs"):
        return set()
    return {(str(port.get("port")), str(port.get("protocol", "TCP"))) for port in _maps(service.get("ports"))}


def _pods(before: Object | None, after: Object) -> Iterator[str]:
    old, new = _pod_spec(before), _pod_spec(after)
    if new.get("hostNetwork") and not old.get("hostNetwork"):
        yield "the node's own network"
    yield from (f"port {number} of the node" for number in sorted(_ports(new, "hostPort") - _ports(old, "hostPort")))
    # A new workload's ports are closed until a policy opens them.
    if before is not None:
        yield from (f"container port {number}" for number in sorted(_ports(new, "containerPort") - _ports(old, "containerPort")))


def _pod_spec(thing: Object | None) -> Object:
    spec = _spec(thing)
    if "jobTemplate" in spec:
        spec = _spec(spec["jobTemplate"])
    return _spec(spec.get("template"))


def _ports(pod: Object, key: str) -> set[str]:
    containers = [*_maps(pod.get("containers")), *_maps(pod.get("initContainers"))]
    return {str(port[key]) for container in containers for port in _maps(container.get("ports")) if port.get(key)}

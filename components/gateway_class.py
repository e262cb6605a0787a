"""The class that serves the stack's edge, looked for before anything is made: a Gateway of no class waits for ever."""

from typing import Any

import pulumi

from components.kube.gateway import GATEWAY_GROUP
from components.ownership import OwnershipError, asked
from settings import Settings

SECONDS = 5
"""How long the API server may take; a preview does without its answer."""


def check(settings: Settings) -> list[str]:
    """Return a sentence when the cluster has no class as `edge.class_name` says; none when it can not be asked, or may not."""
    edge = settings.edge
    if not settings.cluster.context or edge.where == "none":
        return []
    try:
        known: list[str] = asked(
            settings.cluster, f"listing the classes that serve {edge.where}s", _gateways if edge.where == "gateway" else _ingresses
        )
    except OwnershipError as error:
        # Who has rights in one namespace only may not list them, and a preview needs no cluster.
        pulumi.log.debug(f"the edge's class was not looked for: {error}")
        return []
    return missing(edge.where, edge.class_name, known, settings.cluster.identifier)


def missing(where: str, wanted: str, known: list[str], cluster: str) -> list[str]:
    """Return a sentence when `wanted` is not among the classes that the cluster has."""
    if wanted in known:
        return []
    kind = "GatewayClass" if where == "gateway" else "IngressClass"
    make = "make it with `./sy cluster up -s STACK`" if where == "gateway" else "install its controller"
    there = f"it has {', '.join(known)}" if known else "it has none"
    what = f"cluster {cluster} has no {kind} of that name ({there}), so nobody would serve it"
    return [f"edge.class_name: {wanted!r}: {what}: {make}, or name another one"]


def _gateways(client: Any, connection: Any) -> list[str]:
    try:
        found = client.CustomObjectsApi(connection).list_cluster_custom_object(
            GATEWAY_GROUP, "v1", "gatewayclasses", _request_timeout=SECONDS
        )
    except client.ApiException as error:
        if error.status == 404:
            # The cluster does not know the kind at all.
            return []
        raise
    return sorted(str(one["metadata"]["name"]) for one in found["items"])


def _ingresses(client: Any, connection: Any) -> list[str]:
    found = client.NetworkingV1Api(connection).list_ingress_class(_request_timeout=SECONDS).items
    return sorted(str(one.metadata.name) for one in found)

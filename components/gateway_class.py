"""The class that serves the stack's edge, looked for before anything is made: a Gateway of no class waits for ever."""

from collections.abc import Mapping
from typing import Any

import pulumi

from components.kube.gateway import GATEWAY_GROUP
from components.ownership import OwnershipError, asked
from settings import Settings
from settings.gateway import foreign

SECONDS = 5
"""How long the API server may take; a preview does without its answer."""


def check(settings: Settings) -> list[str]:
    """Return a sentence when the cluster has no class as `edge.class_name` says; none when it can not be asked, or may not."""
    edge = settings.edge
    if not settings.cluster.context or edge.where == "none":
        return []
    try:
        known: dict[str, str] = asked(
            settings.cluster, f"listing the classes that serve {edge.where}s", _gateways if edge.where == "gateway" else _ingresses
        )
    except OwnershipError as error:
        # Who has rights in one namespace only may not list them, and a preview needs no cluster.
        pulumi.log.debug(f"the edge's class was not looked for: {error}")
        return []
    return missing(edge.where, edge.class_name, known, settings.cluster.identifier)


def missing(where: str, wanted: str, known: Mapping[str, str], cluster: str) -> list[str]:
    """Return a sentence when `wanted` is not among the classes that the cluster has, or its controller does not know what the stack says.

    `known` has for each class the name of the controller that serves it.
    """
    kind = "GatewayClass" if where == "gateway" else "IngressClass"
    said = f"edge.class_name: {wanted!r}: "
    if wanted not in known:
        make = "make it with `./sy cluster up -s STACK`" if where == "gateway" else "install its controller"
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        return [f"{said}cluster {cluster} has no {kind} of that name ({there}), so nobody would serve it: {make}, or name another one"]
    if where == "gateway" and (why := foreign(known[wanted])):
        ours = ", ".join(sorted(name for name, controller in known.items() if not foreign(controller)))
        cure = f"name {ours}" if ours else "make one with `./sy cluster up -s STACK`"
        return [f"{said}{why}; expected a class of Envoy Gateway's: {cure}"]
    return []


def _gateways(client: Any, connection: Any) -> dict[str, str]:
    try:
        found = client.CustomObjectsApi(connection).list_cluster_custom_object(
            GATEWAY_GROUP, "v1", "gatewayclasses", _request_timeout=SECONDS
        )
    except client.ApiException as error:
        if error.status == 404:
            # The cluster does not know the kind at all.
            return {}
        raise
    return {str(one["metadata"]["name"]): str(one["spec"]["controllerName"]) for one in found["items"]}


def _ingresses(client: Any, connection: Any) -> dict[str, str]:
    found = client.NetworkingV1Api(connection).list_ingress_class(_request_timeout=SECONDS).items
    return {str(one.metadata.name): str(one.spec.controller or "") for one in found}

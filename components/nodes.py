"""The cluster's nodes, asked before anything is made: a placement that none of them satisfies would wait for ever."""

from typing import Any

import pulumi

from components.ownership import OwnershipError, asked
from settings import Settings
from settings.nodes import Object, asks_for_nodes, unsatisfied

SECONDS = 5
"""How long the API server may take; a preview does without its answer."""
_GROWING = (("kube-system", "cluster-autoscaler-status"),)
_KARPENTER = "karpenter.sh"


def check(settings: Settings) -> list[str]:
    """Return a sentence for each placement that no node satisfies; none when the cluster can not be asked, or may not.

    Where something adds nodes a new one may be what is asked for, so it is only a warning there.
    """
    if not settings.cluster.context or not asks_for_nodes(settings):
        return []
    try:
        nodes, grows = asked(settings.cluster, "listing nodes", _read)
    except OwnershipError as error:
        # Who has rights in one namespace only can not list nodes, and a preview needs no cluster.
        pulumi.log.debug(f"placements were not compared with the nodes: {error}")
        return []
    found = unsatisfied(settings, nodes)
    if not grows:
        return found
    for sentence in found:
        pulumi.log.warn(f"{sentence}. Something adds nodes to this cluster: `up` waits for one that fits")
    return []


def _read(client: Any, connection: Any) -> tuple[list[Object], bool]:
    nodes = client.CoreV1Api(connection).list_node(_request_timeout=SECONDS).items
    return [connection.sanitize_for_serialization(one) for one in nodes], _grows(client, connection)


def _grows(client: Any, connection: Any) -> bool:
    """Say whether something that adds nodes shows itself: the Cluster Autoscaler's status, or Karpenter's kinds."""
    try:
        groups = client.ApisApi(connection).get_api_versions(_request_timeout=SECONDS).groups
        if any(group.name == _KARPENTER for group in groups):
            return True
        core = client.CoreV1Api(connection)
        return any(core.read_namespaced_config_map(name, where, _request_timeout=SECONDS) for where, name in _GROWING)
    except client.ApiException:
        return False

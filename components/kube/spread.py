"""How pods of one kind are kept apart: over zones and over nodes."""

from collections.abc import Mapping

from pulumi_kubernetes import core, meta

from settings.nodes import HOST, ZONE
from settings.types import Placement

REVISION = ("pod-template-hash",)
"""Pods of a Deployment are counted with those of their own revision: else the last of a rollout goes where an old one is about to leave,
and two new ones share a node. Other pods have no such label, and then Kubernetes leaves it out."""
_MOST = 100
"""The weight of a preference that nothing else outweighs."""


def constraints(placement: Placement, selector: Mapping[str, str]) -> list[core.v1.TopologySpreadConstraintArgs]:
    """Return the constraints by which pods with `selector` are spread evenly."""
    return [_even(ZONE, placement.spread == "zones", selector), _even(HOST, False, selector)]


def affinity(placement: Placement, selector: Mapping[str, str]) -> core.v1.AffinityArgs:
    """Return what keeps pods with `selector` off each other's nodes.

    The scheduler leaves a node out of all preferred constraints that lacks the label of one, such as a zone (requireAllTopologies in its
    podtopologyspread/scoring.go). So on a cluster without zones this alone keeps pods of one kind apart.
    """
    term = core.v1.PodAffinityTermArgs(
        topology_key=HOST, label_selector=meta.v1.LabelSelectorArgs(match_labels=dict(selector)), match_label_keys=list(REVISION)
    )
    if placement.spread == "nodes":
        return core.v1.AffinityArgs(
            pod_anti_affinity=core.v1.PodAntiAffinityArgs(required_during_scheduling_ignored_during_execution=[term])
        )
    preferred = core.v1.WeightedPodAffinityTermArgs(weight=_MOST, pod_affinity_term=term)
    return core.v1.AffinityArgs(
        pod_anti_affinity=core.v1.PodAntiAffinityArgs(preferred_during_scheduling_ignored_during_execution=[preferred])
    )


def _even(key: str, strict: bool, selector: Mapping[str, str]) -> core.v1.TopologySpreadConstraintArgs:
    return core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key=key,
        # Unless the stack wants it: a lost node must not keep its pods from starting on those that are left.
        when_unsatisfiable="DoNotSchedule" if strict else "ScheduleAnyway",
        label_selector=meta.v1.LabelSelectorArgs(match_labels=dict(selector)),
        match_label_keys=list(REVISION),
        # A pool that is kept for others, a drained node and a lost one are no place that stands empty.
        node_taints_policy="Honor",
    )

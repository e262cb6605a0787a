"""The nodes of a cluster: which of them pods may go to, and placements that none of them satisfies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from settings.footprint import Footprint, footprint
from settings.problems import Path, dotted
from settings.types import Placement, Toleration

if TYPE_CHECKING:
    from settings.stack import Settings

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

HOST = "kubernetes.io/hostname"
"""Label of every node: its own name."""
ZONE = "topology.kubernetes.io/zone"
"""Label by which clouds tell in which of their buildings a node stands."""
_PASSING = "node.kubernetes.io/"
"""Begin of the taints that come and go: a node that is drained, lost, or short of something."""


@dataclass(frozen=True)
class Node:
    """A node, as far as it decides which pods come to it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Object]
    """Those that keep pods away, and not merely put them off."""

    @classmethod
    def of(cls, node: Object) -> "Node":
        """Return what a Node object says."""
        about, spec = cast("Object", node["metadata"]), cast("Object", node.get("spec") or {})
        taints = cast("list[Object]", spec.get("taints") or [])
        hard = [taint for taint in taints if taint["effect"] != "PreferNoSchedule"]
        return cls(str(about["name"]), cast("Mapping[str, str]", about.get("labels") or {}), hard)

    def lasting(self) -> "Node":
        """Return the node without what passes: a node that is being drained will take pods again."""
        return Node(self.name, self.labels, [taint for taint in self.taints if not str(taint["key"]).startswith(_PASSING)])

    def has(self, labels: Mapping[str, str]) -> bool:
        """Say whether it has these labels."""
        return all(self.labels.get(key) == value for key, value in labels.items())

    def lets_in(self, tolerations: Sequence[Object]) -> bool:
        """Say whether pods with these tolerations, as Kubernetes writes them, put up with its taints."""
        return all(any(_tolerates(one, taint) for one in tolerations) for taint in self.taints)


def written(tolerations: Sequence[Toleration]) -> list[dict[str, str]]:
    """Return tolerations as Kubernetes writes them."""
    said = [
        {"key": one.key, "operator": "Exists" if one.value is None else "Equal", "value": one.value, "effect": one.effect}
        for one in tolerations
    ]
    return [{key: value for key, value in one.items() if value is not None} for one in said]


def placements(settings: "Settings") -> list[tuple[Footprint, Placement, Path]]:
    """Return for each component where its pods go, and the setting that says so: its own, or the stack's."""
    edge = settings.edge
    # They stand in the cluster's gateway namespace and are no part of what the stack asks for, but where they go it says.
    proxies = [Footprint("edge", edge.replicas, 1, Decimal(0), 0, 0, ("edge",))] if edge.where == "gateway" else []
    return [(part, *_placement(settings, part.path)) for part in (*footprint(settings), *proxies)]


def asks_for_nodes(settings: "Settings") -> bool:
    """Say whether any component's placement could be one that no node satisfies."""
    return any(placement.node_selector or placement.spread != "prefer" for _, placement, _ in placements(settings))


def unsatisfied(settings: "Settings", nodes: Sequence[Object]) -> list[str]:
    """Return a sentence for each placement that no node of the cluster could satisfy, however much room there is on them.

    `nodes` are all Node objects of the cluster; one that is drained or away now counts, because it comes back.
    """
    known = [Node.of(one).lasting() for one in nodes]
    by_reason: dict[tuple[Path, str], list[str]] = {}
    for part, placement, path in placements(settings):
        for reason in _lacking(part, placement, known):
            by_reason.setdefault((path, reason), []).append(part.component)
    return [f"{dotted(path)}: {reason} ({', '.join(parts)}); {_CURE}" for (path, reason), parts in by_reason.items()]


_CURE = "label or add nodes, or say another placement"


def _placement(settings: "Settings", path: Path) -> tuple[Placement, Path]:
    found: Any = settings
    said: tuple[Placement, Path] = (settings.placement, ("placement",))
    for depth, key in enumerate(path, 1):
        found = cast("Mapping[Any, Any]", found)[key] if isinstance(found, dict) else getattr(found, str(key))
        own = getattr(cast("object", found), "placement", None)
        if isinstance(own, Placement):
            said = own, (*path[:depth], "placement")
    return said


def _lacking(part: Footprint, placement: Placement, nodes: Sequence[Node]) -> Iterator[str]:
    labelled = [node for node in nodes if node.has(placement.node_selector)]
    if not labelled:
        yield f"no node has {_labels(placement.node_selector, nodes)}"
        return
    suited = [node for node in labelled if node.lets_in(written(placement.tolerations))]
    if not suited:
        yield f"the taints of every node that is meant keep pods away ({', '.join(_taints(labelled))}): say `tolerations`"
    elif placement.spread == "nodes" and len(suited) < part.replicas:
        yield f"spread: nodes wants a node for each of {part.replicas} pods, and {len(suited)} take them"
    elif placement.spread == "zones" and not any(ZONE in node.labels for node in suited):
        yield f"spread: zones wants nodes with the label {ZONE}, and none that takes them has it"


def _labels(wanted: Mapping[str, str], nodes: Sequence[Node]) -> str:
    missing = [f"{key}={value}" for key, value in wanted.items() if not any(node.has({key: value}) for node in nodes)]
    return (
        f"the label {', '.join(missing)}"
        if missing
        else f"all of the labels {', '.join(f'{key}={value}' for key, value in wanted.items())}"
    )


def _taints(nodes: Sequence[Node]) -> list[str]:
    found = {
        f"{taint['key']}{'=' if taint.get('value') else ''}{taint.get('value') or ''}:{taint['effect']}"
        for node in nodes
        for taint in node.taints
    }
    return sorted(found)


def _tolerates(one: Object, taint: Object) -> bool:
    key = one.get("key") or ""
    if key not in ("", taint["key"]) or (one.get("effect") or "") not in ("", taint["effect"]):
        return False
    return one.get("operator") == "Exists" or (one.get("value") or "") == (taint.get("value") or "")

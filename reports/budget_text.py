"""A budget report as text and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from reports.budget import Amount, Share, over, peak, steady
from reports.nodes import Loss, Node, losses, without_room
from reports.text import Paint, plain
from settings.quantities import bytes_of, cores_of, said_bytes, said_cores
from settings.stack import Budget

_SHARE_OF_BUDGET = ("cpu", "memory", "storage")


@dataclass(frozen=True)
class Asked:
    """What one stack asks for."""

    stack: str
    parts: list[Share]
    budget: Budget | None = None
    placed: bool = False
    """Whether it asks for particular nodes."""

    @property
    def over(self) -> list[str]:
        """What of its budget it exceeds at the most."""
        return over(peak(self.parts), self.budget)


@dataclass(frozen=True)
class Cluster:
    """Equal nodes."""

    nodes: int = 3
    node: Node = field(default_factory=Node)


def table(asked: Asked, cluster: Cluster, paint: Paint = plain) -> list[str]:
    """Return one stack's report."""
    rows = [_row(part.component, _count(part), part.steady if part.replicas else part.peak) for part in asked.parts]
    most = peak(asked.parts)
    totals = [_row("all the time", "", steady(asked.parts)), _row("at the most", "", most)]
    budget = asked.budget
    if budget:
        totals.append(_row("budget", "", _amount(budget)))
    head = ("", "pods", "cpu", "memory", "limit", "scratch", "volumes")
    lines = [paint(f"stack {asked.stack}", "head"), *_columns([head, *rows, *totals])]
    if budget:
        lines.append(_verdict(asked, most, budget, paint))
    return [*lines, *_lost(asked, cluster, paint)]


def together(stacks: Sequence[Asked]) -> list[str]:
    """Return what several stacks ask for in all."""
    always = sum((steady(one.parts) for one in stacks), Amount())
    most = sum((peak(one.parts) for one in stacks), Amount())
    head = (f"all {len(stacks)} stacks", "", "cpu", "memory", "limit", "scratch", "volumes")
    return _columns([head, _row("all the time", "", always), _row("at the most", "", most)])


def as_json(stacks: Sequence[Asked], cluster: Cluster) -> dict[str, Any]:
    """Return everything in cores and bytes."""
    made = {
        "stacks": [_stack_json(one, cluster) for one in stacks],
        "all": {
            "steady": _amount_json(sum((steady(one.parts) for one in stacks), Amount())),
            "peak": _amount_json(sum((peak(one.parts) for one in stacks), Amount())),
        },
    }
    return made


def cores(amount: Decimal) -> str:
    """Return cores as a person writes them; a dash for none."""
    return said_cores(amount) if amount else "-"


def size(amount: int) -> str:
    """Return bytes as a person writes them; a dash for none."""
    return said_bytes(amount) if amount else "-"


def _lost(asked: Asked, cluster: Cluster, paint: Paint) -> list[str]:
    found = losses(asked.parts, cluster.nodes)
    stopped = [one for one in found if one.stops]
    lines = ["", paint(f"  with 1 of {cluster.nodes} nodes lost, at the worst", "head")]
    lines += [f"    {paint('stops', 'bad')}    {_stops(one)}" for one in stopped]
    lines += [f"    goes on  {one.component}: {one.left} of {one.of} pods left" for one in found if not one.stops]
    return [*lines, *(f"    {line}" for line in _room(asked, cluster, paint))]


def _stops(one: Loss) -> str:
    if one.left and one.quorum:
        return f"{one.component}: {one.left} of {one.of} members left, and it needs {one.quorum}"
    only = "its only pod" if one.of == 1 else f"all {one.of} pods"
    where = "where its volume can follow; one on a disk of the lost node waits for it" if one.kept else "elsewhere"
    return f"{one.component}: {only}, until started {where}"


def _room(asked: Asked, cluster: Cluster, paint: Paint) -> list[str]:
    if not cluster.node.known:
        return ["whether the rest has room: say --node-memory and --node-cpu"]
    if cluster.nodes == 1:
        return [paint("no room: it was the only node", "bad")]
    placed = ["placement is not looked at: it asks for particular nodes"] if asked.placed else []
    homeless = without_room(asked.parts, cluster.nodes - 1, cluster.node)
    if not homeless:
        return [paint(f"room     all pods fit on the other {cluster.nodes - 1}", "good"), *placed]
    return [paint(f"no room  on the other {cluster.nodes - 1} for {', '.join(homeless)} ({_of_all(asked, cluster)})", "bad"), *placed]


def _of_all(asked: Asked, cluster: Cluster) -> str:
    """Return what all pods ask for, of what the nodes that are left have."""
    always, node, left = steady(asked.parts), cluster.node, cluster.nodes - 1
    memory = [f"{size(always.memory)} of {size(node.memory * left)} memory"] if node.memory is not None else []
    cpu = [f"{cores(always.cpu)} of {cores(node.cpu * left)} cpu"] if node.cpu is not None else []
    return ", ".join(memory + cpu)


def _verdict(asked: Asked, most: Amount, budget: Budget, paint: Paint) -> str:
    allowed = _amount(budget)
    shares = ", ".join(f"{name} {round(100 * getattr(most, name) / getattr(allowed, name))} %" for name in _SHARE_OF_BUDGET)
    if asked.over:
        return paint(f"  over its budget at the most: {', '.join(asked.over)} ({shares})", "bad")
    return paint(f"  within its budget at the most: {shares}", "good")


def _amount(budget: Budget) -> Amount:
    return Amount(cpu=cores_of(budget.cpu), memory=bytes_of(budget.memory), storage=bytes_of(budget.storage))


def _count(part: Share) -> str:
    if not part.replicas:
        return f"({part.extra})" if part.extra else ""
    return f"{part.replicas}+{part.extra}" if part.extra else str(part.replicas)


def _row(name: str, count: str, amount: Amount) -> tuple[str, ...]:
    return (
        name,
        count,
        cores(amount.cpu),
        *map(size, (amount.memory, amount.limit, amount.scratch, amount.storage)),
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _stack_json(asked: Asked, cluster: Cluster) -> dict[str, Any]:
    budget = _amount_json(_amount(asked.budget)) if asked.budget else None
    components = [
        {
            "component": part.component,
            "replicas": part.replicas,
            "extra": part.extra,
            "pod": _amount_json(part.pod),
            "storage": part.storage,
        }
        for part in asked.parts
    ]
    lost = {
        "nodes": cluster.nodes,
        "components": [
            {"component": one.component, "lost": one.lost, "of": one.of, "stops": one.stops} for one in losses(asked.parts, cluster.nodes)
        ],
        "without_room": without_room(asked.parts, cluster.nodes - 1, cluster.node) if cluster.node.known else None,
    }
    sums = {"steady": _amount_json(steady(asked.parts)), "peak": _amount_json(peak(asked.parts))}
    return {"stack": asked.stack, "components": components, **sums, "budget": budget, "over": asked.over, "lost_node": lost}


def _amount_json(amount: Amount) -> dict[str, Any]:
    return {
        "cpu": float(amount.cpu),
        "memory": amount.memory,
        "memory_limit": amount.limit,
        "scratch": amount.scratch,
        "storage": amount.storage,
    }

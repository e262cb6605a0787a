"""What a lost node would leave: which components lose pods, all pods or their majority, and whether the rest still fits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from reports.budget import QUORUM, Amount, Share, pods


@dataclass(frozen=True)
class Node:
    """What one node has for pods; None: it is not known."""

    cpu: Decimal | None = None
    memory: int | None = None

    @property
    def known(self) -> bool:
        """Whether it can be said what fits."""
        return self.cpu is not None or self.memory is not None

    def holds(self, asked: Amount) -> bool:
        """Say whether so much fits on one node."""
        return (self.cpu is None or asked.cpu <= self.cpu) and (self.memory is None or asked.memory <= self.memory)


@dataclass(frozen=True)
class Loss:
    """What losing the worst of several equal nodes does to a component."""

    component: str
    lost: int
    """Pods on that node, when they are spread as evenly as they ask to be."""
    of: int
    quorum: int = 0
    """Members that must be left for it to go on; 0: any one will do."""
    kept: bool = False
    """Whether its pods have volumes."""

    @property
    def left(self) -> int:
        """Pods that go on."""
        return self.of - self.lost

    @property
    def stops(self) -> bool:
        """Whether it stops until its pods have started elsewhere."""
        return self.left < max(1, self.quorum)


def losses(parts: Sequence[Share], nodes: int) -> list[Loss]:
    """Return what losing one of `nodes` does to each component that runs all the time."""
    return [_loss(part, nodes) for part in parts if part.replicas]


def _loss(part: Share, nodes: int) -> Loss:
    quorum = part.replicas // 2 + 1 if part.component in QUORUM else 0
    return Loss(part.component, math.ceil(part.replicas / nodes), part.replicas, quorum, kept=part.storage > 0)


def without_room(parts: Sequence[Share], nodes: int, node: Node) -> list[str]:
    """Return the pods that find no place on `nodes` nodes, the largest first, as a scheduler would try them one by one."""
    taken = [Amount() for _ in range(nodes)]
    homeless: list[str] = []
    for name, asked in sorted(pods(parts), key=lambda pod: (pod[1].memory, pod[1].cpu), reverse=True):
        # Onto the emptiest that holds it, which is how pods that ask to be spread are placed.
        fitting = [at for at in range(nodes) if node.holds(taken[at] + asked)]
        if not fitting:
            homeless.append(name)
            continue
        at = min(fitting, key=lambda at: taken[at].memory)
        taken[at] += asked
    return homeless

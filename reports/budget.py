"""What a stack asks its cluster for: requests, limits and volumes, by component, also while a release is rolled out."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from reports.lists import Member
from settings.quantities import bytes_of, cores_of
from settings.stack import Budget

COMPONENT_LABEL = "app.kubernetes.io/component"
QUORUM = ("mqtt", "elasticsearch")
"""Components that stop when a majority of their members is gone. Patroni's members ask Kubernetes who leads, and need none."""
_SURGE = "25%"
"""Kubernetes' own default of maxSurge."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Processor time, memory and disk."""

    cpu: Decimal = Decimal(0)
    """Cores that are asked for."""
    memory: int = 0
    """Bytes of memory that are asked for."""
    limit: int = 0
    """Bytes of memory that may be used."""
    scratch: int = 0
    """Bytes of the nodes' own disks that are asked for."""
    storage: int = 0
    """Bytes of volumes."""

    def __add__(self, other: "Amount") -> "Amount":
        """Return both together."""
        return Amount(
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            limit=self.limit + other.limit,
            scratch=self.scratch + other.scratch,
            storage=self.storage + other.storage,
        )

    def times(self, number: int) -> "Amount":
        """Return so many of it."""
        return Amount(
            cpu=self.cpu * number,
            memory=self.memory * number,
            limit=self.limit * number,
            scratch=self.scratch * number,
            storage=self.storage * number,
        )


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one component asks for."""

    component: str
    replicas: int
    """Pods that run all the time; a Job's and a CronJob's do not."""
    extra: int
    """Pods that run besides while a release is rolled out, or at set times."""
    pod: Amount
    """One pod."""
    storage: int
    """Bytes of all its volumes."""

    @property
    def steady(self) -> Amount:
        """What it asks for all the time."""
        return self.pod.times(self.replicas) + Amount(storage=self.storage)

    @property
    def peak(self) -> Amount:
        """The most that it asks for."""
        return self.pod.times(self.replicas + self.extra) + Amount(storage=self.storage)


def shares(objects: Iterable[Mapping[str, Any]]) -> list[Share]:
    """Return the share of each component of a rendered stack's objects, by name."""
    found = [share for one in objects if (share := _share(one))]
    return sorted(found, key=lambda share: share.component)


def steady(parts: Sequence[Share]) -> Amount:
    """Return what they ask for together all the time."""
    return sum((part.steady for part in parts), Amount())


def peak(parts: Sequence[Share]) -> Amount:
    """Return the most that they ask for together: everything is rolled out at once, and every job runs."""
    return sum((part.peak for part in parts), Amount())


def over(asked: Amount, budget: Budget | None) -> list[str]:
    """Return what of `asked` exceeds a budget: names of its fields."""
    if budget is None:
        return []
    limits = {"cpu": cores_of(budget.cpu), "memory": bytes_of(budget.memory), "storage": bytes_of(budget.storage)}
    return [name for name, limit in limits.items() if getattr(asked, name) > limit]


def _share(one: Mapping[str, Any]) -> Share | None:
    kind, spec = one["kind"], cast("Member", one.get("spec") or {})
    component = one["metadata"].get("labels", {}).get(COMPONENT_LABEL) or one["metadata"]["name"]
    if kind == "PersistentVolumeClaim":
        return Share(component=component, replicas=0, extra=0, pod=Amount(), storage=_requested(spec))
    if kind not in ("Deployment", "StatefulSet", "Job", "CronJob"):
        return None
    replicas, extra = _pods(kind, spec)
    claims: list[Member] = spec.get("volumeClaimTemplates") or []
    storage = replicas * sum(_requested(claim["spec"]) for claim in claims)
    return Share(component=component, replicas=replicas, extra=extra, pod=_pod(_template(kind, spec)), storage=storage)


def _pods(kind: str, spec: Member) -> tuple[int, int]:
    if kind == "Job":
        return 0, int(spec.get("parallelism") or 1)
    if kind == "CronJob":
        # One that may overlap itself has no limit; two are what a late one makes.
        return 0, 1 if spec.get("concurrencyPolicy") in ("Forbid", "Replace") else 2
    replicas = int(spec.get("replicas") or 1)
    return replicas, _surge(spec.get("strategy") or {}, replicas) if kind == "Deployment" else 0


def _surge(strategy: Member, replicas: int) -> int:
    if strategy.get("type") == "Recreate":
        return 0
    said: Any = cast("Member", strategy.get("rollingUpdate") or {}).get("maxSurge", _SURGE)
    return math.ceil(replicas * int(said[:-1]) / 100) if isinstance(said, str) and said.endswith("%") else int(said)


def _template(kind: str, spec: Member) -> Member:
    inner = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    return inner["template"]["spec"]


def _pod(spec: Member) -> Amount:
    """Return what a pod asks for: all its containers together, or its largest init container alone."""
    first: list[Member] = spec.get("initContainers") or []
    sidecars = [_container(one) for one in first if one.get("restartPolicy") == "Always"]
    together = sum((_container(one) for one in spec["containers"]), sum(sidecars, Amount()))
    alone = [_container(one) for one in first if one.get("restartPolicy") != "Always"]
    return _largest([together, *alone])


def _container(one: Member) -> Amount:
    said: Member = one.get("resources") or {}
    requests: dict[str, str] = said.get("requests") or {}
    limits: dict[str, str] = said.get("limits") or {}
    # Kubernetes takes a limit for the request where none is said.
    return Amount(
        cpu=cores_of(requests.get("cpu") or limits.get("cpu") or "0"),
        memory=bytes_of(requests.get("memory") or limits.get("memory") or "0"),
        limit=bytes_of(limits.get("memory") or "0"),
        scratch=bytes_of(requests.get("ephemeral-storage") or limits.get("ephemeral-storage") or "0"),
    )


def _largest(amounts: Sequence[Amount]) -> Amount:
    return Amount(
        cpu=max(one.cpu for one in amounts),
        memory=max(one.memory for one in amounts),
        limit=max(one.limit for one in amounts),
        scratch=max(one.scratch for one in amounts),
    )


def _requested(spec: Member) -> int:
    return bytes_of(spec["resources"]["requests"]["storage"])


def pods(parts: Sequence[Share]) -> Iterator[tuple[str, Amount]]:
    """Return every pod that runs all the time, with its name and what it asks for."""
    for part in parts:
        yield from ((f"{part.component}-{number}", part.pod) for number in range(part.replicas))

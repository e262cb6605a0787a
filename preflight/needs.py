"""What a stack needs of a cluster, read off its rendered objects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from preflight.objects import Object, at, name_of, part, parts, text
from preflight.quantities import amount

COMPUTE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Pods:
    """Pods that are alike."""

    component: str
    """The name of the object that keeps them."""
    spec: Mapping[str, Any]
    replicas: int
    surge: int
    """How many more run while they are replaced."""
    passing: bool = False
    """Whether they end by themselves: a migration before a rollout, a command at set times."""

    @property
    def requests(self) -> dict[str, Decimal]:
        """What the scheduler keeps free for one of them."""
        return {name: self._total("requests", name) for name in COMPUTE}

    @property
    def limits(self) -> dict[str, Decimal]:
        """What one of them may use at most."""
        return {name: self._total("limits", name) for name in COMPUTE}

    @property
    def images(self) -> list[str]:
        """The images that its containers run."""
        return [str(container["image"]) for container in self._containers("containers", "initContainers")]

    def _total(self, which: str, name: str) -> Decimal:
        first = self._containers("initContainers")
        lasting = [*self._containers("containers"), *(one for one in first if one.get("restartPolicy") == "Always")]
        together = sum((_asked(one, which, name) for one in lasting), Decimal(0))
        return max([together, *(_asked(one, which, name) for one in first)])

    def _containers(self, *groups: str) -> list[Object]:
        return [one for group in groups for one in parts(self.spec, group)]


@dataclass(frozen=True)
class Claims:
    """Volume claims that are alike."""

    component: str
    storage_class: str | None
    """None: the cluster's default."""
    size: str
    count: int
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Needs:
    """A stack as a cluster sees it."""

    stack: str
    namespace: str
    objects: Sequence[Object]
    """Kubernetes manifests; secret values in them are placeholders."""

    @cached_property
    def pods(self) -> list[Pods]:
        """All pods of the stack."""
        return list(self._pods())

    @cached_property
    def claims(self) -> list[Claims]:
        """All volume claims of the stack."""
        return list(self._claims())

    def of_kind(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def runs(self, image: str) -> Pods:
        """Return pods that run an image."""
        return next(pods for pods in self.pods if image in pods.images)

    def _pods(self) -> Iterator[Pods]:
        for one in self.objects:
            if template := template_of(one):
                yield Pods(name_of(one), part(template, "spec"), _replicas(one), _surge(one), one["kind"] in ("Job", "CronJob"))

    def _claims(self) -> Iterator[Claims]:
        for one in self.of_kind("StatefulSet"):
            for claim in parts(one, "spec", "volumeClaimTemplates"):
                yield _claim(name_of(one), claim, _replicas(one))
        for one in self.of_kind("PersistentVolumeClaim"):
            yield _claim(name_of(one), one, 1)


def template_of(one: Object) -> Object | None:
    """Return the template of the pods that an object keeps; None when it keeps none."""
    inside = ("spec", "jobTemplate", "spec", "template") if one["kind"] == "CronJob" else ("spec", "template")
    return part(one, *inside) if one["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob") else None


def _replicas(one: Object) -> int:
    said = at(one, "spec", "replicas")
    return 1 if said is None else int(said)


def _surge(one: Object) -> int:
    rolls = text(one, "spec", "strategy", "type") == "RollingUpdate"
    return int(at(one, "spec", "strategy", "rollingUpdate", "maxSurge") or 0) if rolls else 0


def _claim(component: str, claim: Object, count: int) -> Claims:
    spec = part(claim, "spec")
    return Claims(component, spec.get("storageClassName"), text(spec, "resources", "requests", "storage"), count, spec)


def _asked(container: Object, which: str, name: str) -> Decimal:
    return amount(at(container, "resources", which, name))

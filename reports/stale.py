"""Servers that should be gone: older than what keeps them, of an old image, or told to stop and still there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from settings.fixed import COMPONENT_LABEL

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

KINDS = "deployments,replicasets,statefulsets,pods,cronjobs"
"""What `stale` is to be given of the stack's namespace."""
REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment and of each of its ReplicaSets: which of its templates."""
STATEFUL_SECONDS = 600
"""A StatefulSet whose newest pod of the new revision is younger than this is still being rolled out."""
RESTART_SECONDS = 60
"""A pod may have been made so long before the restart that it is the fruit of: clocks differ."""
_ENDED = ("Succeeded", "Failed")
_ROLLING = ("NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated")
_SHOWN = 19
"""Characters of a digest that are shown: sha256: and twelve."""


@dataclass(frozen=True)
class Stale:
    """One pod that should not be there as it is."""

    pod: str
    component: str
    since: datetime
    """When it was made."""
    reason: str
    rolling: bool = False
    """Whether that is as it should be just now: a rollout is under way."""


@dataclass(frozen=True)
class Wanted:
    """What the stack's settings say that pods should be."""

    images: Sequence[str] = ()
    """References of all images that the stack runs."""
    restarted: Sequence[str] = ()
    """Components that are restarted at a set time."""
    cron_job: str = "restart"
    """The CronJob that does it."""


class Namespace:
    """What stands in a stack's namespace."""

    def __init__(self, objects: Sequence[Object]) -> None:
        """Sort the objects by kind and name."""
        self._by_kind: dict[str, dict[str, Object]] = {}
        for one in objects:
            self._by_kind.setdefault(str(one["kind"]), {})[_name(one)] = one

    def of(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return list(self._by_kind.get(kind, {}).values())

    def find(self, kind: str, name: str) -> Object | None:
        """Return one object; None when there is none of that name."""
        return self._by_kind.get(kind, {}).get(name)

    def owner(self, one: Object, kind: str) -> Object | None:
        """Return the object of a kind that made this one."""
        references = cast("list[Object]", one["metadata"].get("ownerReferences") or [])
        return next((self.find(kind, str(each["name"])) for each in references if each["kind"] == kind), None)

    def pods(self) -> list[Object]:
        """Return the pods that Deployments and StatefulSets keep, and that have not ended."""
        kept = [pod for pod in self.of("Pod") if {"ReplicaSet", "StatefulSet"} & {str(each["kind"]) for each in _owners(pod)}]
        return [pod for pod in kept if pod.get("status", {}).get("phase") not in _ENDED]


def stale(objects: Sequence[Object], wanted: Wanted, now: datetime) -> list[Stale]:
    """Return every pod that is older than it should be, one reason each, by component."""
    namespace = Namespace(objects)
    found = [one for pod in namespace.pods() if (one := _judged(pod, namespace, wanted, now))]
    return sorted(found, key=lambda one: (one.rolling, one.component, one.pod))


def _judged(pod: Object, namespace: Namespace, wanted: Wanted, now: datetime) -> Stale | None:
    component = _labels(pod).get(COMPONENT_LABEL, _name(pod))

    def say(reason: str, *, rolling: bool = False) -> Stale:
        return Stale(_name(pod), component, _time(pod["metadata"]["creationTimestamp"]), reason, rolling)

    if end := pod["metadata"].get("deletionTimestamp"):
        # The time at which its grace period ends.
        late = now - _time(end)
        return say(f"was to be gone {_length(late)} ago, and its containers still run") if late > timedelta(0) else None
    for rule in (_of_deployment(pod, namespace), _of_stateful_set(pod, namespace, now)):
        if rule:
            return say(rule[0], rolling=rule[1])
    for reason in (*_images(pod, namespace, wanted), *_unrestarted(pod, component, namespace, wanted)):
        return say(reason)
    return None


def _of_deployment(pod: Object, namespace: Namespace) -> tuple[str, bool] | None:
    kept = namespace.owner(pod, "ReplicaSet")
    deployment = namespace.owner(kept, "Deployment") if kept else None
    if kept is None or deployment is None:
        return None
    mine, newest = _revision(kept), _revision(deployment)
    if mine == newest:
        return None
    return f"is of revision {mine}, and its Deployment is at {newest}{_stuck(deployment)}", _is_rolling(deployment)


def _is_rolling(deployment: Object) -> bool:
    progress = _progress(deployment)
    return not deployment["spec"].get("paused") and progress.get("status") == "True" and progress.get("reason") in _ROLLING


def _stuck(deployment: Object) -> str:
    if deployment["spec"].get("paused"):
        return ": the rollout is paused"
    return ": the rollout made no progress in time" if _progress(deployment).get("reason") == "ProgressDeadlineExceeded" else ""


def _progress(deployment: Object) -> Object:
    conditions = cast("list[Object]", deployment.get("status", {}).get("conditions") or [])
    return next((one for one in conditions if one["type"] == "Progressing"), cast("Object", {}))


def _of_stateful_set(pod: Object, namespace: Namespace, now: datetime) -> tuple[str, bool] | None:
    kept = namespace.owner(pod, "StatefulSet")
    newest = (kept or {}).get("status", {}).get("updateRevision")
    mine = _hash(pod)
    if kept is None or not newest or mine == newest:
        return None
    renewed = [one for one in namespace.pods() if namespace.owner(one, "StatefulSet") is kept and _hash(one) == newest]
    young = any(now - _time(one["metadata"]["creationTimestamp"]) < timedelta(seconds=STATEFUL_SECONDS) for one in renewed)
    return "is of an older revision than its StatefulSet", young


def _images(pod: Object, namespace: Namespace, wanted: Wanted) -> Iterator[str]:
    said = {_repository(reference): reference for reference in wanted.images}
    for container in cast("list[Object]", pod["spec"]["containers"]):
        image = str(container["image"])
        meant = said.get(_repository(image))
        if meant and meant != image:
            yield f"runs {_short(image)}, and the stack's file says {_short(meant)}"
    yield from _under_one_tag(pod, namespace)


def _under_one_tag(pod: Object, namespace: Namespace) -> Iterator[str]:
    """Yield a reason when a younger pod of the same kind was given other contents under the same name of an image."""
    mine = _contents(pod)
    made = str(pod["metadata"]["creationTimestamp"])
    for other in namespace.pods():
        same = [one["name"] for one in _owners(other)] == [one["name"] for one in _owners(pod)]
        if not same or str(other["metadata"]["creationTimestamp"]) <= made:
            continue
        for image, digest in _contents(other).items():
            if mine.get(image, digest) != digest:
                yield f"runs older contents of {image} than {_name(other)}: its tag was moved; pin it by digest"


def _contents(pod: Object) -> dict[str, str]:
    """Return what the kubelet found under each image's name that has no digest of its own."""
    states = cast("list[Object]", pod.get("status", {}).get("containerStatuses") or [])
    found = {str(one["image"]): str(one.get("imageID") or "") for one in states}
    return {image: digest for image, digest in found.items() if digest and "@" not in image}


def _unrestarted(pod: Object, component: str, namespace: Namespace, wanted: Wanted) -> Iterator[str]:
    cron = namespace.find("CronJob", wanted.cron_job)
    status = (cron or {}).get("status", {})
    last = status.get("lastScheduleTime")
    if component not in wanted.restarted or not last or status.get("active"):
        return
    if _time(pod["metadata"]["creationTimestamp"]) < _time(last) - timedelta(seconds=RESTART_SECONDS):
        yield f"was to be restarted at {last}, and was not: look at the Job's pod, `./sy logs {wanted.cron_job}`"


def _repository(image: str) -> str:
    """Return an image's name without tag and digest."""
    folder, slash, name = image.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def _owners(one: Object) -> list[Object]:
    return cast("list[Object]", one["metadata"].get("ownerReferences") or [])


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


def _revision(one: Object) -> str:
    return cast("Mapping[str, str]", one["metadata"].get("annotations") or {}).get(REVISION, "?")


def _labels(pod: Object) -> Mapping[str, str]:
    return cast("Mapping[str, str]", pod["metadata"].get("labels") or {})


def _hash(pod: Object) -> str:
    return _labels(pod).get("controller-revision-hash", "")


def _short(image: str) -> str:
    name, _, digest = image.partition("@")
    return f"{name.rpartition('/')[2]}@{digest[:_SHOWN]}" if digest else image


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _length(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"

"""What the account may do, asked of the cluster for every kind of object that the stack has."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

from preflight.api import Api, ApiError
from preflight.findings import Finding, right, wrong
from preflight.needs import Needs
from preflight.objects import Object, kind_of, parts, text

CHANGE = ("get", "create", "patch", "delete")
"""The engine applies objects as the server side merges them: a patch that creates needs both rights."""
WATCH = ("list", "watch")
"""The engine waits for workloads, jobs and services by watching them and what they make."""
WATCHED = {"Deployment", "StatefulSet", "Job", "Service", "PersistentVolumeClaim"}
MADE_BY_OTHERS = (("", "pods"), ("apps", "replicasets"), ("discovery.k8s.io", "endpointslices"), ("", "persistentvolumeclaims"))
AT_ONCE = 8
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, order=True)
class Right:
    """One thing that one may do or not."""

    group: str
    resource: str
    verb: str
    name: str = ""
    """The one object that it is about; empty: all."""
    everywhere: bool = False
    """Whether the kind belongs to no namespace."""

    @property
    def target(self) -> str:
        """What it is about, as kubectl names it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


def kinds(api: Api, needs: Needs) -> tuple[dict[tuple[str, str], tuple[str, bool]], list[Finding]]:
    """Return resource and whether it is namespaced for each (apiVersion, kind) of the stack, and what the cluster lacks of them."""
    wanted = {kind_of(one) for one in needs.objects}
    served: dict[tuple[str, str], tuple[str, bool]] = {}
    for version in sorted({version for version, _ in wanted}):
        for one in _served(api, version):
            served[version, str(one["kind"])] = (str(one["name"]), bool(one["namespaced"]))
    return served, [_not_served(version, kind) for version, kind in sorted(wanted - set(served))]


def rights(api: Api, needs: Needs) -> Iterator[Finding]:
    """Ask for everything that an update of the stack does."""
    served, missing = kinds(api, needs)
    yield from missing
    wanted = sorted({*_of_objects(needs, served), *_granted(needs)})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        allowed = list(pool.map(partial(may, api, needs.namespace), wanted))
    lacking = [one for one, yes in zip(wanted, allowed, strict=True) if not yes]
    if lacking:
        yield wrong("rights", f"the account {who(api)} may not {_listed(lacking)}", _cure(lacking, needs.namespace))
    else:
        yield right("rights", f"the account {who(api)} may do all that `up` does: {len(wanted)} rights asked for")


def may(api: Api, namespace: str, one: Right) -> bool:
    """Ask the cluster whether the account may do one thing, in a namespace unless its kind belongs to none."""
    where = {} if one.everywhere else {"namespace": namespace}
    said = {"group": one.group, "resource": one.resource, "verb": one.verb, **({"name": one.name} if one.name else {}), **where}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": said}}
    return bool(api.create(REVIEWS, review)["status"].get("allowed"))


def who(api: Api) -> str:
    """Return the name by which the cluster knows the account."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        said = api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    except ApiError:
        return "of the kubeconfig"
    return text(said, "status", "userInfo", "username")


def _served(api: Api, version: str) -> list[Object]:
    found = api.find(f"/apis/{version}" if "/" in version else f"/api/{version}") or {}
    return [one for one in parts(found, "resources") if "/" not in one["name"]]


def _not_served(version: str, kind: str) -> Finding:
    cure = f"install what serves {kind} (its CustomResourceDefinitions), or upgrade the cluster"
    return wrong(f"kind {kind}", f"the cluster does not know {version} {kind}", cure)


def _of_objects(needs: Needs, served: Mapping[tuple[str, str], tuple[str, bool]]) -> Iterator[Right]:
    for one in needs.objects:
        key = kind_of(one)
        if key in served:
            resource, namespaced = served[key]
            group = key[0].rpartition("/")[0]
            for verb in CHANGE + (WATCH if key[1] in WATCHED else ()):
                yield Right(group, resource, verb, everywhere=not namespaced)
    for group, resource in MADE_BY_OTHERS:
        for verb in ("get", *WATCH):
            yield Right(group, resource, verb)


def _granted(needs: Needs) -> Iterator[Right]:
    """Return the rights that the stack's roles give away: nobody may give what he has not."""
    for role in needs.of_kind("Role"):
        for rule in cast("list[dict[str, list[str]]]", role.get("rules") or []):
            for group in rule.get("apiGroups") or [""]:
                for resource in rule.get("resources") or []:
                    yield from (Right(group, resource, verb, name) for verb in rule["verbs"] for name in rule.get("resourceNames") or [""])


def _listed(lacking: Iterable[Right]) -> str:
    by_target: dict[str, list[str]] = {}
    for one in lacking:
        verbs = by_target.setdefault(one.target, [])
        verbs += [one.verb] if one.verb not in verbs else []
    return "; ".join(f"{', '.join(verbs)} {target}" for target, verbs in by_target.items())


def _cure(lacking: list[Right], namespace: str) -> str:
    inside = f"the role `admin` in namespace {namespace}"
    outside = "a ClusterRole with get, create, patch, delete on namespaces"
    needed = [outside] * any(one.everywhere for one in lacking) + [inside] * any(not one.everywhere for one in lacking)
    return f"let the cluster's administrator bind {' and '.join(needed)} to it, or name another context as cluster.context"

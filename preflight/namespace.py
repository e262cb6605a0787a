"""The stack's namespace: whose it is, and whether the cluster takes the stack's objects in it."""

import base64
import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from preflight.api import Api, ApiError
from preflight.findings import Finding, right, unknown, wrong
from preflight.needs import Needs, template_of
from preflight.objects import Object, kind_of, name_of, part, parts, text
from preflight.rights import kinds
from settings.ownership import INSTALLATION_LABEL, foreign, other_state

AT_ONCE = 4
PLACEHOLDER = base64.b64encode(b"{}").decode()
"""Stands for every secret value: what it is decoded to is also what the type of a pull secret asks for."""
MOST_SHOWN = 3


@dataclass(frozen=True)
class Standing:
    """What the stack's own side knows of where it stands."""

    owner: str
    """What the label of its namespace says."""
    installation: str = ""
    """The number in its state; empty: it was never brought up, or the state can not be read here."""


def namespace(api: Api, needs: Needs, standing: Standing, cluster: str) -> Iterator[Finding]:
    """Look whose the namespace is, and whether it is the one that the stack's state speaks of."""
    name = needs.namespace
    found = api.find(f"/api/v1/namespaces/{name}")
    if found is None and standing.installation:
        cure = "name the context of the cluster that it stands on; if that is gone for good, `pulumi refresh` lets the state forget it"
        yield wrong("namespace", f"the stack was brought up before, and there is no {name} on this cluster", cure)
        return
    if found is None:
        yield right("namespace", f"{name} is free: `up` makes it")
        return
    labels = part(found, "metadata", "labels")
    others = other_state(labels.get(INSTALLATION_LABEL), standing.installation, name, cluster) if standing.installation else None
    somebodys = foreign(labels, standing.owner, name, cluster) or others
    if text(found, "status", "phase") == "Terminating":
        cure = "wait until it is gone; if that takes minutes, its status names what keeps it: " + f"kubectl get namespace {name} -o yaml"
        yield wrong("namespace", f"{name} is being deleted{_kept_by(found)}", cure)
    elif somebodys:
        whose, _, cure = somebodys.partition(": ")
        yield wrong("namespace", whose, cure)
    else:
        yield right("namespace", f"{name} is the stack's own")


def accepted(api: Api, needs: Needs, where: str) -> Iterator[Finding]:
    """Have the server try each object, and each pod by itself, in namespace `where` without keeping it.

    That is where Pod Security, limit ranges, quotas that ask for a limit and policy engines speak up, and unknown fields show.
    """
    served, _ = kinds(api, needs)
    tried = [*_objects(needs, where), *_bare_pods(needs, where)]
    known = [(path, one) for one in tried if (path := _path(one, where, served))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(partial(_refusal, api), *zip(*known, strict=True)))
    refused, unclear = (list(dict.fromkeys(said for kind, said in answers if kind == which)) for which in ("refused", "unclear"))
    if refused:
        yield wrong("admission", _shortened(refused), "change what the named rule of the cluster asks for, or have the rule changed")
    elif unclear:
        yield unknown("admission", _shortened(unclear))
    else:
        yield right("admission", f"the cluster takes all {len(answers)} objects and pods (tried without keeping them)")


def _objects(needs: Needs, where: str) -> Iterator[Object]:
    for one in needs.objects:
        made = copy.deepcopy(dict(one))
        if one["kind"] != "Namespace":
            made["metadata"]["namespace"] = where
        for values in ("data", "stringData"):
            if one["kind"] == "Secret" and values in made:
                made[values] = dict.fromkeys(made[values], PLACEHOLDER if values == "data" else "{}")
        yield made


def _bare_pods(needs: Needs, where: str) -> Iterator[Object]:
    """Yield the pods: a workload is taken as it is, and its pods are refused one by one later, where nobody looks."""
    for one in needs.objects:
        if template := template_of(one):
            spec = copy.deepcopy(part(template, "spec"))
            # The account may not be there yet; its own object is tried by itself.
            spec.pop("serviceAccountName", None)
            claims = [name_of(claim) for claim in parts(one, "spec", "volumeClaimTemplates")]
            spec["volumes"] = [*parts(spec, "volumes"), *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims)]
            name = f"{name_of(one)}-preflight"
            labels = part(template, "metadata", "labels")
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": where, "labels": labels}, "spec": spec}


def _path(one: Object, where: str, served: dict[tuple[str, str], tuple[str, bool]]) -> str:
    version, kind = kind_of(one)
    resource, namespaced = served.get((version, kind), ("pods", True) if kind == "Pod" else ("", True))
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = f"/namespaces/{where}" if namespaced else ""
    return f"{root}{inside}/{resource}" if resource else ""


def _refusal(api: Api, path: str, one: Object) -> tuple[str, str]:
    name = f"{one['kind']} {name_of(one)}"
    try:
        api.create(path, one, dryRun="All", fieldValidation="Strict")
    except ApiError as error:
        said = str(error)
        if error.status == 409 or "exceeded quota" in said or _about_rights(error):
            return "taken", ""
        unclear = error.status in (0, 404, 429) or error.status >= 500 or "does not support dry run" in said
        return ("unclear" if unclear else "refused"), f"{name}: {said}"
    return "taken", ""


def _about_rights(error: ApiError) -> bool:
    """Say whether the account may not do it, which `rights` reports once for all."""
    return error.status == 403 and ("cannot create resource" in str(error) or "attempting to grant" in str(error))


def _shortened(listed: Sequence[str]) -> str:
    more = f" and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else ""
    return "; ".join(listed[:MOST_SHOWN]) + more


def _kept_by(found: Object) -> str:
    telling = ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure")
    said = [text(one, "message") for one in parts(found, "status", "conditions") if one["type"] in telling and one["status"] == "True"]
    return f" ({'; '.join(said)})" if said else ""

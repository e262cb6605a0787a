"""Storage: the class of each volume, and a real volume of it."""

from collections.abc import Iterator

from preflight.api import Api, ApiError
from preflight.findings import Finding, right, unknown, wrong
from preflight.images import FAILED, ended, outcome
from preflight.needs import Claims, Needs
from preflight.objects import Object, at, name_of, text
from preflight.place import LateError, Place
from preflight.rights import Right, may
from preflight.room import smallest

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
MOUNT = "/preflight"
WITHOUT_SHELL = ("loki",)
"""Components whose upstream image has no program to write a file with."""


def classes(needs: Needs) -> dict[str | None, list[Claims]]:
    """Return the stack's claims by the class that they name; None: the default one."""
    found: dict[str | None, list[Claims]] = {}
    for claims in needs.claims:
        found.setdefault(claims.storage_class, []).append(claims)
    return found


def storage_class(api: Api, said: str | None, protect: bool) -> Iterator[Finding]:
    """Look at one class: whether it is there, what it does with deleted claims, and whether its volumes can grow."""
    yield judged(api.items(CLASSES), said, protect)


def judged(listed: list[Object], said: str | None, protect: bool) -> Finding:
    """Return what to think of the class that a stack names (None: of the default one) among those that are there."""
    known = ", ".join(map(name_of, listed)) or "none"
    found = _chosen(listed, said)
    if found is None:
        lacking = f"there is none of that name, but {known}" if said else f"none is the default, and the stack names none; there is {known}"
        return wrong(f"storage class {said or ''}".strip(), lacking, "name one that is there as cluster.storage_class")
    return _class(found, said, protect)


def _class(found: Object, said: str | None, protect: bool) -> Finding:
    what = f"storage class {name_of(found)}"
    deletes = found.get("reclaimPolicy", "Delete") == "Delete"
    fixed = not found.get("allowVolumeExpansion")
    facts = (
        f"{'' if said else 'the default, '}{found.get('provisioner')}, {'deletes' if deletes else 'keeps'} the volumes of deleted claims"
    )
    facts += f", volumes {'can not' if fixed else 'can'} grow"
    if protect and (deletes or fixed):
        wanted = " and ".join(["reclaimPolicy: Retain"] * deletes + ["allowVolumeExpansion: true"] * fixed)
        cure = f"make a class like it with {wanted} and name it as cluster.storage_class, or say protect: false if the data need not last"
        return wrong(what, f"{facts}; a stack that protects its data needs {wanted}", cure)
    return right(what, facts)


def volume(api: Api, needs: Needs, place: Place, said: str | None, claims: list[Claims]) -> Iterator[Finding]:
    """Have a volume made and mounted, and a file written to it as the stack's own pod would."""
    name = f"volume-{said or 'default'}"
    what = f"volume {said}" if said else "volume"
    found = _chosen(api.items(CLASSES), said)
    if found is None:
        yield unknown(what, "there is no class to make it")
        return
    if found.get("reclaimPolicy") == "Retain" and not may(api, "", Right("", "persistentvolumes", "patch", everywhere=True)):
        yield unknown(what, "not tried: the class keeps volumes, and the account may not give one back (patch persistentvolumes)")
        return
    least = smallest([one for one in claims if one.component not in WITHOUT_SHELL] or claims)
    pods = next(pods for pods in needs.pods if pods.component == least.component)
    place.wait()
    place.create("persistentvolumeclaims", {"metadata": {"name": name}, "spec": dict(least.spec)})
    mounts = {"volumeMounts": [{"name": "data", "mountPath": MOUNT}]}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    place.pod(name, pods, pods.images[0], ["touch", f"{MOUNT}/it"], mounts, volumes=volumes)
    try:
        text = place.clock.wait(lambda: _written(place.look("pods", name)))
    except LateError:
        yield _unmounted(what, place, name)
        return
    if text.startswith("uid"):
        yield wrong(what, text, "the driver must honour fsGroup, or give volumes that everybody may write to")
    else:
        yield right(what, f"{least.size} were made, mounted{text}")


def _written(pod: Object) -> str | None:
    """Return what came of it once it is known: the kubelet mounts volumes before it pulls the image."""
    known = outcome(pod)
    if known is None:
        return None
    if known[0] in FAILED:
        return "; writing could not be tried without the image"
    code = at(ended(pod), "exitCode")
    if code is None:
        return None
    if code == 0:
        return " and written to"
    uid = text(pod, "spec", "securityContext", "runAsUser")
    return f"uid {uid} may not write to it" if code == 1 else "; writing could not be tried: the image has no `touch`"


def _unmounted(what: str, place: Place, name: str) -> Finding:
    """Return why there is no volume: what its claim or its pod waits for."""
    try:
        claim = place.look("persistentvolumeclaims", name)
        events = place.api.items(f"{place.path}/events", fieldSelector=f"involvedObject.name={name}")
    except ApiError as error:
        return unknown(what, str(error))
    phase = text(claim, "status", "phase")
    warned = [text(one, "message") for one in events if text(one, "type") == "Warning" and text(one, "involvedObject", "kind") != "Pod"]
    said = "; ".join(dict.fromkeys(warned or [text(one, "message") for one in events]))
    if warned and phase != "Bound":
        return wrong(what, f"the claim is {phase}: {said}", "look at the driver that the storage class names, and its quota")
    return unknown(what, f"the claim is {phase} and its pod not ready in time{': ' + said if said else ''}; ask again")


def _chosen(listed: list[Object], said: str | None) -> Object | None:
    if said:
        return next((one for one in listed if name_of(one) == said), None)
    return next((one for one in listed if text(one, "metadata", "annotations", DEFAULT) == "true"), None)

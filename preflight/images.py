"""Image pulls: a pod for each image, where the stack's own would stand, and what the node says of it."""

import time
from collections.abc import Iterator

from preflight.api import ApiError
from preflight.findings import Finding, right, unknown, wrong
from preflight.needs import Needs
from preflight.objects import Object, part, parts, text
from preflight.place import LateError, Place

WAITING = ("ContainerCreating", "PodInitializing")
FAILED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "SignatureValidationFailed")
REFUSED = ("401", "403", "unauthorized", "denied", "forbidden", "authentication")


def images(needs: Needs) -> list[str]:
    """Return the images that the stack's pods run, each once, in a stable order."""
    return sorted({image for pods in needs.pods for image in pods.images})


def pull(needs: Needs, place: Place, image: str, logins: frozenset[str], cure: str) -> Iterator[Finding]:
    """Have a node pull the image anew from its registry; layers that it has already are not sent again.

    `cure` is what to do when the registry does not have it.
    """
    what, began = f"image {short(image)}", time.monotonic()
    place.wait()
    pods = needs.runs(image)
    name = pod_name(image)
    # `true` is in every image with a shell, and where it is not the container fails after the pull: that is all the same here.
    place.pod(name, pods, image, ["true"], {"imagePullPolicy": "Always"})
    try:
        reason, said = place.clock.wait(lambda: outcome(place.look("pods", name)))
    except LateError:
        yield unknown(
            what, f"not pulled within {time.monotonic() - began:.0f} s: {_state(place, name)}; ask again, the node goes on pulling"
        )
        return
    lacking = sorted(logins - {*place.pull_secrets})
    if reason == "pulled":
        yield right(what, f"a node pulled it from {image.partition('/')[0]} in {time.monotonic() - began:.0f} s")
    elif lacking and any(word in said.lower() for word in REFUSED):
        yield unknown(what, f"the registry asks for a login, and secret {', '.join(lacking)} could not be had to try it with")
    elif any(word in said.lower() for word in REFUSED):
        yield wrong(
            what,
            f"the registry refuses {image}: {said}",
            "name an account that may read it as images.login, or a Secret in images.pull_secrets",
        )
    else:
        yield wrong(what, f"{image} can not be pulled: {said}", cure)


def outcome(pod: Object) -> tuple[str, str] | None:
    """Return `pulled`, or the reason why it can not be and the node's words; None while it is not known."""
    statuses = parts(pod, "status", "containerStatuses")
    if not statuses:
        return None
    waiting = part(statuses[0], "state", "waiting")
    reason = text(waiting, "reason")
    if reason in FAILED:
        # The second time round the node says only that it waits before it tries again.
        said = text(waiting, "message") or reason
        return reason, said.split(": ", 1)[-1] if said.startswith("Back-off") else said
    return ("pulled", "") if text(statuses[0], "imageID") or (reason and reason not in WAITING) else None


def ended(pod: Object) -> Object:
    """Return how a pod's container ended; empty when it has not."""
    statuses = parts(pod, "status", "containerStatuses")
    return part(statuses[0], "state", "terminated") if statuses else {}


def short(image: str) -> str:
    """Return an image's last name: `lamp` for registry.example.com/company/lamp@sha256:… ."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def pod_name(image: str) -> str:
    """Return the name of the pod that pulls an image."""
    return "".join(letter if letter.isalnum() else "-" for letter in f"image-{short(image)}"[:50].lower()).strip("-")


def _state(place: Place, name: str) -> str:
    try:
        pod = place.look("pods", name)
    except ApiError as error:
        return str(error)
    conditions = parts(pod, "status", "conditions")
    said = [text(one, "message") for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"]
    return f"no node takes it ({said[0]})" if said else "it is under way"

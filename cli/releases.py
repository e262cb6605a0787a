"""What a stack runs and has run: its Deployments as the cluster tells, and the record `releases/<stack>.yaml`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import yaml

from cli import stack as stacks
from cli.kubectl import WORKLOADS, Kubectl, Object, part, unready
from cli.stack import Stack
from reports import releases
from reports.images import digest_in
from settings import SettingsError
from tools.errors import UserError
from tools.paths import ROOT

CONTAINER = "app"
"""The container that runs the app's image, in every pod of a Deployment."""
PROVED_IN = "staging"
"""The tier whose stacks an image must have run in before a stack of tier production gets it."""
HEAD = "# The images that stack {stack} has run, newest last. `./sy deploy` adds to it after each success; `./sy parity` reads it.\n"


def running(kubectl: Kubectl) -> dict[str, str]:
    """Return the app's image of each Deployment in the namespace, as the cluster has it."""
    return images_of(cast("list[Object]", kubectl.get("deployments")["items"]))


def images_of(deployments: Sequence[Object]) -> dict[str, str]:
    """Return the app's image by Deployment, sorted by name."""
    found: dict[str, str] = {}
    for one in sorted(deployments, key=lambda one: str(one["metadata"]["name"])):
        containers = cast("list[Object]", part(part(part(one, "spec"), "template"), "spec").get("containers") or [])
        found |= {str(one["metadata"]["name"]): str(container["image"]) for container in containers if container["name"] == CONTAINER}
    return found


def proved(stack: str, kubectl: Kubectl) -> str:
    """Return the one image that a healthy stack runs; UserError when it is not healthy or runs none, or several."""
    objects = cast("list[Object]", kubectl.get(WORKLOADS)["items"])
    if waiting := unready(objects):
        raise UserError(f"stack {stack} is not healthy, so what it runs proves nothing: {', '.join(waiting)} can not serve")
    found = images_of([one for one in objects if one["kind"] == "Deployment"])
    if not found:
        raise UserError(f"stack {stack} runs no process of the app: bring it up with `./sy up -s {stack}`")
    if len(set(found.values())) > 1:
        listed = "".join(f"\n  {name}  {image}" for name, image in found.items())
        raise UserError(f"stack {stack} runs several images, so it can not be said which one is meant:{listed}")
    image = next(iter(found.values()))
    if digest_in(image) is None:
        raise UserError(f"stack {stack} runs {image}, which names no digest: deploy one with `./sy deploy {stack} IMAGE@sha256:…`")
    return image


def record(stack: str, image: str, root: Path = ROOT) -> Path:
    """Add an image to what a stack has run, unless it is the newest already; return the file."""
    file = root / releases.FOLDER / f"{stack}.yaml"
    if _newest(stack, root) != digest_in(image):
        file.parent.mkdir(exist_ok=True)
        before = file.read_text() if file.is_file() else HEAD.format(stack=stack)
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file.write_text(f'{before.rstrip()}\n- image: {image}\n  at: "{at}"\n')
    return file


def _newest(stack: str, root: Path) -> str | None:
    """Return the digest that the record ends with; SettingsError when it is none."""
    if not releases.read(stack, root).images:
        return None
    entries = cast("list[dict[str, str]]", yaml.safe_load((root / releases.FOLDER / f"{stack}.yaml").read_text()))
    return digest_in(entries[-1]["image"])


def refuse_unproved(stack: Stack, image: str, root: Path = ROOT) -> None:
    """Raise UserError for a stack of tier production when no staging stack of this checkout has run the image."""
    if stack.settings.tier != "production":
        return
    names = [name for name in stacks.names(root) if name != stack.name and _tier(name, root) == PROVED_IN]
    if any(digest_in(image) in releases.read(name, root).images for name in names):
        return
    first = names[0] if names else "staging"
    raise UserError(
        f"stack {stack.name} is of tier production, and no stack of tier {PROVED_IN} ({', '.join(names) or 'there is none'}) has run "
        f"{image}, as far as releases/ says: ./sy deploy {first} {image}, then ./sy promote {first} {stack.name}; "
        "in an emergency say --never-ran-in-staging"
    )


def _tier(name: str, root: Path) -> str:
    try:
        return Stack.load(name, root=root).settings.tier
    except SettingsError:
        # Another stack's mistake is not this one's; it has proved nothing.
        return ""

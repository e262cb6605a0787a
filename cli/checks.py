"""What is asked before anything changes. Each refusal is one sentence; the command line exits 2 with it."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli import console, process
from cli.environment import logged_in, users
from cli.kubectl import Kubectl
from cli.stack import Stack
from images import catalog
from sandbox import layout
from settings import SettingsError, ownership
from tools.errors import UserError
from tools.paths import ROOT, cache_dir

IMAGES_GIB = 7.5
"""Room for the images while they are built, their copies in the registry and on the nodes, and the volumes."""

FAR = f"the sandbox reaches no registry but its own, {layout.REGISTRY}: copy the image there, as docs/your-own-app.md says"
GIB = 1 << 30
AUTH_WORDS = ("UNAUTHORIZED", "DENIED", "401", "403", "authentication")


def refuse_missing_secrets(stack: Stack) -> None:
    """Raise SettingsError for secrets that nobody has set, before anything is built for the stack."""
    refuse(stack.lacking_secrets())


def refuse_lacks(stack: Stack) -> None:
    """Raise SettingsError for everything that the stack still lacks: a cluster, secrets, digests."""
    refuse([f"Pulumi.{stack.name}.yaml: {lack}" for lack in stack.lacks()])


def refuse_far_images(stack: Stack) -> None:
    """Raise SettingsError for images of a sandbox stack that are neither built here nor in the sandbox's own registry."""
    said = stack.settings
    references = [said.images.reference(name) for name in said.image_names() if name not in catalog.names()]
    refuse([f"image {reference}: {FAR}" for reference in references if not reference.startswith(f"{layout.REGISTRY}/")])


def refuse_absent(reference: str, crane: Path | None, stack: Stack) -> None:
    """Raise SettingsError for an image of a stack's app that its registry does not have, or that the sandbox could not pull."""
    if stack.on_sandbox and not reference.startswith(f"{layout.REGISTRY}/"):
        refuse([f"image {reference}: {FAR}"])
    if crane is None:
        console.warning("there is no crane on this machine: not checked whether the image can be pulled")
        return
    refuse(list(_pull_problem(reference, _manifest(crane, reference), stack.cures.copy(stack.settings.app.image))))


def refuse(problems: Sequence[str]) -> None:
    """Raise one SettingsError with all problems, if there are any."""
    if problems:
        raise SettingsError(problems)


def require_root() -> None:
    """Raise UserError unless we are root on Linux."""
    if os.uname().sysname != "Linux":
        raise UserError(
            "the sandbox needs Linux; on another system run it in a Linux virtual machine, or name a cluster in the stack's file"
        )
    if os.geteuid() != 0:
        raise UserError("the sandbox needs root (a bridge, mounts, network namespaces): run the same command with sudo")


def require_room(gib: float, folder: Path | None = None) -> None:
    """Raise UserError unless the disk of `folder` (the cache) has `gib` GiB free."""
    where = folder or cache_dir()
    free = free_gib(where)
    if free < gib:
        raise UserError(
            f"{where}: {gib:.1f} GiB are needed and {free:.1f} GiB are free: make room, or name another folder in SWITCHYARD_CACHE"
        )


def free_gib(folder: Path) -> float:
    """Return the free space of the disk that `folder` is or will be on, in GiB."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free / GIB


def require_login(stack: Stack) -> None:
    """Raise UserError unless Pulumi knows where the stack's state is kept."""
    if not logged_in():
        raise UserError(
            f"Pulumi does not know where the state of stack {stack.name} is kept: "
            "log in with `./sy pulumi login s3://…`, or export PULUMI_BACKEND_URL"
        )


def check_cluster(kubectl: Kubectl, stack: Stack) -> None:
    """Raise UserError when the cluster can not be reached or its namespace is somebody else's."""
    kubectl.check_reachable()
    refuse_foreign(kubectl.namespace_labels(), stack)


def refuse_foreign(labels: dict[str, str] | None, stack: Stack) -> None:
    """Raise UserError when a namespace with these labels is somebody else's; None is no namespace yet."""
    if why := ownership.foreign(labels, stack.owner, stack.namespace, stack.settings.cluster.identifier):
        raise UserError(why)


def check_images(stack: Stack, crane: Path | None) -> None:
    """Raise UserError for an image that its registry does not have; that this machine may not ask is only a warning."""
    if crane is None:
        console.warning("there is no crane on this machine: not checked whether the images can be pulled")
        return
    references = {name: stack.settings.images.reference(name) for name in stack.settings.image_names()}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(_manifest, [crane] * len(references), references.values())
        said = dict(zip(references, answers, strict=True))
    refuse([one for name, reference in references.items() for one in _pull_problem(reference, said[name], stack.cures.copy(name))])


def all_of(*checks: Callable[[], None]) -> None:
    """Run checks side by side and raise the first one's error, in the order given."""
    with ThreadPoolExecutor(len(checks)) as pool:
        for running in [pool.submit(check) for check in checks]:
            running.result()


def _manifest(crane: Path, reference: str) -> str:
    """Return why the manifest of an image can not be had; empty when it can."""
    done = process.capture([str(crane), "manifest", reference], users(), ROOT, seconds=20)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no answer"])[-1]


def _pull_problem(reference: str, said: str, cure: str) -> Iterator[str]:
    if said and any(word in said for word in AUTH_WORDS):
        console.warning(f"image {reference}: this machine may not read it ({said}); the cluster has pull secrets of its own")
    elif said:
        yield f"image {reference} can not be pulled: {said}; {cure}"

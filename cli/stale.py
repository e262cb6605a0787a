"""`sy stale`: servers that are older than their Deployment, or still run an old image."""

from datetime import UTC, datetime
from typing import cast

import click

from cli import console
from cli.errors import FAILED
from cli.kubectl import Object
from cli.target import existing, stack_option
from reports.stale import KINDS, Stale, Wanted, stale
from settings.restart import COMPONENT
from settings.stack import Settings
from tools.progress import Progress


@click.command("stale")
@stack_option
def command(name: str) -> None:
    r"""List servers that are older than their Deployment or run an old image. Changes nothing.

    That is: pods of an earlier revision although no rollout is under way; pods whose image is not the one that the stack's file says; pods
    that were told to stop and still run after their grace period; and processes that `restart` should have restarted and did not.

    \b
    ./sy stale -s production
    ./sy kubectl rollout restart deployment/web -s production     what mends most of it

    Exit code 1: there are some. Pods that a rollout is just replacing are listed and do not count.
    """
    progress = Progress()
    target = existing(name, progress)
    client = target.reached()
    with progress.step(f"looking at the pods of stack {name}"):
        objects = cast("list[Object]", client.get(KINDS)["items"])
    progress.close()
    found = stale(objects, wanted(target.stack.settings), datetime.now(UTC))
    show(name, found)
    if any(not one.rolling for one in found):
        raise SystemExit(FAILED)


def wanted(settings: Settings) -> Wanted:
    """Return what a stack's settings say that its pods should be."""
    images = [settings.images.reference(image) for image in settings.image_names()]
    return Wanted(images=images, restarted=settings.restart.processes, cron_job=COMPONENT)


def show(stack: str, found: list[Stale]) -> None:
    """Print a line for each pod, and what all of them amount to."""
    console.table([(one.pod, f"since {one.since:%Y-%m-%d %H:%M}", _said(one)) for one in found])
    counted = [one for one in found if not one.rolling]
    if not counted:
        console.result(f"no server of stack {stack} is older than it should be{'; a rollout is under way' if found else ''}")
        return
    words = " ".join(sorted({one.component for one in counted}))
    console.result(f"{len(counted)} pods of stack {stack} are older than they should be: {words}")


def _said(one: Stale) -> str:
    return f"{one.reason} (a rollout is under way)" if one.rolling else one.reason

"""`sy deploy` and `sy promote`: another image of the app for a stack, and what then runs."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from cli import checks, console, data_loss, machine, releases
from cli.errors import FailedError
from cli.stack import Stack
from cli.stack_file import with_value
from cli.target import existing
from cli.up import guarded, opened
from settings.loader import PROJECT
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

REFERENCE = re.compile(r"[^@\s]+/[^@\s]+@sha256:[0-9a-f]{64}")
TOUCHED = (Exception, KeyboardInterrupt)

yes_option = click.option("--yes", is_flag=True, help="Do not ask: for CI.")
unproved_option = click.option(
    "--never-ran-in-staging", "unproved", is_flag=True, help="Let a stack of tier production run what no staging stack has run."
)


@click.command()
@click.argument("name", metavar="STACK")
@click.argument("image", metavar="IMAGE@sha256:…")
@yes_option
@unproved_option
@data_loss.allow_option
def deploy(name: str, image: str, yes: bool, unproved: bool, allowed: str | None) -> None:
    r"""Let a stack run another image of the app: what the app repository's CI calls.

    Sets the image in Pulumi.STACK.yaml, previews, changes, waits until everything serves, says what runs now, and adds the image to
    releases/STACK.yaml; commit both files. When it fails the old pods go on, and the file is as it was. A stack of tier production
    runs only what a stack of tier staging has run.

    \b
    ./sy deploy staging ghcr.io/company/app@sha256:… --yes
    """
    progress = Progress()
    stack = Stack.open(name)
    refuse_loose(image)
    if not unproved:
        releases.refuse_unproved(stack, image)
    bring(stack, image, progress, yes=yes, allowed=allowed)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("name", metavar="TO")
@yes_option
@data_loss.allow_option
def promote(source: str, name: str, yes: bool, allowed: str | None) -> None:
    r"""Deploy to one stack the image that another one runs now, as its cluster says.

    Refused unless all of FROM serves, with one image.

    \b
    ./sy promote staging production
    """
    if source == name:
        raise UserError(f"stack {name} runs already what it runs: name the stack to promote from, then the one to promote to")
    progress = Progress()
    stack, proving = Stack.open(name), Stack.open(source)
    with progress.step(f"asking what stack {source} runs"):
        image = releases.proved(source, existing(source, progress).reached())
    if proving.settings.tier == releases.PROVED_IN:
        # It may have been brought up by hand: now it is known to run it.
        releases.record(source, image)
    releases.refuse_unproved(stack, image)
    progress.say(f"stack {source} runs {image}")
    bring(stack, image, progress, yes=yes, allowed=allowed)


def refuse_loose(image: str) -> None:
    """Raise UserError unless an image is named by its registry, its name and its digest."""
    if not REFERENCE.fullmatch(image):
        raise UserError(
            f"{image} does not say exactly one image: expected REGISTRY/NAME@sha256:<64 hexadecimal digits>, "
            "as `docker push` and `crane digest` print it"
        )


def bring(stack: Stack, image: str, progress: Progress, *, yes: bool, allowed: str | None) -> None:
    """Bring a stack up with an image of the app, unless it runs already; then say what runs, and write it down."""
    data_loss.refuse_other(stack.name, allowed)
    said = stack.settings
    before = said.images.reference(said.app.image)
    runs = set(running_now(stack, progress).values())
    if before == image and runs == {image}:
        progress.close()
        console.result(f"stack {stack.name} runs {image} already: nothing to do")
        releases.record(stack.name, image)
        return
    refuse_absent(stack, image)
    progress.say(f"stack {stack.name}: {', '.join(sorted(runs)) or before} -> {image}")
    with saying(stack, image, progress):
        target = opened(Stack.open(stack.name), None, progress)
        guarded(target, progress, yes=yes, allowed=allowed)
        target.reached().wait_ready(progress)
        runs = releases.running(target.reached())
        refuse_others(stack.name, image, runs)
    file = releases.record(stack.name, image)
    progress.close()
    console.heading(f"Stack {stack.name} runs now")
    console.table(runs.items())
    console.note(f"commit Pulumi.{stack.name}.yaml and {file.relative_to(ROOT)}")


def running_now(stack: Stack, progress: Progress) -> dict[str, str]:
    """Return the app's image of each process, where all of them serve; empty where they do not, or nobody can say."""
    kubectl = existing(stack.name, progress).kubectl
    try:
        return {} if kubectl is None or kubectl.waiting() else releases.running(kubectl)
    except FailedError:
        # The checks before the change say it better.
        return {}


def refuse_others(stack: str, image: str, runs: dict[str, str]) -> None:
    """Raise FailedError when a process runs something else after all."""
    if others := [name for name, running in runs.items() if running != image]:
        raise FailedError(f"stack {stack}: {', '.join(others)} do not run {image}, although the update went well")


def refuse_absent(stack: Stack, image: str) -> None:
    """Raise SettingsError when the image's registry does not have it, or the sandbox can not reach that registry."""
    checks.refuse_absent(image, machine.find("crane"), stack)


@contextmanager
def saying(stack: Stack, image: str, progress: Progress) -> Generator[None]:
    """Have the stack's tracked file name the image; it is put back as it was when what follows fails."""
    tracked = ROOT / f"Pulumi.{stack.name}.yaml"
    before = tracked.read_text()
    set_image(stack, tracked, image)
    try:
        yield
    except TOUCHED:
        tracked.write_text(before)
        progress.close()
        console.warning(
            f"{tracked.name} says again what it said before, and the old pods go on where new ones do not serve. Mend what is said below "
            f"and run the same command again, or take back what was changed with ./sy up -s {stack.name}"
        )
        raise


def set_image(stack: Stack, tracked: Path, image: str) -> None:
    """Write the image into a stack's tracked file, under the name that the app's image has; comments stay."""
    name = stack.settings.app.image
    # A full reference is no name that could be pinned: the image itself is another one then.
    path = [f"{PROJECT}:app", "image"] if "/" in name or "@" in name else [f"{PROJECT}:images", "pinned", name]
    tracked.write_text(with_value(tracked.read_text(), ["config", *path], image))

"""`sy fork`: a new stack like another one, for a reseller, and undoing it."""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import click

from cli import console, fork_file, fork_refusals, fork_removal, readiness
from cli.fork_file import Fork, Wish
from cli.stack import SANDBOX_CLUSTER, Stack, names
from rendering import Rendered, RenderingError, render
from settings import SettingsError
from settings.stack import Tier
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress


@click.command("fork")
@click.argument("source", required=False)
@click.argument("name", required=False)
@click.option("--domain", metavar="HOST", help="The host name that its people use; devices dial mqtt.HOST.")
@click.option("--tier", type=click.Choice(get_args(Tier)), help="How large it is; by default as the source. `small` fits 2 GiB.")
@click.option("--cluster", type=click.Choice([SANDBOX_CLUSTER]), help="Where it stands; by default on the source's cluster.")
@click.option("--again", is_flag=True, help="Write the file of a fork that is there already, as CI does that keeps no file of it.")
@click.option("--remove", "removed", metavar="NAME", help="Undo a fork, as long as the stack has no resources.")
@click.option("--yes", is_flag=True, help="Do not ask before a fork is removed.")
def command(
    source: str | None,
    name: str | None,
    domain: str | None,
    tier: Tier | None,
    cluster: str | None,
    again: bool,
    removed: str | None,
    yes: bool,
) -> None:
    r"""Make a stack like another one: a reseller's own, or one to try. Writes its file, and changes nothing else.

    The file Pulumi.NAME.yaml says what must differ, and what the source says for itself: the same image digests, with the source's host
    names replaced. No secret is copied; those that the stack makes are made anew. Then comes the list of what a human must still do.

    \b
    ./sy fork production bright-homes --domain lamps.bright-homes.example --tier small
    ./sy fork production trial --domain lamps.trial.example --tier small --cluster sandbox
    ./sy ready bright-homes              the list again, until all is green
    ./sy fork --remove bright-homes      undone, while it has no resources
    """
    if removed:
        if source or domain or tier or cluster:
            raise UserError("--remove takes the name of the fork and nothing else: ./sy fork --remove NAME")
        fork_removal.remove(removed, yes)
        return
    if not (source and name and domain):
        raise UserError("say what to fork, its name and its domain: ./sy fork production bright-homes --domain lamps.bright-homes.example")
    progress = Progress()
    try:
        wish = wanted(source, name, domain, tier, cluster)
        fork, made = create(wish, progress, again=again)
        report(wish, fork, made, progress)
    finally:
        progress.close()


def wanted(source: str, name: str, domain: str, tier: Tier | None, cluster: str | None, root: Path = ROOT) -> Wish:
    """Return what somebody wants; UserError when there is no such source, SettingsError when its file is wrong."""
    try:
        found = Stack.load(source, root=root)
    except SettingsError as error:
        raise SettingsError([_broken(source), *error.problems]) from None
    return Wish(found, name, domain.lower(), tier or found.settings.tier, found.on_sandbox or cluster == SANDBOX_CLUSTER)


def create(wish: Wish, progress: Progress, root: Path = ROOT, *, again: bool = False) -> tuple[Fork, Rendered]:
    """Write the file of a fork, once it is sure that a stack comes of it; SettingsError with every reason, and nothing written."""
    refuse([*fork_refusals.of_name(wish, root), *fork_refusals.of_domain(wish, root)])
    if not again:
        with progress.step(f"asking whether {wish.name} is taken"):
            refuse(fork_refusals.taken(wish, progress))
    source = wish.source.name
    with progress.step(f"rendering {source} and its fork"):
        fork = fork_file.make(wish)
        text = fork.text(wish)
        with ThreadPoolExecutor(2) as pool:
            both = pool.submit(render, source, root), pool.submit(_render_text, wish.name, text, root)
        _rendered(both[0], _broken(source))
        made = _rendered(both[1], f"the fork of {source} would be no stack, so nothing was written")
    _write_new(root / f"Pulumi.{wish.name}.yaml", text)
    return fork, made


def refuse(problems: Sequence[str]) -> None:
    """Raise SettingsError with all that speaks against a fork."""
    if problems:
        raise SettingsError([*problems, "nothing was written"])


def report(wish: Wish, fork: Fork, made: Rendered, progress: Progress) -> None:
    """Say what was written, what a human must look at, and what is still to do."""
    count = sum(one.in_cluster for one in made.resources)
    console.result(
        f"Pulumi.{wish.name}.yaml: stack {wish.name}, a fork of {wish.source.name}, {count} objects in namespace {made.namespace}"
    )
    _listed("Host names that were replaced", fork.renamed)
    _listed("Not copied from the source", fork.left_out)
    _listed("Look at these: they still name the source", fork.suspicious)
    stack = Stack.open(wish.name)
    points = readiness.points(stack, None, progress)
    progress.close()
    console.heading("What is still to do")
    readiness.show(point for point in points if point.state != "done")
    console.heading("Next")
    console.table(
        [
            (f"./sy ready {wish.name}", "this list again, with the present state of each point"),
            (f"./sy preview -s {wish.name}", "what would be made"),
            (f"./sy up -s {wish.name}", "bring it up; refused while secrets are missing"),
            (f"./sy fork --remove {wish.name}", "undo this, as long as it has no resources"),
            ("docs/new-reseller.md", "all steps, and how to choose a key"),
        ]
    )


def _listed(heading: str, lines: Sequence[str]) -> None:
    if lines:
        console.heading(heading)
        for line in lines:
            console.result(f"  {line}")


def _broken(source: str) -> str:
    return f"stack {source} does not preview itself, so nothing was forked from it"


def _rendered(rendering: Future[Rendered], why: str) -> Rendered:
    try:
        return rendering.result()
    except SettingsError as error:
        raise SettingsError([why, *error.problems]) from None
    except RenderingError as error:
        raise UserError(f"{why}: {str(error).strip().splitlines()[-1]}") from None


def _render_text(name: str, text: str, root: Path) -> Rendered:
    with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
        file = Path(folder) / f"Pulumi.{name}.yaml"
        file.write_text(text)
        return render(name, root, file)


def _write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all; UserError when somebody was faster."""
    new = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        new.write_text(text)
        # Unlike a rename it fails when the file is there.
        file.hardlink_to(new)
    except FileExistsError:
        raise UserError(
            f"{file.name} is there already: nothing was written; there are the stacks {', '.join(names(file.parent))}"
        ) from None
    finally:
        new.unlink(missing_ok=True)

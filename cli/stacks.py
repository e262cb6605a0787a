"""Verbs about a stack that is there: preview, destroy, fall, secret, and kubectl and pulumi as they are."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from cli import checks, cluster, console, data_loss, demo, machine, process, queries
from cli.engine import with_stack_words
from cli.environment import own_workspace, users
from cli.target import existing, for_preview, stack_option
from tools.errors import UserError
from tools.progress import Progress

PASS_THROUGH: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Everything after the first word that is not our own option goes to the program as it is."""


@click.command(context_settings=PASS_THROUGH)
@stack_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- PULUMI OPTIONS]")
def preview(name: str, words: tuple[str, ...]) -> None:
    """Show what `up` would do. Needs no cluster: a stack that names none yet is previewed as a new one.

    Options such as --diff, --json or --expect-no-changes go to pulumi preview.
    """
    progress = Progress()
    target = for_preview(name, progress)
    queries.refuse_unparsed(target.stack.settings, progress)
    for lack in target.stack.lacking_secrets():
        console.warning(lack)
    target.engine.ensure_stack()
    progress.close()
    raise SystemExit(target.engine.run(target.engine.preview_argv(*(word for word in words if word != "--")), to_stdout=True))


@click.command()
@stack_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_loss.allow_option
def destroy(name: str, yes: bool, allowed: str | None) -> None:
    """Delete everything of a stack, its data included, after showing what that is.

    A stack that protects its data (all tiers but testing and sandbox) is named twice:
    ./sy destroy -s staging --allow-data-loss staging
    """
    progress = Progress()
    target = existing(name, progress)
    # Not its outputs: an `up` that failed or was stopped midway leaves objects and no outputs.
    if not target.engine.exists() or not target.engine.held():
        raise UserError(f"stack {name} has nothing to destroy: it has not been brought up, or it is destroyed already")
    checks.check_cluster(target.reached(), target.stack)
    protected = data_loss.refuse_destroy(target, allowed)
    progress.close()
    if not yes:
        target.engine.run(target.engine.destroy_preview_argv())
        console.confirm(f"Delete all of this, with the data of stack {name} in namespace {target.stack.namespace}?", yes)
    target.resume()
    if protected:
        target.engine.must(target.engine.unprotect_argv(protected), "Nothing was deleted; run the same command again.")
    target.engine.must(target.engine.destroy_argv(), "Mend that and run the same command again.")
    if target.stack.on_sandbox:
        cluster.refresh(target.reached(), progress, required=False)
    elif command := cluster.command_for(target.stack):
        console.note(f"its lines are still looked for on the nodes, until its file is gone or says logs: {{where: none}}; then: {command}")
    progress.close()
    console.result(f"stack {name} is destroyed; what its file says and its secrets are kept: `./sy up -s {name}` makes it anew")


@click.command()
@stack_option
def fall(name: str) -> None:
    """Let the demo's lamp fall once more, and read its alert back."""
    progress = Progress()
    target = existing(name, progress)
    if not demo.applies(target.stack):
        raise UserError(f"stack {name} is not the demo product, so it has no lamp that could fall")
    told = demo.fall(demo.of_outputs(target.openable(), target.config_values()), progress)
    progress.close()
    console.result(
        f"alert {told.alert}: acknowledged by the broker after {told.acknowledged_ms:.0f} ms, readable after {told.readable_ms:.0f} ms"
    )


@click.command()
@stack_option
@click.argument("key", required=False)
def secret(name: str, key: str | None) -> None:
    """Print one config var that the app runs with, such as ADMIN_PASSWORD; without a name, print the names."""
    progress = Progress()
    values = existing(name, progress).config_values()
    progress.close()
    if key is None:
        console.result("\n".join(sorted(values)))
        return
    if key not in values:
        raise UserError(f"stack {name} has no config var {key}; it has {', '.join(sorted(values))}")
    console.result(values[key])


@click.command(context_settings=PASS_THROUGH, add_help_option=False)
@stack_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def kubectl(name: str, words: tuple[str, ...]) -> None:
    """Run kubectl on the stack's cluster and namespace."""
    progress = Progress()
    target = existing(name, progress)
    progress.close()
    process.replace(target.reached().argv(*words), users())


def named_stack(words: Sequence[str]) -> str:
    """Return the stack that pulumi's own options name; empty when they name none.

    Each stack has a file of its own: with another stack's, its secrets would end up there.
    """
    for option, value in pairwise([*words, ""]):
        if option in ("--stack", "-s"):
            return value
        if option.startswith("--stack="):
            return option.removeprefix("--stack=")
    return ""


@click.command(context_settings=PASS_THROUGH, add_help_option=False)
@stack_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def pulumi(name: str, words: tuple[str, ...]) -> None:
    """Run pulumi with the stack's state, plugins and settings file."""
    progress = Progress()
    name = named_stack(words) or name
    if words[:1] in (("login",), ("logout",)):
        programs = machine.ensure(machine.ENGINE, progress)
        progress.close()
        process.replace([str(programs.engine), *words], own_workspace().variables(programs.toolchain))
    target = existing(name, progress)
    if target.stack.on_sandbox:
        target.engine.ensure_stack()
    progress.close()
    argv = with_stack_words(words, target.engine.config_file)
    process.replace([str(target.engine.program), *argv], {**target.engine.env, "PULUMI_STACK": name})

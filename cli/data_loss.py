"""What a change would lose: read off the engine's preview, and refused unless the stack's name asks for it."""

import json
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import click
import yaml

from cli import broker, console
from cli.engine import Engine
from cli.environment import write_private
from cli.kubectl import Object
from cli.stack import Stack, read
from cli.target import Target
from reports.keeping import keeps, kind_of
from settings import fixed
from settings.loader import PROJECT
from tools.errors import UserError
from tools.progress import Progress

REPLACING = ("replace", "create-replacement", "delete-replaced")
DELETING = ("delete", "discard")
PREVIEW_SECONDS = 600

allow_option = click.option(
    "--allow-data-loss", "allowed", metavar="STACK", help="Name the stack once more, to delete or replace what keeps its data."
)


@dataclass(frozen=True, order=True)
class Loss:
    """Something with data that a change would delete or replace."""

    op: str
    """`delete` or `replace`."""
    urn: str

    @property
    def name(self) -> str:
        """Its Pulumi name."""
        return self.urn.rsplit("::", 1)[-1]

    def __str__(self) -> str:
        """Say it as a person would read it: `delete StatefulSet mqtt`."""
        return f"{self.op} {kind_of(self.urn)} {self.name}"


def losses(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the steps of a `pulumi preview --json` would delete or replace that keeps data, such as `delete StatefulSet mqtt`."""
    return [str(loss) for loss in of_steps(steps)]


def of_steps(steps: Sequence[Mapping[str, Any]]) -> list[Loss]:
    """Return the losses that a preview shows."""
    ops: dict[str, str] = {**dict.fromkeys(REPLACING, "replace"), **dict.fromkeys(DELETING, "delete")}
    made = {Loss(ops[str(step["op"])], str(step["urn"])) for step in steps if step["op"] in ops}
    return sorted(loss for loss in made if keeps(loss.urn))


def hidden(steps: Sequence[Mapping[str, Any]], resources: Sequence[Mapping[str, Any]]) -> list[Loss]:
    """Return the deletions that a refused preview did not come to: what the state has and no step names.

    The engine ends its plan at the first deletion that it refuses; `steps` must be those of --show-sames.
    """
    seen = {str(step["urn"]) for step in steps}
    return sorted(Loss("delete", urn) for one in resources if keeps(urn := str(one["urn"])) and urn not in seen)


def guard(target: Target, allowed: str | None, yes: bool, progress: Progress) -> list[Loss]:
    """Refuse, before anything is changed, what would lose data; return what may be lost because `allowed` names the stack.

    Raises UserError with every loss and the way out.
    """
    refuse_other(target.stack.name, allowed)
    with progress.step("asking what the change would lose"):
        if problems := impossible(target):
            raise UserError("\n".join(problems))
        found = of_change(target)
        listed = [*map(str, found), *broker.full_queues(target.reached(), target.stack.settings)]
    if listed and allowed is None:
        raise UserError(refusal(target.stack.name, listed, "up"))
    if listed:
        agree(target.stack.name, listed, yes, progress)
    return found


def refuse_other(stack: str, allowed: str | None) -> None:
    """Raise UserError when the option names another stack than the one that is worked on."""
    if allowed not in (None, stack):
        raise UserError(f"--allow-data-loss names stack {allowed}, and this is stack {stack}: nothing was changed")


def refusal(stack: str, listed: Sequence[str], verb: str) -> str:
    """Return what is said when losses are not allowed."""
    lines = "".join(f"\n  {one}" for one in listed)
    otherwise = "; otherwise take the change out of the settings" if verb == "up" else ""
    return (
        f"stack {stack}: this would lose data, so nothing was changed:{lines}\n"
        f"If that is meant: ./sy {verb} -s {stack} --allow-data-loss {stack}{otherwise}"
    )


def agree(stack: str, listed: Sequence[str], yes: bool, progress: Progress) -> None:
    """List what will be lost, and ask unless `yes`."""
    progress.close()
    console.warning(f"stack {stack} loses:{''.join(f'{chr(10)}  {one}' for one in listed)}")
    console.confirm(f"Go on, and lose that of stack {stack}?", yes)


def impossible(target: Target) -> list[str]:
    """Return a sentence for each setting that could not come true in what stands: a volume's size, members of the broker."""
    kubectl = target.reached()
    objects = cast("list[Object]", kubectl.get(",".join(fixed.KINDS))["items"])
    return fixed.refusals(target.stack.settings, fixed.Standing(objects, kubectl.namespace, kubectl.shown()))


def of_change(target: Target) -> list[Loss]:
    """Return what the next update would lose; UserError when the preview fails for another reason."""
    resources = target.engine.standing()
    if not any(keeps(str(one["urn"])) for one in resources):
        return []
    steps, errors = preview(target.engine)
    found = of_steps(steps)
    if errors and any(loss.op == "delete" for loss in found):
        found = sorted({*found, *hidden(steps, resources)})
    if errors and not found:
        raise UserError(f"stack {target.stack.name} can not be previewed, so nothing was changed:\n" + "\n".join(errors))
    return found


def preview(engine: Engine) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the steps of a preview, unchanged resources among them, and its errors; UserError when there is none to read."""
    done = engine.capture(engine.preview_argv("--json", "--show-sames", "--non-interactive"), PREVIEW_SECONDS)
    try:
        said = cast("dict[str, Any]", json.loads(done.stdout))
    except ValueError:
        reason = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise UserError(f"stack {engine.stack} can not be previewed, so nothing was changed: {reason}") from None
    messages = cast("list[dict[str, str]]", said.get("diagnostics") or [])
    errors = [one["message"].strip().removeprefix("error: ") for one in messages if one["severity"] == "error"]
    failed = [f"exit code {done.returncode}"] if done.returncode and not errors else []
    return cast("list[dict[str, Any]]", said.get("steps") or []), errors + failed


@contextmanager
def allowing(target: Target, found: Sequence[Loss]) -> Generator[Target]:
    """Yield the target with an engine that goes through with these losses, and protect what replaced them when that has gone well.

    A deletion is refused by what the state says, a replacement by what the program says: docs/decisions/10-data-guard.md.
    """
    if not found:
        yield target
        return
    urns = [loss.urn for loss in found]
    protected = protected_of(target.engine, urns)
    if protected:
        target.engine.must(target.engine.unprotect_argv(protected), "Nothing else was changed; run the same command again.")
    with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
        path = Path(folder) / target.engine.config_file.name
        write_private(path, unprotecting(target.stack, [loss.name for loss in found]))
        yield replace(target, engine=replace(target.engine, config_file=path))
    left = {str(one["urn"]) for one in target.engine.standing()}
    if again := [urn for urn in protected if urn in left]:
        target.engine.must(target.engine.protect_argv(again), "The next `./sy up` protects them again.")


def unprotecting(stack: Stack, names: Sequence[str]) -> str:
    """Return a stack's file with these resources taken out of protection."""
    document = read(stack.file)
    config = cast("dict[str, Any]", document.setdefault("config", {}))
    config[f"{PROJECT}:unprotected"] = sorted({*stack.settings.unprotected, *names})
    return yaml.safe_dump(document, sort_keys=False)


def protected_of(engine: Engine, urns: Sequence[str]) -> list[str]:
    """Return those of `urns` that the state protects."""
    return [str(one["urn"]) for one in engine.standing() if one.get("protect") and one["urn"] in urns]


def refuse_destroy(target: Target, allowed: str | None) -> list[str]:
    """Return the resources that `destroy` must unprotect first; UserError unless `allowed` names the stack that protects its data."""
    refuse_other(target.stack.name, allowed)
    protected = [str(one["urn"]) for one in target.engine.standing() if one.get("protect")]
    if (protected or target.stack.settings.protect) and allowed is None:
        listed = [str(Loss("delete", urn)) for urn in protected] or ["everything: it says protect: true"]
        raise UserError(refusal(target.stack.name, listed, "destroy"))
    return protected

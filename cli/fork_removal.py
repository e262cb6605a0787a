"""Undoing a fork that nothing was made of: its file, and the empty stack wherever there is one."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from cli import console
from cli.engine import Engine, state_file
from cli.environment import Workspace, local_workspace, logged_in, own_workspace
from cli.fork_file import is_fork
from cli.fork_refusals import engine_of
from cli.stack import KEPT_KEYS, SANDBOX_CLUSTER, Document, read
from settings.loader import read_stack_file
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress


def remove(name: str, yes: bool, root: Path = ROOT) -> None:
    """Remove a fork's file and its empty stacks after asking; UserError when it has resources, or is no fork."""
    file = root / f"Pulumi.{name}.yaml"
    progress = Progress()
    try:
        _refuse_others(file)
        with progress.step(f"asking whether stack {name} has resources"):
            engines = list(_engines(name, file, progress))
            for engine in engines:
                _refuse_resources(engine)
    finally:
        progress.close()
    left = _left_over(name)
    if not (engines or left or file.is_file()):
        raise UserError(f"there is no fork {name}: neither {file.name}, nor a state of it")
    console.confirm(f"Remove fork {name}: {', '.join(_named(file, engines))}?", yes)
    for engine in engines:
        engine.must(engine.remove_argv(), f"Then run the same command again: ./sy fork --remove {name}")
    for path in (*left, file):
        path.unlink(missing_ok=True)
    console.result(f"fork {name} is removed; it had no resources")


def _refuse_others(file: Path) -> None:
    if file.is_file() and not is_fork(file.read_text(errors="replace")):
        raise UserError(
            f"{file.name} does not begin as the file of a fork: to remove that stack run `pulumi stack rm` and delete the file yourself"
        )


def _engines(name: str, file: Path, progress: Progress) -> Iterator[Engine]:
    """Yield an engine for each state that has the stack: of the sandbox, of previews without a login, of the user's own login."""
    local = local_workspace()
    for workspace in (local, Workspace(local.folder / "preview", local=True)):
        if state_file(workspace.backend, name).is_file():
            yield engine_of(name, workspace, progress)
    if _on_sandbox(file):
        return
    if logged_in():
        engine = engine_of(name, own_workspace(), progress)
        if engine.exists():
            yield engine
    elif file.is_file() and any(key in read(file) for key in KEPT_KEYS):
        raise UserError(
            f"somebody has made stack {name}: {file.name} carries its key; log in to the backend that has it, so that it can be asked "
            "for resources: ./sy pulumi login s3://…"
        )
    else:
        progress.say("Pulumi is not logged in, and the file carries no key: no backend was asked")


def _on_sandbox(file: Path) -> bool:
    if not file.is_file():
        return False
    said, _ = read_stack_file(file)
    cluster = cast("Document", said.get("cluster") or {})
    return not cluster.get("context") and (cluster.get("identifier") == SANDBOX_CLUSTER or said.get("tier") == "sandbox")


def _refuse_resources(engine: Engine) -> None:
    if count := engine.held():
        where = f" in {engine.workspace.backend}" if engine.workspace.local else ""
        raise UserError(
            f"stack {engine.stack} has {count} resources{where}, and nothing was removed: "
            f"delete them and their data first, with ./sy destroy -s {engine.stack}"
        )


def _left_over(name: str) -> list[Path]:
    """Return the effective files of a stack on this machine."""
    folder = local_workspace().folder
    found = [place / f"Pulumi.{name}.yaml" for place in (folder / "stacks", folder / "preview" / "stacks")]
    return [path for path in found if path.is_file()]


def _named(file: Path, engines: list[Engine]) -> list[str]:
    return [*([file.name] if file.is_file() else []), *(f"the empty stack in {_backend(engine)}" for engine in engines)]


def _backend(engine: Engine) -> str:
    return str(engine.workspace.backend) if engine.workspace.local else "your backend"

"""`sy affected`: which stacks a change in git alters."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli import console, process
from cli.stack import config_of, names, read
from reports.affected import Affected, affected, unseen
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

SECONDS = 600
"""Rendering takes a second a stack; longer than this it hangs."""
NO_RENDERER = "there is no renderer in {revision}, so what it had is not known"


@click.command("affected")
@click.option("--base", required=True, metavar="REV", help="The revision to compare with: a branch, a tag, a commit.")
@click.option("--json", "as_json", is_flag=True, help="Print the stacks as JSON.")
def command(base: str, as_json: bool) -> None:
    r"""List the stacks that the working tree makes otherwise than a revision did, one a line.

    Both are rendered, each by its own code, without engine, cluster and passphrase; the revision in a temporary folder. What no stack is
    made of (documents, tests, comments) affects none. A stack that can not be rendered now is named, and the exit code is 2; the others
    are listed all the same.

    \b
    ./sy affected --base main                        before a pull request
    ./sy affected --base origin/main | cut -f1       the names alone, for a loop in a script
    """
    progress = Progress()
    try:
        found, broken = between(base, ROOT, progress)
    finally:
        progress.close()
    if as_json:
        console.result(json.dumps([{"stack": one.stack, "objects": one.objects, "why": one.why} for one in found], indent=2))
    else:
        for one in found:
            console.result(line(one))
    if broken:
        raise UserError("\n".join(broken))
    if not (found or as_json):
        console.note(f"no stack is made otherwise than at {base}")


def line(one: Affected) -> str:
    """Return a stack's line: its name, a tab, and how much of it changes."""
    count = "" if one.objects is None else f"{one.objects} resource{'' if one.objects == 1 else 's'}"
    return f"{one.stack}\t{', '.join(filter(None, (count, one.why)))}"


def between(base: str, root: Path, progress: Progress) -> tuple[list[Affected], list[str]]:
    """Return what the working tree of `root` changes since `base`, and what is wrong with stacks that can not be rendered now.

    UserError when there is no such revision.
    """
    commit = resolved(base, root)
    with checkout(commit, root) as folder:
        with progress.step(f"rendering {len(names(root))} stacks of the working tree"):
            after, broken = _each(root)
        with progress.step(f"rendering {len(names(folder))} stacks of {base}"):
            before = _earlier(folder, base)
        usable = {stack: one for stack, one in before.items() if stack not in broken}
        found = _with_unseen(affected(usable, after), root, folder, broken)
    untracked = _untracked(root)
    told = [Affected(one.stack, one.objects, f"{one.why}, not in git yet") if one.stack in untracked else one for one in found]
    return told, list(broken.values())


def resolved(base: str, root: Path) -> str:
    """Return the commit that a revision names; UserError when there is none."""
    if _git(root, "rev-parse", "--git-dir").returncode:
        raise UserError(f"{root} is no git checkout, so there is nothing to compare with")
    # A name that begins with a dash would be taken for an option.
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if found.returncode:
        raise UserError(f"there is no revision {base!r} in this checkout; fetch it first, or name another one with --base")
    return found.stdout.strip()


@contextmanager
def checkout(commit: str, root: Path) -> Generator[Path]:
    """Write a revision's files into a temporary folder, which is gone afterwards, also after Ctrl-C.

    An archive and no worktree: of a worktree something stays behind in .git when this process is killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="switchyard-affected-"))
    try:
        archive = folder / "archive.tar"
        made = _git(root, "archive", "--format=tar", f"--output={archive}", commit)
        if made.returncode:
            raise UserError(f"git could not write out {commit}: {made.stderr.strip()}")
        files = folder / "files"
        files.mkdir()
        # Python 3.11.2, Debian 12's, unpacks none without trusting what is in it.
        command = ["tar", "--extract", "--no-same-owner", "--no-same-permissions", f"--file={archive}", f"--directory={files}"]
        unpacked = subprocess.run(command, capture_output=True, text=True, check=False)
        if unpacked.returncode:
            raise UserError(f"tar could not unpack {commit}: {unpacked.stderr.strip()}")
        yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_unseen(found: Sequence[Affected], root: Path, folder: Path, broken: Container[str]) -> list[Affected]:
    """Return what was found, and the stacks whose files say otherwise what no object shows, such as a new secret."""
    by_name = {one.stack: one for one in found}
    for stack in sorted({*names(root)} & {*names(folder)}):
        if stack in broken:
            continue
        if keys := unseen(*(config_of(read(place / f"Pulumi.{stack}.yaml")) for place in (folder, root))):
            before = by_name.get(stack, Affected(stack, 0))
            why = ", ".join(filter(None, (before.why, f"its file says otherwise: {', '.join(keys)}")))
            by_name[stack] = Affected(stack, before.objects, why)
    return [by_name[stack] for stack in sorted(by_name)]


def _earlier(folder: Path, base: str) -> Mapping[str, Any]:
    """Return the rendered stacks of a revision; those that can not be are a text that says why."""
    if not (folder / "rendering" / "__main__.py").is_file():
        return dict.fromkeys(names(folder), NO_RENDERER.format(revision=base))
    made, broken = _each(folder)
    return made | {stack: f"could not be rendered at {base}: {_last(why)}" for stack, why in broken.items()}


def _each(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return all stacks as the code in `folder` renders them, and why those can not be that can not."""
    stacks = names(folder)
    made = _rendered(folder, stacks)
    if not isinstance(made, str):
        return made, {}
    # One that can not be rendered stops them all.
    alone = {stack: _rendered(folder, [stack]) for stack in stacks}
    broken = {stack: why for stack, why in alone.items() if isinstance(why, str)}
    return {stack: one[stack] for stack, one in alone.items() if not isinstance(one, str)}, broken


def _rendered(folder: Path, stacks: Sequence[str]) -> dict[str, Any] | str:
    """Return stacks as the code in `folder` renders them; the error's text when it can not."""
    if not stacks:
        return {}
    # Of this checkout's own code nothing may be found by that of another one.
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    argv = [sys.executable, "-m", "rendering", *stacks, "--root", str(folder)]
    done = process.capture(argv, {**env, "PYTHONDONTWRITEBYTECODE": "1"}, folder, seconds=SECONDS)
    return done.stderr.strip() or f"rendering ended with {done.returncode}" if done.returncode else json.loads(done.stdout)


def _last(text: str) -> str:
    """Return the last line of an error: of a traceback the one that says what it was."""
    return text.splitlines()[-1]


def _untracked(root: Path) -> set[str]:
    listed = _git(root, "ls-files", "--others", "--", "Pulumi.*.yaml")
    return {name.removeprefix("Pulumi.").removesuffix(".yaml") for name in listed.stdout.splitlines()}


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return process.capture(["git", "-C", str(root), *words], os.environ, root)

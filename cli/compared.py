"""Stacks as reports compare them, rendered from their tracked files."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click
import yaml

from cli import fork_file
from cli.fork_file import Wish
from cli.stack import Document, Stack, config_of, read
from rendering import render, render_all
from reports.subject import Subject
from settings.loader import PROJECT
from tools.paths import ROOT

ROTATION = ("rotation", "revoked")
_STYLES = {"bad": {"fg": "red"}, "good": {"fg": "green"}, "head": {"bold": True}, "dim": {"dim": True}}


def subjects(names: Sequence[str], root: Path = ROOT) -> list[Subject]:
    """Return stacks by name, rendered side by side; UserError when there is no such stack, SettingsError when it can not be used.

    How often passwords were rotated is each stack's own affair: all are compared as they are with their first ones.
    """
    stacks = [Stack.load(name, root=root) for name in names]
    with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
        files: dict[str, Path] = {}
        for stack in stacks:
            said = read(stack.file)
            if (fresh := unrotated(said)) != said:
                files[stack.name] = Path(folder) / stack.file.name
                files[stack.name].write_text(yaml.safe_dump(fresh))
        made = render_all(list(dict.fromkeys(names)), root, files=files)
        settings = {name: Stack.load(name, file, root).settings for name, file in files.items()}
    return [Subject(made[stack.name], settings.get(stack.name, stack.settings)) for stack in stacks]


def unrotated(document: Document) -> Document:
    """Return a stack file without what it says of rotations of its servers' passwords."""
    config = config_of(document)
    kept = {key: _without(value, key.removeprefix(f"{PROJECT}:")) for key, value in config.items()}
    return {**document, "config": kept} if "config" in document else document


def _without(value: Any, name: str) -> Any:
    if name == "redis" and isinstance(value, dict):
        return {key: _without(one, "") for key, one in cast("Document", value).items()}
    if name in ("postgres", "mqtt", "elasticsearch", "") and isinstance(value, dict):
        return {key: one for key, one in cast("Document", value).items() if key not in ROTATION}
    return value


def resized(name: str, other: str, root: Path = ROOT) -> Subject:
    """Return a stack as a fork of it would be that has the tier of `other`; UserError and SettingsError as `subjects`."""
    source, tier = Stack.load(name, root=root), Stack.load(other, root=root).settings.tier
    wish = Wish(source, name, source.settings.domain or f"{name}.example", tier, source.on_sandbox)
    with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
        file = Path(folder) / source.file.name
        file.write_text(fork_file.make(wish).text(wish))
        return Subject(render(name, root, file), Stack.load(name, file, root).settings)


def paint(text: str, how: str) -> str:
    """Colour a text for a terminal; written anywhere else, the colours are left out."""
    return click.style(text, **_STYLES[how])  # pyright: ignore[reportArgumentType]

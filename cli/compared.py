"""Stacks as reports compare them, rendered from their tracked files."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from cli import fork_file
from cli.fork_file import Wish
from cli.stack import Stack
from rendering import render, render_all
from reports.subject import Subject
from tools.paths import ROOT

_STYLES = {"bad": {"fg": "red"}, "good": {"fg": "green"}, "head": {"bold": True}, "dim": {"dim": True}}


def subjects(names: Sequence[str], root: Path = ROOT) -> list[Subject]:
    """Return stacks by name, rendered side by side; UserError when there is no such stack, SettingsError when it can not be used."""
    stacks = [Stack.load(name, root=root) for name in names]
    made = render_all(list(dict.fromkeys(names)), root)
    return [Subject(made[stack.name], stack.settings) for stack in stacks]


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

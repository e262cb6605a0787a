"""Stacks as reports compare them, rendered from their tracked files."""

from collections.abc import Sequence
from pathlib import Path

import click

from cli.stack import Stack
from rendering import render_all
from reports.subject import Subject
from tools.paths import ROOT

_STYLES = {"bad": {"fg": "red"}, "good": {"fg": "green"}, "head": {"bold": True}, "dim": {"dim": True}}


def subjects(names: Sequence[str], root: Path = ROOT) -> list[Subject]:
    """Return stacks by name, rendered side by side; UserError when there is no such stack, SettingsError when it can not be used."""
    stacks = [Stack.load(name, root=root) for name in names]
    made = render_all(list(dict.fromkeys(names)), root)
    return [Subject(made[stack.name], stack.settings) for stack in stacks]


def paint(text: str, how: str) -> str:
    """Colour a text for a terminal; written anywhere else, the colours are left out."""
    return click.style(text, **_STYLES[how])  # pyright: ignore[reportArgumentType]

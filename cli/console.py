"""What a person sees. Results go to standard output; progress, commands and errors to standard error."""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from tools.errors import UserError


def command(argv: Sequence[str]) -> None:
    """Show the command that is about to run, as it could be typed."""
    words = [Path(argv[0]).name, *argv[1:]]
    _write(click.style(f"$ {shlex.join(words)}", dim=True))


def note(text: str) -> None:
    """Write a line that is no result."""
    _write(text)


def warning(text: str) -> None:
    """Write a line about what is probably wrong but stops nothing."""
    _write(click.style("warning: ", fg="yellow") + text)


def error(text: str) -> None:
    """Write why the command ends."""
    _write(click.style("error: ", fg="red", bold=True) + text)


def result(text: str = "") -> None:
    """Write a line of the result to standard output."""
    click.echo(text, color=None if not os.environ.get("NO_COLOR") else False)


def heading(text: str) -> None:
    """Write the head of a part of the result."""
    result(click.style(text, bold=True))


def table(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Write rows as aligned columns."""
    listed = [list(row) for row in rows]
    if not listed:
        return
    widths = [max(len(row[column]) for row in listed) for column in range(len(listed[0]) - 1)]
    for row in listed:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        result((indent + "  ".join([*cells, row[-1]])).rstrip())


def confirm(question: str, yes: bool) -> None:
    """Ask unless `yes`; a no ends the command, and so does the lack of somebody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to answer on: say --yes to go on without being asked.")
    click.confirm(question, abort=True, err=True)


def _write(text: str) -> None:
    click.echo(text, err=True, color=None if not os.environ.get("NO_COLOR") else False)

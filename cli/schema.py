"""`sy schema`: what is generated from the typed settings, for editors and for readers."""

import click

from cli import console
from cli.errors import MENDABLE
from settings import reference
from settings import schema as schemas
from tools.paths import ROOT


def generated() -> dict[str, str]:
    """Return every generated file: its path in the repository, and what it must say."""
    return {**schemas.texts(), reference.FILE: reference.page()}


def stale() -> list[str]:
    """Return the files that do not say what the settings say now."""
    return [name for name, text in generated().items() if not (ROOT / name).is_file() or (ROOT / name).read_text() != text]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 2 and name the files that are out of date.")
def schema(check: bool) -> None:
    """Write the JSON Schemas that editors use (schema/) and the reference of every key (docs/reference.md).

    Both are made of the types and docstrings in settings/, and kept in the repository. The first line of each YAML file
    of settings names its schema, so an editor with the YAML language server completes keys and marks mistakes.

    Example: ./sy schema --check
    """
    wrong = stale()
    if check and wrong:
        console.error(f"out of date: {', '.join(wrong)}; run ./sy schema")
        raise SystemExit(MENDABLE)
    for name in wrong:
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(generated()[name])
        console.result(f"wrote {name}")
    if not wrong:
        console.result(f"up to date: {', '.join(generated())}")

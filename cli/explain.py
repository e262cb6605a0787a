"""`sy explain`: every setting of a stack, where it comes from, and what it overrode."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

import click

from cli import console
from cli.stack import DEFAULT, names
from settings.loader import read_stack_file, resolution
from settings.problems import hidden
from settings.provenance import Effective, Origin, written
from settings.provenance import explain as explained
from tools.errors import UserError
from tools.paths import ROOT

STACK = click.option("--stack", "-s", "name", default=DEFAULT, show_default=True, metavar="STACK", help="The stack to explain.")
SHOWN = 60
"""Characters of a value that a line of text shows; --json has all of it."""


@click.command()
@click.argument("key", required=False)
@STACK
@click.option("--json", "as_json", is_flag=True, help="One JSON object: key -> value, layer, line, and what was overridden.")
def explain(key: str | None, name: str, as_json: bool) -> None:
    """Show a stack's effective settings, each with the layer that says it and the layers it overrode.

    KEY is a setting or a part of them: `postgres`, `web.web.threads`; without one all are shown. Secrets are shown as set or
    missing, never as they are. Layers, lowest first: code default, product.yaml, settings/tiers/TIER.yaml, Pulumi.STACK.yaml.

    Example: ./sy explain postgres -s production
    """
    settings, secrets = effective(name)
    chosen = [one for one in settings if not key or within(one.key, key)]
    kept = {secret: state for secret, state in secrets.items() if not key or key in ("secrets", secret)}
    if not chosen and not kept:
        raise UserError(unknown(key or "", settings, secrets))
    if as_json:
        document = {one.key: as_data(one) for one in chosen} | {secret: {"secret": state} for secret, state in kept.items()}
        console.result(json.dumps(document, indent=2, ensure_ascii=False))
        return
    rows = [(one.key, shown(one.path, one.value), one.origin.place, over(one)) for one in chosen]
    console.table([*rows, *((secret, state, "secret", "") for secret, state in kept.items())], indent="")


def effective(name: str) -> tuple[list[Effective], dict[str, str]]:
    """Return a stack's settings with their layers, and the state of its secrets; UserError when there is no such stack."""
    file = ROOT / f"Pulumi.{name}.yaml"
    if not file.is_file():
        raise UserError(f"there is no stack {name!r}: {file.name} does not exist; there is {', '.join(names(ROOT)) or 'none'}")
    said, others = read_stack_file(file)
    made = resolution(name, said, others, ROOT)
    secrets = {secret: "set" if secret in others else "missing" for secret in made.settings.secret_names()}
    return explained(made.settings, made.layers), secrets


def within(key: str, wanted: str) -> bool:
    """Say whether a key is the wanted one, or inside it."""
    return key == wanted or key.startswith(f"{wanted}.")


def unknown(key: str, settings: Sequence[Effective], secrets: dict[str, str]) -> str:
    """Return why a key is not found, with the nearest one that is."""
    keys = {".".join(one.key.split(".")[:depth]) for one in settings for depth in range(1, one.key.count(".") + 2)}
    close = difflib.get_close_matches(key, sorted(keys | set(secrets)), 1, 0.5)
    parent = key.rpartition(".")[0]
    below = [one.key.removeprefix(f"{parent}.") for one in settings if not parent or one.key.startswith(f"{parent}.")]
    beside = sorted({inner.partition(".")[0] for inner in below})
    there = f"; there is {', '.join(beside)}" if beside else ""
    return f"there is no setting {key!r}" + (f' - did you mean "{close[0]}"?' if close else there)


def as_data(one: Effective) -> dict[str, Any]:
    """Return one setting as JSON has it."""
    below = [{"value": value_of(one, origin.value), **_place(origin)} for origin in one.overridden]
    return {"value": value_of(one, one.value), **_place(one.origin), "overrides": below}


def over(one: Effective) -> str:
    """Return what a value overrode, in words; nothing for what only the code says."""
    parts = [f"{shown(one.path, origin.value)} ({origin.place})" for origin in one.overridden]
    return f"over {', '.join(parts)}" if parts else ""


def shown(path: tuple[str | int, ...], value: Any) -> str:
    """Return a value in a few characters."""
    if isinstance(value, str) and len(value) <= SHOWN and hidden(path, value):
        return "<not shown>"
    text = written(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def value_of(one: Effective, value: Any) -> Any:
    """Return a value for JSON, or that it is not shown."""
    return "<not shown>" if isinstance(value, str) and len(value) <= SHOWN and hidden(one.path, value) else value


def _place(origin: Origin) -> dict[str, Any]:
    return {"layer": origin.layer, "line": origin.line}

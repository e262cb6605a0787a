"""The layers of a stack's settings, lowest first: product.yaml, the tier's file, the stack's own; beneath them the code's defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path as File
from typing import Any, cast, get_args

from settings.errors import SettingsError
from settings.problems import NO_VALUE, Path, Problem, says
from settings.reading import Tree, check, nested_secret, nested_secrets, read
from settings.stack import Settings, Tier

PROJECT = "switchyard"
"""Namespace of our keys in a stack file, and name of the Pulumi project."""
NAMED = ("web", "sidekiq", "processes", "schedules", "redis")
"""Settings that are maps by names of the product's own choice."""


@dataclass(frozen=True)
class Layer:
    """One source of settings: a file and what it says."""

    file: File
    values: Tree
    name: str = ""
    """The file as it is named to people: settings/tiers/small.yaml."""
    problems: tuple[Problem, ...] = ()
    """What can not be taken from it."""
    known_lines: Mapping[Path, int] | None = None

    @cached_property
    def lines(self) -> Mapping[Path, int]:
        """The line of the file, counted from 1, that says each key; empty when there is no such file."""
        if self.known_lines is not None:
            return self.known_lines
        try:
            return stack_document(self.file).lines
        except SettingsError:
            return {}

    def line(self, path: Path) -> int | None:
        """Return the line of the file that says `path`; None when it can not be had."""
        return self.lines.get(path)


@dataclass(frozen=True)
class StackDocument:
    """A Pulumi.<stack>.yaml: what it says of Switchyard, by top-level key, and the names of its secrets."""

    values: Tree
    others: list[str]
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]


def layers_of(stack: str, said: Mapping[str, Any], root: File) -> list[Layer]:
    """Return the layers of `stack`, lowest first; `said` is what its own file says, by top-level key."""
    own = f"Pulumi.{stack}.yaml"
    product = _file(root, "product.yaml")
    top = Layer(root / own, dict(said), own, tuple(check(said, own)))
    tier = said.get("tier") or product.values.get("tier")
    if isinstance(tier, str) and tier in get_args(Tier):
        return [product, _sizes_only(_file(root, f"settings/tiers/{tier}.yaml"), product, top), top]
    expected = f"expected one of {', '.join(get_args(Tier))}"
    problem = Problem(
        ("tier",), f"is missing; {expected}" if tier is None else f"is no tier; {expected}", NO_VALUE if tier is None else tier
    )
    return [product, Layer(root / "settings" / "tiers", {}, "settings/tiers", (problem,), {}), top]


def merge(low: Tree, high: Mapping[str, Any]) -> Tree:
    """Return `low` overlaid with `high`: maps merge, lists and scalars replace, null deletes."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(cast("Tree", below) if isinstance(below, dict) else {}, cast("Tree", value))
        else:
            merged[key] = value
    return merged


def merged(layers: Sequence[Layer]) -> Tree:
    """Return what all layers say together."""
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer.values)
    return tree


def stack_document(file: File) -> StackDocument:
    """Return what a Pulumi.<stack>.yaml says; SettingsError when it can not be read at all."""
    document = read(file)
    config = cast("Tree", document.values.get("config") or {})
    if type(config) is not dict:
        raise SettingsError([f"{file.name}: config: expected a map of settings, such as `{PROJECT}:tier: staging`"])
    ours = {key: value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
    values = {name: _switch(name, value) for key, value in ours.items() if (name := _bare(key)) in Settings.model_fields}
    secrets = {name: value for key, value in ours.items() if (name := _bare(key)) not in values}
    lines: dict[Path, int] = {
        (_bare(str(path[1])), *path[2:]): line for path, line in document.lines.items() if len(path) > 1 and path[0] == "config"
    }
    problems = [replace(problem, path=_within(problem.path)) for problem in document.problems]
    for path in list(nested_secrets(values)):
        problems.append(Problem(path, nested_secret(path), at=f"{file.name}:{lines.get(path, lines.get(path[:1], 1))}"))
        _drop(values, path)
    problems += [Problem((name,), why, at=f"{file.name}:{lines.get((name,), 1)}") for name, why in _clear(secrets)]
    problems += [Problem((key,), why, at=f"{file.name}:{document.lines.get(('config', key), 1)}") for key, why in _strays(config)]
    return StackDocument(values, list(secrets), lines, tuple(problems))


def _switch(name: str, value: Any) -> Any:
    """Return a top-level true or false as such: `pulumi config set`, of whatever key, writes all of them anew with quotes."""
    return value == "true" if Settings.model_fields[name].annotation is bool and value in ("true", "false") else value


def _bare(key: str) -> str:
    return key.removeprefix(f"{PROJECT}:")


def _within(path: Path) -> Path:
    return (_bare(str(path[1])), *path[2:]) if len(path) > 1 and path[0] == "config" else path


def _clear(secrets: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a sentence for each secret that stands in the file as it is."""
    readable = [name for name, value in secrets.items() if name.isupper() and not (isinstance(value, dict) and "secure" in value)]
    return [(name, f"is written in clear; make it anew, and set it with `pulumi config set --secret {name}`") for name in readable]


def _strays(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a sentence for each key that lacks our namespace, and so would be read by nobody."""
    bare = [key for key in config if key.rpartition(":")[2] in Settings.model_fields and not key.startswith(f"{PROJECT}:")]
    return [(key, f'is not read; did you mean "{PROJECT}:{key.rpartition(":")[2]}"?') for key in bare]


def _drop(tree: Any, path: Path) -> None:
    for part in path[:-1]:
        tree = tree[part]
    if isinstance(tree, dict):
        cast("Tree", tree).pop(str(path[-1]))


def _sizes_only(tier: Layer, product: Layer, own: Layer) -> Layer:
    """Return the tier without what it says of a process or Redis that neither product nor stack names."""
    kept = dict(tier.values)
    for group in NAMED:
        if isinstance(said := tier.values.get(group), dict):
            known = {name for layer in (product, own) if isinstance(names := layer.values.get(group), dict) for name in cast("Tree", names)}
            kept[group] = {name: value for name, value in cast("Tree", said).items() if name in known}
    return replace(tier, values=kept)


def _file(root: File, name: str) -> Layer:
    document = read(root / name, name)
    return Layer(root / name, document.values, name, tuple(document.problems), document.lines)


@dataclass(frozen=True)
class Said:
    """What one layer says of a key."""

    layer: Layer
    value: Any
    """None: it deletes what those below say."""
    line: int | None = None


def history(path: Path, layers: Sequence[Layer]) -> list[Said]:
    """Return what the layers say of a leaf, lowest first; each overrides those before it, and None is a deletion."""
    found: list[Said] = []
    for layer in layers:
        for depth in range(1, len(path) + 1):
            if not says(layer.values, path[:depth]):
                break
            value = _at(layer.values, path[:depth])
            if depth == len(path) or value is None or not isinstance(value, (dict, list)):
                found.append(Said(layer, value, layer.line(path[:depth])))
                break
    return found


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree

"""YAML as both Pulumi and this program read it: what the two would take differently is refused, with its line."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, cast

import yaml
import yaml.nodes

from settings.errors import SettingsError
from settings.problems import Path, Problem, dotted

Tree = dict[str, Any]
"""Settings as a file says them."""

DEEPEST = 24
"""Levels of maps and lists; the settings have eight."""
_LARGEST_FILE = 2**20
_MOST_NODES = 50_000
_MOST_OPENINGS = 2000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_DECIMAL = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass
class Document:
    """One file: its values, the line of each key, and what can not be taken from it."""

    name: str
    values: Tree = field(default_factory=dict[str, Any])
    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    problems: list[Problem] = field(default_factory=list[Problem])

    def refuse(self, path: Path, line: int, reason: str) -> None:
        """Keep one more problem."""
        self.problems.append(Problem(path, reason, at=f"{self.name}:{line}"))


def read(file: File, name: str | None = None) -> Document:
    """Return what a file says; SettingsError when it can not be read at all."""
    name = name or file.name
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise SettingsError([f"{name}: can not be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{name}: is not UTF-8 text: byte {error.start}"]) from None
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Return what a text says; SettingsError when it is no YAML, or no map."""
    document = Document(name)
    try:
        node = _compose(text, name)
    except yaml.YAMLError as error:
        raise SettingsError([no_yaml(error, name)]) from None
    if node is None:
        return document
    if not isinstance(node, yaml.nodes.MappingNode):
        raise SettingsError([f"{name}: expected a map of settings"])
    document.values = cast("Tree", _Builder(document).build(node, ()) or {})
    return document


def no_yaml(error: yaml.YAMLError, name: str) -> str:
    """Return the sentence about a file called `name` that is no YAML: where, and why."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None or not isinstance(error, yaml.MarkedYAMLError):
        return f"{name}: is not YAML: {' '.join(str(error).split())}"
    what = " ".join(filter(None, (error.context, error.problem)))
    return f"{name}:{mark.line + 1}: is not YAML: {what}, in column {mark.column + 1}"


def check(tree: Mapping[Any, Any], name: str, above: Path = ()) -> list[Problem]:
    """Return what can not be taken from values that came another way than by YAML: depth, keys that are no text."""
    if len(above) > DEEPEST:
        return [Problem(above, f"is nested deeper than {DEEPEST} levels", at=name)]
    problems: list[Problem] = []
    for key, value in tree.items():
        if not isinstance(key, str):
            problems.append(Problem((*above, str(key)), "a key is no text; put quotes around it", at=name))
        problems += [found for inner, where in _maps(value, (*above, str(key))) for found in check(inner, name, where)]
    return problems


def _maps(value: Any, where: Path) -> Iterator[tuple[Mapping[Any, Any], Path]]:
    if isinstance(value, dict):
        yield cast("dict[Any, Any]", value), where
    elif isinstance(value, list) and len(where) <= DEEPEST:
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _maps(inner, (*where, index))


def _compose(text: str, name: str) -> Any:
    if len(text) > _LARGEST_FILE:
        raise SettingsError([f"{name}: has more than {_LARGEST_FILE} characters; that is no file of settings"])
    if sum(map(text.count, "[{")) + text.count("- ") + text.count("? ") > _MOST_OPENINGS:
        # The parser recurses in C: so many levels end the process, not with an exception.
        _refuse_deep(text, name)
    return yaml.compose(text, Loader=_LOADER)  # pyright: ignore[reportUnknownMemberType]


def _refuse_deep(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > 2 * DEEPEST:
            raise SettingsError([f"{name}: is nested deeper than {DEEPEST} levels"])


class _Builder:
    """Turns nodes into values. What is refused is left out, so that the rest can still be checked."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.open: set[int] = set()
        self.nodes = 0

    def build(self, node: Any, path: Path) -> Any:
        """Return the value of a node; _LEFT_OUT when it is refused."""
        line = node.start_mark.line + 1
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise SettingsError([f"{self.document.name}:{line}: has more than {_MOST_NODES} values, aliases counted; write less"])
        if isinstance(node, yaml.nodes.ScalarNode):
            return self._scalar(node, path, line)
        if id(node) in self.open:
            return self._refuse(path, line, "an alias (*) leads back to what it is part of")
        if len(path) > DEEPEST:
            return self._refuse(path, line, f"is nested deeper than {DEEPEST} levels")
        self.open.add(id(node))
        try:
            return self._map(node, path) if isinstance(node, yaml.nodes.MappingNode) else self._list(node, path)
        finally:
            self.open.discard(id(node))

    def _list(self, node: Any, path: Path) -> list[Any]:
        values: list[Any] = []
        for index, inner in enumerate(node.value):
            self.document.lines[(*path, index)] = inner.start_mark.line + 1
            value = self.build(inner, (*path, index))
            if value is not _LEFT_OUT:
                values.append(value)
        return values

    def _map(self, node: Any, path: Path) -> Tree:
        merged: Tree = {}
        own: Tree = {}
        seen: dict[str, int] = {}
        for key, inner in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                merged = {**self._merged(inner, path), **merged}
                continue
            name = self._key(key, path, line)
            if name is None:
                continue
            where = (*path, name)
            if name in seen:
                self._refuse(where, line, f"is said twice, first in line {seen[name]}; keep one of them")
                continue
            seen[name] = line
            self.document.lines[where] = line
            value = self.build(inner, where)
            if value is not _LEFT_OUT:
                own[name] = value
        return {**merged, **own}

    def _merged(self, node: Any, path: Path) -> Tree:
        parts = node.value if isinstance(node, yaml.nodes.SequenceNode) else [node]
        merged: Tree = {}
        for part in parts:
            value = self.build(part, path)
            if isinstance(value, dict):
                merged = {**cast("Tree", value), **merged}
            elif value is not _LEFT_OUT:
                self._refuse((*path, "<<"), part.start_mark.line + 1, "expected an alias of a map")
        return merged

    def _key(self, key: Any, path: Path, line: int) -> str | None:
        if isinstance(key, yaml.nodes.ScalarNode) and key.tag == f"{_TAG}str":
            return str(key.value)
        shown = repr(key.value) if isinstance(key, yaml.nodes.ScalarNode) else "a list or map"
        self._refuse(
            (*path, str(key.value) if isinstance(key, yaml.nodes.ScalarNode) else "?"), line, f"the key {shown} is no text; quote it"
        )
        return None

    def _scalar(self, node: Any, path: Path, line: int) -> Any:
        kind, text = str(node.tag).removeprefix(_TAG), str(node.value)
        if kind == "str":
            return text
        if kind == "null" and not (text and node.style):
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _DECIMAL.fullmatch(text) and len(text) < 400:
            return int(text)
        if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        return self._refuse(path, line, _AMBIGUOUS.get(kind, f"expected a plain value, not one with the tag {node.tag}"))

    def _refuse(self, path: Path, line: int, reason: str) -> Any:
        self.document.refuse(path, line, reason)
        return _LEFT_OUT


_LEFT_OUT = object()
_AMBIGUOUS = {
    "bool": "YAML reads this word as true or false, Pulumi as text: write true or false, or put quotes around it",
    "int": "YAML readers differ about this number: write it in plain digits, or put quotes around it",
    "float": "expected a finite number in plain digits; put quotes around what is meant as text",
    "timestamp": "YAML reads this as a date; put quotes around it",
    "null": "expected nothing at all where nothing is meant",
}
"""What programs read in more than one way, by YAML's own type."""


def nested_secrets(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where a tree has an encrypted value: a map of nothing but `secure`."""
    if isinstance(tree, dict):
        members = cast("Tree", tree)
        if set(members) == {"secure"}:
            yield path
            return
        for key, value in members.items():
            yield from nested_secrets(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(cast("list[Any]", tree)):
            yield from nested_secrets(value, (*path, index))


def nested_secret(path: Path) -> str:
    """Return why an encrypted value can not be where it is."""
    if len(path) == 1:
        return f"is no secret: `pulumi config set {path[0]}` without --secret"
    return (
        f"a secret lies inside an object, and Pulumi then takes all of {path[0]!r} for a secret: secrets are flat top-level keys. "
        f"Set it with `pulumi config set --secret NAME`, and name it where {dotted(path)} belongs"
    )

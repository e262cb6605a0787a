"""parity.yaml: what may differ between two stacks, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import yaml

from reports.places import Pattern
from settings import SettingsError
from settings.reading import no_yaml

FILE = "parity.yaml"
KINDS = ("size", "identity", "safety")
"""Sizes; what is a stack's or its cluster's own; what guards one stack more than another."""
_KEYS = ("path", "kind", "reason", "until", "stacks")
_REASON_LENGTH = 10
"""Characters below which a reason says nothing."""


@dataclass(frozen=True)
class Allowance:
    """One difference that may be."""

    path: str
    kind: str
    reason: str
    until: date | None = None
    """The last day that it holds."""
    stacks: tuple[str, ...] = ()
    """The two stacks that it is about; empty: any two."""
    line: int = 0
    """Where it stands in the file."""

    @property
    def pattern(self) -> Pattern:
        """What it covers."""
        return Pattern(self.path)

    def concerns(self, left: str, right: str) -> bool:
        """Say whether it is about these two stacks."""
        return not self.stacks or set(self.stacks) == {left, right}


@dataclass(frozen=True)
class Allowances:
    """A whole file."""

    file: str
    listed: tuple[Allowance, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with the file, a sentence each; an entry that is wrong allows nothing."""


def read(file: Path) -> Allowances:
    """Return what a file allows; SettingsError when there is none, or when it is no YAML."""
    try:
        text = file.read_text()
        document: Any = yaml.safe_load(text) or {}
    except OSError as error:
        raise SettingsError([f"{file}: can not be read: {error.strerror}; name another file with --allowances"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{file.name}: is not UTF-8 text: byte {error.start}"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([no_yaml(error, file.name)]) from None
    said = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    entries: Any = said.get("allowed", []) if isinstance(document, dict) else None
    unknown = sorted(set(said) - {"allowed"})
    if not isinstance(entries, list) or unknown:
        found = f"; unknown key {unknown[0]}" if unknown else ""
        raise SettingsError([f"{file.name}: expected a map with `allowed:`, a list of path, kind and reason{found}"])
    return _checked(file.name, cast("list[Any]", entries), _lines(text))


def _checked(file: str, entries: list[Any], lines: Sequence[int]) -> Allowances:
    listed: list[Allowance] = []
    problems: list[str] = []
    paths: set[tuple[str, frozenset[str]]] = set()
    for entry, line in zip(entries, lines, strict=False):
        wrong = _wrong(entry)
        if not wrong:
            made = _allowance(cast("dict[str, Any]", entry), line)
            key = (made.path, frozenset(made.stacks))
            wrong = [f"{made.path}: is allowed twice"] if key in paths else []
            paths.add(key)
            listed.append(made)
        problems += [f"{file}:{line}: {problem}" for problem in wrong]
    return Allowances(file, tuple(listed), tuple(problems))


def _allowance(said: dict[str, Any], line: int) -> Allowance:
    return Allowance(said["path"], said["kind"], said["reason"], said.get("until"), tuple(said.get("stacks") or ()), line)


def _wrong(entry: Any) -> list[str]:
    """Return what is wrong with an entry."""
    if not isinstance(entry, dict):
        return ["expected a map with path, kind and reason"]
    said = cast("dict[str, Any]", entry)
    path = said.get("path")
    name = f"{path}: " if isinstance(path, str) else ""
    problems = [f"{name}unknown key {key}; expected one of {', '.join(_KEYS)}" for key in said if key not in _KEYS]
    if not isinstance(path, str):
        problems.append("path: is missing: expected KIND/NAME PATH, such as `Deployment/web spec.replicas`")
    else:
        problems += _unreadable(path)
    if said.get("kind") not in KINDS:
        problems.append(f"{name}kind: {said.get('kind')!r}: expected one of {', '.join(KINDS)}")
    reason = said.get("reason")
    if not isinstance(reason, str) or len(reason.strip()) < _REASON_LENGTH:
        problems.append(f"{name}reason: is missing: say why the stacks must differ here")
    if type(said.get("until")) not in (type(None), date):
        problems.append(f"{name}until: {said['until']!r}: expected a date such as 2027-01-31")
    return problems + [f"{name}{problem}" for problem in _wrong_stacks(said.get("stacks"))]


def _wrong_stacks(stacks: Any) -> list[str]:
    named = isinstance(stacks, list) and len({str(one) for one in cast("list[Any]", stacks)}) == 2
    return [] if stacks is None or named else ["stacks: expected two names, such as [staging, production]"]


def _unreadable(path: str) -> list[str]:
    try:
        Pattern(path)
    except ValueError as error:
        return [f"{path}: {error}"]
    return []


def _lines(text: str) -> list[int]:
    """Return the line on which each entry begins."""
    compose: Any = yaml.compose  # pyright: ignore[reportUnknownMemberType]
    root = compose(text)
    pairs: list[tuple[Any, Any]] = root.value if root else []
    for key, value in pairs:
        if key.value == "allowed" and isinstance(value, yaml.SequenceNode):
            return [entry.start_mark.line + 1 for entry in cast("list[Any]", value.value)]
    return []

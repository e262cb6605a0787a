"""What is wrong with a setting, and the one sentence that says so: file and line, key, value, expectation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

Path = tuple[str | int, ...]
"""Where a setting is: ("postgres", "volume", "size")."""

NO_VALUE = object()
"""Stands for a value that is not shown: there is none, it is large, or it may be a secret."""
_LONGEST_VALUE = 80
_SECRET_KEY = re.compile(r"PASS|SECRET|TOKEN|KEY|DSN|CREDENTIAL|PRIVATE|SALT", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s]*@")


class Source(Protocol):
    """A layer, as far as a sentence needs it."""

    @property
    def name(self) -> str:
        """The file, as it is named to people."""
        ...

    @property
    def values(self) -> Mapping[str, Any]:
        """What it says."""
        ...

    def line(self, path: Path) -> int | None:
        """Return the line that says `path`."""
        ...


@dataclass(frozen=True)
class Problem:
    """One thing that is refused."""

    path: Path
    """The key to look at first."""
    reason: str
    """What was expected, and why."""
    value: object = NO_VALUE
    """What is there instead, if it may be shown."""
    reads: tuple[Path, ...] = ()
    """Further keys that the check has read: it says nothing when one of them is wrong by itself."""
    at: str | None = None
    """`file:line`, where that is known already."""

    def touches(self, wrong: Sequence[Path]) -> bool:
        """Say whether one of the keys that it rests on is among `wrong`, lies inside one of them, or around one."""
        return any(one[: len(other)] == other[: len(one)] for one in (self.path, *self.reads) for other in wrong)

    def sentence(self, layers: Sequence[Source]) -> str:
        """Return `file:line: key: value: expectation`; the file of the highest layer where no layer says it."""
        said = says_exactly(self.path, layers) is not None
        shown = "" if hidden(self.path, self.value) else f"{_repr(self.value)}{'' if said or self.at else ' by default'}: "
        return f"{self.at or location(self.path, layers)}: {dotted(self.path)}: {shown}{self.reason}"


def dotted(path: Path) -> str:
    """Return a path as people write it: postgres.volume.size."""
    return ".".join(map(_part, path))


def _part(part: str | int) -> str:
    text = str(part)
    return text if 0 < len(text) <= _LONGEST_VALUE and text.isprintable() else repr(text[:_LONGEST_VALUE])


def says(tree: Any, path: Path) -> bool:
    """Say whether a tree has a value at `path`."""
    for part in path:
        members: Any = dict(enumerate(cast("list[Any]", tree))) if isinstance(tree, list) else tree
        if not isinstance(members, dict) or part not in members:
            return False
        tree = cast("dict[str | int, Any]", members)[part]
    return True


def says_exactly(path: Path, layers: Sequence[Source]) -> Source | None:
    """Return the highest layer that says `path` itself."""
    return next((layer for layer in reversed(layers) if says(layer.values, path)), None)


def location(path: Path, layers: Sequence[Source]) -> str:
    """Return file and line of what says `path`, or else of the nearest thing around it; without a line the stack's own file."""
    for depth in range(len(path), 0, -1):
        saying = [layer for layer in layers if says(layer.values, path[:depth])]
        # All layers say something of postgres: where `postgres` begins in one of them tells nothing about a missing key.
        if saying and (depth == len(path) or depth > 1 or saying == [layers[-1]]):
            return _at_line(saying[-1], path[:depth])
    # An unknown key is among nobody's values, but it stands in the stack's own file.
    return _at_line(layers[-1], path)


def _at_line(layer: Source, path: Path) -> str:
    line = layer.line(path)
    return f"{layer.name}:{line}" if line else layer.name


def hidden(path: Path, value: object) -> bool:
    """Say whether a value must not be shown: where a secret's name belongs, people write the secret itself."""
    if value is NO_VALUE or not isinstance(value, (str, int, float, bool, type(None))):
        return True
    named = {"password", "secrets", "secure"}.isdisjoint(path) and not any(_SECRET_KEY.search(str(part)) for part in path[-1:])
    return not named or (isinstance(value, str) and (_LOGIN.search(value) is not None or len(value) > _LONGEST_VALUE))


def _repr(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        # Python refuses to write numbers of thousands of digits.
        return "a number of more than 20 digits"
    return repr(value)

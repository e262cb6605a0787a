"""Where in a stack something stands: kind, name and path, as `Deployment/web spec.replicas`, and patterns over such places."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SEGMENT = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def segment(key: str) -> str:
    """Return a key of a map as a segment of a path: in brackets unless it is a plain word."""
    return key if _PLAIN.fullmatch(key) else f"[{key}]"


def segments(path: str) -> tuple[str, ...]:
    """Return the segments of a path such as `metadata.annotations[example.com/x]`."""
    return tuple(_SEGMENT.findall(path))


@dataclass(frozen=True, order=True)
class Place:
    """A resource, or a field of it."""

    kind: str
    """Kubernetes' kind, or the last part of Pulumi's type."""
    name: str
    """The object's name, without what is the stack's own: its namespace, and the digest of its content."""
    path: tuple[str, ...] = ()
    """Segments; those of list members and of unusual keys are in brackets. Empty: the whole resource."""

    def __str__(self) -> str:
        """Return it as it is written in parity.yaml."""
        return f"{self.kind}/{self.name} {self.dotted}".rstrip()

    @property
    def dotted(self) -> str:
        """The path as text."""
        return "".join(part if part.startswith("[") or not at else f".{part}" for at, part in enumerate(self.path))

    def within(self, *parts: str) -> bool:
        """Say whether one of `parts` is a segment of the path."""
        return not set(parts).isdisjoint(self.path)


class Pattern:
    """Places by pattern: `*` stands for anything inside a segment, `**` for any number of segments."""

    def __init__(self, text: str) -> None:
        """Read `KIND/NAME [PATH]`; ValueError when it is not of this form."""
        match = re.fullmatch(r"\s*([^\s/]+)/(\S+?)(?:\s+(\S.*?))?\s*", text)
        if not match:
            raise ValueError("expected KIND/NAME PATH, such as `Deployment/web spec.replicas`")
        self.text = text
        self._kind, self._name = _glob(match[1]), _glob(match[2])
        self._path = tuple(part if part == "**" else _glob(_bare(part)) for part in segments(match[3] or ""))

    def matches(self, place: Place) -> bool:
        """Say whether a place is one of those."""
        if not self._kind.fullmatch(place.kind) or not self._name.fullmatch(place.name):
            return False
        return _matches(self._path, [_bare(part) for part in place.path])


def _matches(pattern: Sequence["str | re.Pattern[str]"], path: Sequence[str]) -> bool:
    if not pattern:
        return not path
    first = pattern[0]
    if isinstance(first, str):
        return any(_matches(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return bool(path) and bool(first.fullmatch(path[0])) and _matches(pattern[1:], path[1:])


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _bare(part: str) -> str:
    return part[1:-1] if part.startswith("[") else part

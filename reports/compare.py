"""What differs between two rendered stacks, field by field, in Kubernetes' own sense of what is the same."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from reports.identity import Renaming
from reports.images import same_image
from reports.lists import LIST_KEYS, UNORDERED, Member, is_map, of_maps
from reports.places import Place, segment
from reports.subject import Subject, runs_app
from settings.gateway import OWNING_NAMESPACE
from settings.quantities import bytes_of, cores_of


class Missing:
    """Stands for what one of two stacks does not have."""

    def __repr__(self) -> str:
        """Return how it is written in reports."""
        return "(none)"


MISSING = Missing()
APP_IMAGE = Place("Image", "app")
"""Where the app's own image is reported: once, however many pods run it."""


@dataclass(frozen=True)
class Row:
    """One difference."""

    place: Place
    left: Any
    right: Any
    lines: tuple[str, ...] = ()
    """For a file: its lines that differ, beginning with `-` (left) or `+` (right)."""


@dataclass
class Comparison:
    """Two stacks side by side."""

    left: Subject
    right: Subject
    fields: int = 0
    """How many fields were compared."""
    rows: list[Row] = field(default_factory=list[Row])
    """Those that differ, by place."""
    places: list[Place] = field(default_factory=list[Place])
    """All fields."""
    images: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """References of the app's image, left and right."""

    @property
    def identical(self) -> int:
        """How many fields are the same."""
        return self.fields - len(self.rows)


def compare(left: Subject, right: Subject) -> Comparison:
    """Return what differs between two stacks besides what is each one's own: names, namespaces, hosts."""
    made = Comparison(left, right)
    walk = _Walk(made, Renaming(left.identity, right.identity))
    for kind, name in sorted({*left.trees, *right.trees}):
        walk.resource(Place(kind, name), left.trees.get((kind, name)), right.trees.get((kind, name)))
    walk.app_image()
    made.rows.sort(key=lambda row: row.place)
    return made


class _Walk:
    """Goes through two trees at once."""

    def __init__(self, made: Comparison, renaming: Renaming) -> None:
        self._made = made
        self._renaming = renaming
        self._runs_app = False

    def resource(self, place: Place, left: dict[str, Any] | None, right: dict[str, Any] | None) -> None:
        if left is None or right is None:
            self._field(place, MISSING if left is None else _outline(left), MISSING if right is None else _outline(right), same=False)
            return
        self._runs_app = runs_app(left) and runs_app(right)
        self._tree(place, left, right)

    def app_image(self) -> None:
        pairs = sorted(self._made.images)
        if not pairs:
            return
        left, right = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
        same = all(same_image(*pair) for pair in pairs)
        self._field(APP_IMAGE, ", ".join(left), ", ".join(right), same=same)

    def _tree(self, place: Place, left: Any, right: Any) -> None:
        if is_map(left) and is_map(right):
            self._map(place, left, right)
        elif (key := LIST_KEYS.get(place.path[-1] if place.path else "")) and of_maps(left) and of_maps(right):
            self._map(place, self._keyed(left, key, True), self._keyed(right, key, False), brackets=True)
        elif of_maps(left) and of_maps(right):
            self._map(place, _numbered(left), _numbered(right), brackets=True)
        elif place.path and place.path[-1] == "image" and self._runs_app:
            self._made.images.add((str(left), str(right)))
        elif isinstance(left, str) and isinstance(right, str) and "\n" in left + right:
            self._text(place, left, right)
        else:
            self._field(place, left, right, same=self._same(place, left, right))

    def _map(self, place: Place, left: Mapping[str, Any], right: Mapping[str, Any], *, brackets: bool = False) -> None:
        for key in sorted({*left, *right}):
            ours, theirs = _said(left.get(key)), _said(right.get(key))
            inner = Place(place.kind, place.name, (*place.path, f"[{key}]" if brackets else segment(key)))
            if _listed(ours, inner) or _listed(theirs, inner):
                ours, theirs = _or_empty(ours), _or_empty(theirs)
            if ours is not MISSING or theirs is not MISSING:
                self._tree(inner, ours, theirs)

    def _text(self, place: Place, left: str, right: str) -> None:
        before, after = left.splitlines(), right.splitlines()
        if len(before) == len(after) and all(map(self._renaming.same_text, before, after)):
            self._field(place, left, right, same=True)
            return
        known = set(before)
        renamed = [line if line in known else self._in_our_names(line, before) for line in after]
        lines = [line for line in difflib.unified_diff(before, renamed, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))]
        self._field(place, f"{len(before)} lines", f"{len(after)} lines", same=not lines, lines=tuple(lines))

    def _in_our_names(self, line: str, before: Sequence[str]) -> str:
        return next((ours for ours in before if self._renaming.same_text(ours, line)), line)

    def _field(self, place: Place, left: Any, right: Any, *, same: bool, lines: tuple[str, ...] = ()) -> None:
        self._made.fields += 1
        self._made.places.append(place)
        if not same:
            self._made.rows.append(Row(place, left, right, lines))

    def _keyed(self, members: list[Member], key: Callable[[Member], str], of_left: bool) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for member in members:
            name = self._renaming.base(key(member), of_left)
            number = 1
            full = name
            while full in made:
                number += 1
                full = f"{name}#{number}"
            made[full] = member
        return made

    def _same(self, place: Place, left: Any, right: Any) -> bool:
        if isinstance(left, list) and isinstance(right, list):
            return self._same_list(place, cast("list[Any]", left), cast("list[Any]", right))
        if isinstance(left, str) and isinstance(right, str):
            return self._same_text(place, left, right)
        # JSON knows no whole numbers: 2.0 is 2, but true is not 1.
        return left == right and isinstance(left, bool) == isinstance(right, bool)

    def _same_list(self, place: Place, left: list[Any], right: list[Any]) -> bool:
        if len(left) != len(right):
            return False
        if place.path[-1] not in UNORDERED:
            return all(self._same(place, ours, theirs) for ours, theirs in zip(left, right, strict=True))
        rest = list(right)
        for ours in left:
            found = next((theirs for theirs in rest if self._same(place, ours, theirs)), MISSING)
            if found is MISSING:
                return False
            rest.remove(found)
        return True

    def _same_text(self, place: Place, left: str, right: str) -> bool:
        if self._renaming.same_text(left, right):
            return True
        last = place.path[-1]
        if last in NAMESPACES and self._renaming.same_namespace(left, right):
            return True
        if last == INSTANCE and self._renaming.same_stack(left, right):
            return True
        if last == "image":
            return same_image(left, right)
        return bool(QUANTITIES.intersection(place.path[-2:])) and _same_quantity(left, right)


INSTANCE = "[app.kubernetes.io/instance]"
NAMESPACES = {"namespace", "[kubernetes.io/metadata.name]", f"[{OWNING_NAMESPACE}]", "dependsOn", "parent"}
"""Fields whose whole value may be a namespace's name."""
QUANTITIES = {"requests", "limits", "sizeLimit"}


def _same_quantity(left: str, right: str) -> bool:
    def amount(text: str) -> Decimal | int | None:
        for read in (cores_of, bytes_of):
            try:
                return read(text)
            except ValueError:
                continue
        return None

    return amount(left) is not None and amount(left) == amount(right)


def _listed(value: Any, place: Place) -> bool:
    """Say whether a value is a list whose members are compared one by one, so that its absence is that of each member."""
    return place.path[-1] in LIST_KEYS and isinstance(value, list)


def _said(value: Any) -> Any:
    # What is null is not said.
    return MISSING if value is None else value


def _or_empty(value: Any) -> Any:
    return cast("list[Any]", []) if value is MISSING else value


def _numbered(members: list[Member]) -> dict[str, Any]:
    return {str(index): member for index, member in enumerate(members)}


def _outline(tree: Mapping[str, Any]) -> str:
    """Return what stands in a report for a whole resource."""
    return str(tree.get("apiVersion") or "made")

"""Which stacks a change alters: what they are made of before and after, compared as it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from reports.identity import HASHED
from settings.layers import PROJECT

Made = Mapping[str, Any]
"""A rendered stack as JSON, perhaps that of another revision: only what has not changed in years is looked at."""


@dataclass(frozen=True)
class Affected:
    """What a change does to one stack."""

    stack: str
    objects: int | None
    """How many Kubernetes objects, and other resources, are changed, made or taken away; None when it can not be known."""
    why: str = ""
    """What is to be said besides: that it is new, removed, or can not be rendered at the base."""


def affected(before: Mapping[str, Made | str], after: Mapping[str, Made]) -> list[Affected]:
    """Return the stacks that differ, by name; a stack's `before` is a text when it could not be rendered, and says why."""
    found: list[Affected] = []
    for stack in sorted({*before, *after}):
        old, new = before.get(stack), after.get(stack)
        if isinstance(old, str):
            found.append(Affected(stack, None if new is None else len(things(new)), old if new is not None else f"removed; {old}"))
        elif old is None and new is not None:
            found.append(Affected(stack, len(things(new)), "new"))
        elif new is None and old is not None:
            found.append(Affected(stack, len(things(old)), "removed"))
        elif old is not None and new is not None and (changed := changes(old, new)):
            found.append(Affected(stack, len(changed)))
    return found


def changes(old: Made, new: Made) -> list[str]:
    """Return what is changed, made or taken away. An object that is named by its content counts once, though its name changes."""
    before, after = things(old), things(new)
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def unseen(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what a stack file says otherwise and no rendered object shows: its secrets, its cluster, the engine's own settings.

    `before` and `after` are the `config` of the file, by full key.
    """
    changed = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    return sorted(key.removeprefix(f"{PROJECT}:") for key in changed if _is_unseen(key, before.get(key), after.get(key)))


def _is_unseen(key: str, *values: Any) -> bool:
    secret = any(isinstance(value, dict) and "secure" in value for value in values)
    return secret or key == f"{PROJECT}:cluster" or not key.startswith(f"{PROJECT}:")


def things(made: Made) -> dict[str, Any]:
    """Return what a stack is made of, by kind and name."""
    found: dict[str, Any] = {}
    resources = cast("Sequence[dict[str, Any]]", made["resources"])
    for one in resources:
        match = HASHED.fullmatch(one["name"])
        name = f"{one['type']} {match['base'] if match else one['name']}"
        while name in found:
            name += "#"
        found[name] = {key: one.get(key) for key in ("name", "inputs", "protect", "timeout", "ignored")}
    return found

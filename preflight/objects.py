"""Reading Kubernetes objects as JSON, where every part may be missing."""

from collections.abc import Mapping
from typing import Any, cast

Object = dict[str, Any]
"""A Kubernetes object, a part of one, or a list of them, as JSON."""


def at(one: Mapping[str, Any], *path: str) -> Any:
    """Return what is at a path inside an object; None when there is nothing."""
    found: Any = one
    for key in path:
        found = cast("Object", found).get(key) if isinstance(found, dict) else None
    return found


def part(one: Mapping[str, Any], *path: str) -> Object:
    """Return the map at a path; an empty one when there is none."""
    return cast("Object", at(one, *path) or {})


def parts(one: Mapping[str, Any], *path: str) -> list[Object]:
    """Return the list at a path; an empty one when there is none."""
    return cast("list[Object]", at(one, *path) or [])


def text(one: Mapping[str, Any], *path: str) -> str:
    """Return the text at a path; empty when there is none."""
    found = at(one, *path)
    return "" if found is None else str(found)


def name_of(one: Mapping[str, Any]) -> str:
    """Return an object's name."""
    return text(one, "metadata", "name")


def kind_of(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return an object's API version and kind."""
    return text(one, "apiVersion"), text(one, "kind")


def is_ready(one: Mapping[str, Any]) -> bool:
    """Say whether a node or a pod calls itself ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in parts(one, "status", "conditions"))

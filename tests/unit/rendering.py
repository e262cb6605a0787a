"""A whole stack on mocks with its secrets in clear, so that tests can look for them: settings of the test's own instead of a file's."""

from collections.abc import Mapping
from typing import Any

from rendering import Resource
from rendering.processes import run

SENTINEL = "generated-secret-"
"""Every generated or given secret's value begins so."""

Registered = Resource


def render(stack: str, said: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> list[Registered]:
    """Return what the stack registers."""
    return run(_registered, stack, dict(said), dict(secrets or {}))


def _registered(stack: str, said: dict[str, Any], secrets: dict[str, str]) -> list[Registered]:
    from rendering.program import registered
    from settings import resolve

    return registered(stack, resolve(stack, said), secrets)

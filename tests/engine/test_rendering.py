"""What `render` says is what the real engine registers."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rendering import SECRET, Resource, render
from tests.engine.project import Project

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that only a provider knows."""
MASKED = "[secret]"
"""How the engine writes a secret."""
GIVEN = "hunter2-Do-Not-Print"


@pytest.mark.parametrize("stack", ["staging", "production", "sandbox"])
def test_what_is_rendered_is_what_the_engine_registers(project: Project, stack: str) -> None:
    project.init(stack)
    ours = {(one.type, one.name): one for one in render(stack, project.folder).resources}
    theirs = {(one["type"], one["urn"].split("::")[-1]): one for one in registered(project, stack)}
    assert set(theirs) == set(ours)
    shown = {name: one.get("inputs") or {} for name, one in theirs.items()}
    differing = {name: list(differences(checked(ours[name], said), said, ())) for name, said in shown.items()}
    assert {name: paths for name, paths in differing.items() if paths and name[0].startswith("kubernetes:")} == {}
    assert sum(leaves(one["inputs"]) for name, one in theirs.items() if name[0].startswith("kubernetes:")) > 1000
    assert {name for name, one in theirs.items() if bool(one.get("protect")) != ours[name].protect} == set()
    assert {name for name, one in theirs.items() if one.get("parent", "").split("::")[-1] != ours[name].parent} == set()


def test_a_human_secret_is_a_placeholder_in_both_and_its_fingerprint_alone_differs(project: Project) -> None:
    project.init("staging")
    project.say("staging", {"app": {"secrets": ["SENTRY_DSN"]}})
    project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "staging", given=GIVEN)
    ours = {one.logical_name: one for one in render("staging", project.folder).resources if one.kind == "Secret"}
    theirs = {one["urn"].split("::")[-1]: one for one in registered(project, "staging") if one["type"].endswith(":Secret")}
    real = next(one for name, one in theirs.items() if name.startswith("app-config-"))
    assert set(ours["app-config"].inputs["stringData"]) >= {"SENTRY_DSN", "DATABASE_URL"}
    assert ours["app-config"].inputs["stringData"]["SENTRY_DSN"] == SECRET
    assert real["inputs"]["stringData"] == MASKED or real["inputs"]["stringData"]["SENTRY_DSN"] == MASKED


def registered(project: Project, stack: str) -> list[dict[str, Any]]:
    """Return what a preview of a new installation registers, but for the stack itself and the provider, which `__main__` makes."""
    preview = project.preview(stack)
    assert preview.code == 0, preview.text
    return [one for one in preview.resources if one["type"] not in ("pulumi:pulumi:Stack", "pulumi:providers:kubernetes")]


def checked(one: Resource, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what we render as the provider checks it: a Secret of which it knows all values has them as `data`."""
    inputs = dict(one.inputs)
    if one.kind == "Secret" and "stringData" not in theirs:
        inputs["data"] = inputs.pop("stringData")
    return inputs


def differences(ours: Any, theirs: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths that differ, where the engine knows a value and shows it."""
    if theirs in (UNKNOWN, MASKED) or (isinstance(theirs, str) and UNKNOWN in theirs):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {*ours, *theirs}:
            yield from differences(ours.get(key), theirs.get(key), (*path, key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, (*path, str(index)))
    # The engine leaves empty maps and lists out.
    elif ours != theirs and (ours or theirs):
        yield f"{'.'.join(path)}: {ours!r} is {theirs!r}"


def leaves(said: Any) -> int:
    """Return how many values the engine shows."""
    if isinstance(said, dict):
        return sum(map(leaves, said.values()))
    if isinstance(said, list):
        return sum(map(leaves, said))
    return said not in (UNKNOWN, MASKED)

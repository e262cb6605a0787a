"""How layers become one frozen tree, and everything that is wrong with them one list of sentences.

Code defaults <- product.yaml (what all stacks share) <- settings/tiers/<tier>.yaml <- Pulumi.<stack>.yaml.
Maps merge, lists replace, a nested null deletes, `where: none` turns a component off. A tier sizes what the product has and adds nothing.
"""

import json
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, cast

from pydantic import ValidationError

from settings import (
    alerts,
    canary,
    capacity,
    edge_checks,
    elasticsearch_checks,
    external,
    grafana,
    logs,
    metrics_checks,
    neighbours,
    own_files,
    restart,
    rotation,
    wiring,
)
from settings.errors import SettingsError
from settings.layers import PROJECT, Layer, layers_of, merge, merged, stack_document
from settings.messages import problem_of, unknown_keys
from settings.problems import Path, Problem
from settings.reading import Tree, nested_secret
from settings.stack import Settings

__all__ = ["PROJECT", "ROOT", "Resolution", "load", "merge", "read_stack_file", "resolution", "resolve"]

ROOT = File(__file__).resolve().parent.parent
_LABEL = 63
"""Characters that a namespace's name, and the value of a label, may have."""
_STAND_INS: Tree = {"product": "product", "tier": "staging", "cluster": {"identifier": "unknown"}}
"""What has no default, while the rest is checked."""
_ROUNDS = 4


@dataclass(frozen=True)
class Resolution:
    """A stack's settings, and the layers that they come from."""

    settings: Settings
    layers: list[Layer]
    """Lowest first."""


def load(stack: str, config: Mapping[str, str], root: File = ROOT, secret_keys: Container[str] = ()) -> Settings:
    """Return the settings of `stack` from the engine's configuration: flat keys, objects as JSON text.

    Raises SettingsError with everything that is wrong, before anything is registered. Secrets' values are not looked at;
    `secret_keys` are the keys that the engine holds to be secret.
    """
    ours = [key for key in config if key in Settings.model_fields]
    nested = [key for key in ours if key in secret_keys]
    if nested:
        raise SettingsError([f"Pulumi.{stack}.yaml: {key}: {nested_secret((key, 'NAME'))}" for key in nested])
    said = {key: _value(key, config[key]) for key in ours}
    return resolve(stack, said, [key for key in config if key not in said], root)


def resolve(stack: str, said: Mapping[str, Any], others: Iterable[str] = (), root: File = ROOT) -> Settings:
    """Return the settings of `stack` from what its file says, and check that `others`, its remaining keys, are secrets it needs."""
    return resolution(stack, said, others, root).settings


def resolution(stack: str, said: Mapping[str, Any], others: Iterable[str] = (), root: File = ROOT) -> Resolution:
    """Return what `resolve` does, with the layers; SettingsError has every problem, ordered as they were found."""
    layers = layers_of(stack, said, root)
    found = [problem for layer in layers for problem in layer.problems]
    if any(problem.path and len(problem.path) > 20 for problem in found):
        # So deep that merging would not end well.
        raise _refused(found, layers)
    tree = merged(layers)
    # So that what is missing is named by its key: the identifier, which nothing can stand in for.
    tree.setdefault("cluster", {})
    if any(problem.path == ("tier",) for problem in found):
        tree["tier"] = _STAND_INS["tier"]
    settings, wrong = _validated(tree, layers[-1].name)
    found += wrong
    found += unknown_keys(others, settings.known_secrets() if settings and not wrong else None)
    if settings:
        paths = [problem.path for problem in found]
        beside = [*neighbours.problems(stack, settings, layers, root), *own_files.problems(settings, root)]
        unfit = [*_cross_checks(settings), *beside, *_unfit_names(stack, settings)]
        found += [problem for problem in unfit if not problem.touches(paths)]
    if settings is None or found:
        raise _refused(found, layers)
    return Resolution(settings, layers)


def read_stack_file(file: File, root: File | None = None) -> tuple[Tree, list[str]]:
    """Return what a Pulumi.<stack>.yaml says of Switchyard: values by top-level key, and the names of its other keys.

    SettingsError when something in it can not be taken: with that everything else that is wrong with the stack.
    """
    document = stack_document(file)
    if not document.problems:
        return document.values, document.others
    alone = [Layer(file, {}, file.name, known_lines={})]
    sentences = [problem.sentence(alone) for problem in document.problems]
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    try:
        resolve(stack, document.values, document.others, root or (file.parent if (file.parent / "product.yaml").is_file() else ROOT))
    except SettingsError as error:
        names = [".".join(map(str, problem.path)) for problem in document.problems]
        sentences += [text for text in error.problems if not any(f": {name}" in text for name in names) and text not in sentences]
    raise SettingsError(sentences)


def _validated(tree: Tree, own_file: str) -> tuple[Settings | None, list[Problem]]:
    """Return the settings, or as much of them as can be had when keys that are wrong are left out, and what is wrong."""
    found: list[Problem] = []
    for _ in range(_ROUNDS):
        try:
            return Settings.model_validate(tree), found
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True)
            # Later rounds only fail for what was left out in earlier ones.
            found = found or [problem_of(detail, own_file) for detail in details]
            for detail in details:
                missing = detail["type"] == "missing"
                tree = _without(tree, tuple(part for part in detail["loc"] if part != "[key]"), missing)
    return None, found


def _without(tree: Tree, path: Path, missing: bool) -> Tree:
    """Return a copy of `tree` that lacks what an error is about: a wrong value, or the map that lacks a key."""
    if path[:1] and path[0] in _STAND_INS and (len(path) == 1 or path == ("cluster", "identifier")):
        below = tree.get(str(path[0]))
        stand_in = _STAND_INS[str(path[0])]
        return {**tree, str(path[0]): {**cast("Tree", below), **stand_in} if len(path) > 1 and isinstance(below, dict) else stand_in}
    path = path[:-1] if missing else path
    listed = next((index for index, part in enumerate(path) if isinstance(part, int)), None)
    return _cut(tree, path[:listed] if listed is not None else path)


def _cut(tree: Any, path: Path) -> Any:
    if not path or not isinstance(tree, dict) or path[0] not in tree:
        return cast("Any", tree)
    members = cast("dict[Any, Any]", tree)
    if len(path) == 1:
        return {key: value for key, value in members.items() if key != path[0]}
    return {**members, path[0]: _cut(members[path[0]], path[1:])}


def _cross_checks(settings: Settings) -> list[Problem]:
    checks = (
        wiring,
        external,
        capacity,
        elasticsearch_checks,
        logs,
        metrics_checks,
        grafana,
        alerts,
        canary,
        restart,
        edge_checks,
        rotation,
    )
    return [problem for check in checks for problem in check.problems(settings)]


def _refused(found: list[Problem], layers: list[Layer]) -> SettingsError:
    return SettingsError(list(dict.fromkeys(problem.sentence(layers) for problem in found)))


def _unfit_names(stack: str, settings: Settings) -> list[Problem]:
    """Return a problem for each name made of the stack's that Kubernetes would refuse: stacks may have dots, capitals, 100 characters."""
    namespace = settings.namespace_of(stack)
    reads: tuple[Path, ...] = (("product",),)
    if len(namespace) > _LABEL or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", namespace):
        reason = f"{namespace!r}, made of the stack's name, is none for Kubernetes; set another one with `namespace:`"
        return [Problem(("namespace",), reason, reads=reads)]
    owner = settings.owner_of(stack)
    if len(owner) > _LABEL or not re.fullmatch(r"[a-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", owner):
        reason = (
            f"with the stack's name it makes {owner!r}, which is no label for Kubernetes; give it a shorter name that ends with a letter"
        )
        return [Problem(("product",), reason, reads=reads)]
    return []


def _value(key: str, text: str) -> Any:
    """Undo the engine's flattening: it hands objects over as JSON text, and scalars as they stand."""
    if text[:1] in ("{", "["):
        # A plain string may begin so as well; it is then refused for its type, by its name.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if Settings.model_fields[key].annotation is bool and text in ("true", "false"):
        return text == "true"
    return text or None

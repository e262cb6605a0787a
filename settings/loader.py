"""The layers of a stack's settings, and how they become one frozen tree.

Code defaults <- product.yaml (what all stacks share) <- settings/tiers/<tier>.yaml <- Pulumi.<stack>.yaml.
Maps merge, lists replace, a nested null deletes, `where: none` turns a component off. A tier sizes what the product has and adds nothing.
"""

import contextlib
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from settings.errors import SettingsError
from settings.stack import Settings, Tier

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "switchyard"

Tree = dict[str, Any]

_NAMED = ("web", "sidekiq", "processes", "schedules", "redis")
"""Settings that are maps by names of the product's own choice."""
_LABEL = 63
"""Characters that a namespace's name, and the value of a label, may have."""

_EXPECTED = {
    "model_type": "expected a map of settings",
    "dict_type": "expected a map",
    "list_type": "expected a list",
    "string_type": "expected text; put quotes around a number",
    "int_type": "expected a whole number, without quotes",
    "float_type": "expected a number, without quotes",
    "bool_type": "expected true or false",
}
"""What the settings library says too technically, by type of error."""


@dataclass(frozen=True)
class Layer:
    """One source of settings: a file and what it says."""

    file: Path
    values: Tree

    def line(self, path: tuple[str | int, ...]) -> int | None:
        """Return the line of the file, counted from 1, that says `path`; None when it can not be had."""
        if not self.file.is_file():
            return None
        node: Any = _compose(self.file.read_text())
        prefix = ("config", f"{PROJECT}:{path[0]}") if self.file.name.startswith("Pulumi.") else path[:1]
        return _line(node, (*prefix, *path[1:]))


def layers_of(stack: str, said: Mapping[str, Any], root: Path = ROOT) -> list[Layer]:
    """Return the layers of `stack`, lowest first; `said` is what its own file says, by top-level key."""
    layers = [_file(root / "product.yaml")]
    tier = said.get("tier") or layers[0].values.get("tier")
    if tier not in get_args(Tier):
        expected = ", ".join(get_args(Tier))
        raise SettingsError([f"Pulumi.{stack}.yaml: tier: {tier!r} is no tier; expected one of {expected}"])
    layers.append(_file(root / "settings" / "tiers" / f"{tier}.yaml"))
    return [*layers, Layer(root / f"Pulumi.{stack}.yaml", dict(said))]


def load(stack: str, config: Mapping[str, str], root: Path = ROOT) -> Settings:
    """Return the settings of `stack` from the engine's configuration: flat keys, objects as JSON text.

    Raises SettingsError with everything that is wrong, before anything is registered. Secrets' values are not looked at.
    """
    fields = Settings.model_fields
    said = {key: _value(key, text) for key, text in config.items() if key in fields}
    others = [key for key in config if key not in fields]
    return resolve(stack, said, others, root)


def resolve(stack: str, said: Mapping[str, Any], others: Iterable[str] = (), root: Path = ROOT) -> Settings:
    """Return the settings of `stack` from what its file says, and check that `others`, its remaining keys, are secrets it needs."""
    layers = layers_of(stack, said, root)
    merged: Tree = {}
    for values in _known_to_the_product(layers):
        merged = merge(merged, values)
    merged["web"] = _without_none(merged.get("web"))
    # So that what is missing is named by its key: the identifier, which nothing can stand in for.
    merged["cluster"] = _without_none(merged.get("cluster"))
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems = [_sentence(detail, layers) for detail in error.errors(include_url=False)]
        raise SettingsError(problems + _unknown(stack, others, None)) from None
    if unknown := _unknown(stack, others, settings.secret_names()):
        raise SettingsError(unknown)
    if unfit := _unfit_names(stack, settings):
        raise SettingsError(unfit)
    return settings


def merge(low: Tree, high: Mapping[str, Any]) -> Tree:
    """Return `low` overlaid with `high`: maps merge, lists and scalars replace, null deletes."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(cast("Tree", below) if isinstance(below, dict) else {}, cast("Tree", value))
        else:
            merged[key] = value
    return merged


def read_stack_file(file: Path) -> tuple[Tree, list[str]]:
    """Return what a Pulumi.<stack>.yaml says of Switchyard: values by top-level key, and the names of its other keys."""
    document = _yaml(file)
    config: Tree = {
        key.removeprefix(f"{PROJECT}:"): value for key, value in cast("Tree", document.get("config") or {}).items() if _ours(key)
    }
    said = {key: value for key, value in config.items() if key in Settings.model_fields}
    return said, [key for key in config if key not in said]


def _known_to_the_product(layers: list[Layer]) -> list[Tree]:
    """Return what the layers say; of the tier nothing about a process or Redis that neither product nor stack names."""
    product, tier, own = (layer.values for layer in layers)
    kept = dict(tier)
    for group in _NAMED:
        said = tier.get(group)
        if isinstance(said, dict):
            known = _names(product.get(group)) | _names(own.get(group))
            kept[group] = {name: value for name, value in cast("Tree", said).items() if name in known}
    return [product, kept, own]


def _names(group: Any) -> set[str]:
    return set(cast("Tree", group)) if isinstance(group, dict) else set()


def _unfit_names(stack: str, settings: Settings) -> list[str]:
    """Return a sentence for each name made of the stack's that Kubernetes would refuse: stacks may have dots, capitals, 100 characters."""
    file = f"Pulumi.{stack}.yaml"
    namespace = settings.namespace or f"{settings.product}-{stack}"
    if len(namespace) > _LABEL or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", namespace):
        return [f"{file}: namespace: {namespace!r}, made of the stack's name, is none for Kubernetes; set another one with `namespace:`"]
    owner = f"{settings.product}.{stack}"
    if len(owner) > _LABEL or not re.fullmatch(r"[a-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", owner):
        return [f"{file}: {owner!r} is no label for Kubernetes; give the stack a name that ends with a letter and is shorter"]
    return []


def _ours(key: str) -> bool:
    return key.startswith(f"{PROJECT}:")


def _without_none(value: Any) -> Any:
    return {} if value is None else value


def _file(file: Path) -> Layer:
    return Layer(file, _yaml(file))


def _yaml(file: Path) -> Tree:
    try:
        document: Any = yaml.safe_load(file.read_text()) or {}
    except OSError as error:
        raise SettingsError([f"{file.name}: can not be read: {error.strerror}"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([f"{file.name}: is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(document, dict):
        raise SettingsError([f"{file.name}: expected a map of settings"])
    return cast("Tree", document)


def _value(key: str, text: str) -> Any:
    """Undo the engine's flattening: it hands objects over as JSON text, and scalars as they stand."""
    if text[:1] in ("{", "["):
        # A plain string may begin so as well; it is then refused for its type, by its name.
        with contextlib.suppress(ValueError):
            return json.loads(text)
    if Settings.model_fields[key].annotation is bool and text in ("true", "false"):
        return text == "true"
    return text or None


def _line(node: Any, path: tuple[str | int, ...]) -> int | None:
    line: int | None = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = cast("list[tuple[Any, Any]]", node.value)
            found = next(((key, value) for key, value in pairs if key.value == str(part)), None)
            if found is None:
                return None
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = cast("list[Any]", node.value)[part]
            line = node.start_mark.line + 1
        else:
            return None
    return line


def _sentence(detail: ErrorDetails, layers: list[Layer]) -> str:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    where = f"{_source(path, layers)}{'.'.join(map(str, path))}" if path else "settings"
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key{_nearest(str(path[-1]), _keys_beside(path))}"
    if detail["type"] == "missing":
        return f"{where}: is missing; set it in {layers[-1].file.name}"
    reason = _EXPECTED.get(detail["type"]) or _reason(detail["msg"])
    # Where the name of a secret belongs, people write the secret itself.
    hidden = isinstance(value, (dict, list, BaseModel)) or not {"password", "secrets"}.isdisjoint(path)
    shown = "" if hidden else f"{value!r}: "
    return f"{where}: {shown}{reason}"


def _reason(message: str) -> str:
    """Return the settings library's message in our words."""
    message = message.removeprefix("Value error, ")
    for theirs, ours in _WORDS.items():
        if message.startswith(theirs):
            return ours + message.removeprefix(theirs)
    return f"{message[:1].lower()}{message[1:]}"


def _source(path: tuple[str | int, ...], layers: list[Layer]) -> str:
    for layer in reversed(layers):
        for depth in range(len(path), 0, -1):
            if not _says(layer.values, path[:depth]):
                continue
            if depth < len(path) and layer is not layers[0] and depth < 2:
                break
            line = layer.line(path[:depth])
            return f"{layer.file.name}{f':{line}' if line else ''}: "
    return ""


_compose: Callable[[str], Any] = yaml.compose  # pyright: ignore[reportUnknownMemberType]


def _says(tree: Any, path: tuple[str | int, ...]) -> bool:
    for part in path:
        members: Any = dict(enumerate(cast("list[Any]", tree))) if isinstance(tree, list) else tree
        if not isinstance(members, dict) or part not in members:
            return False
        tree = cast("dict[str | int, Any]", members)[part]
    return True


def _keys_beside(path: tuple[str | int, ...]) -> list[str]:
    model: Any = Settings
    named = False
    for part in path[:-1]:
        if named:
            # A name in a map (web.<name>): the model of its values was taken already.
            named = False
            continue
        field = model.model_fields.get(str(part)) if model else None
        named = field is not None and get_origin(field.annotation) is dict
        model = _inner(field.annotation) if field else None
    return list(model.model_fields) if model else []


def _inner(annotation: Any) -> Any:
    """Return the model inside an annotation such as dict[str, Web] or FileHealth | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _inner(argument))), None)


def _nearest(key: str, keys: list[str]) -> str:
    close = difflib.get_close_matches(key, keys, 1, 0.5)
    if close:
        return f' - did you mean "{close[0]}"?'
    return f"; expected one of {', '.join(keys)}" if keys else ""


_WORDS = {
    "Input should be greater": "expected a number greater",
    "Input should be less": "expected a number less",
    "Input should be ": "expected ",
    "String should match": "expected text that matches",
    "List should have": "expected a list of",
}
"""How the settings library begins its messages, and how we do."""


def _unknown(stack: str, others: Iterable[str], secrets: list[str] | None) -> list[str]:
    """Return a sentence for each of `others` that is no secret of the stack; None: it is not known which ones are."""
    keys = [*Settings.model_fields, *(secrets or [])]
    # Config vars are written in capitals: without valid settings it can not be said which of them belong.
    unknown = [key for key in others if key not in keys and not (secrets is None and key.isupper())]
    return [f"Pulumi.{stack}.yaml: {key}: {_why_unknown(key, keys)}" for key in unknown]


def _why_unknown(key: str, keys: list[str]) -> str:
    if key.isupper() and not difflib.get_close_matches(key, keys, 1, 0.5):
        return "no part of the stack asks for this secret; a secret config var is named under app.secrets"
    return f"unknown key{_nearest(key, keys)}"

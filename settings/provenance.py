"""Where each value of a stack's settings comes from: the layer that says it, and those that it overrode."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from settings.layers import Layer, history
from settings.messages import model_in
from settings.problems import Path, dotted
from settings.stack import Settings

DEFAULT = "code default"
"""The lowest layer."""


@dataclass(frozen=True)
class Origin:
    """What one layer says of a key."""

    layer: str
    """A file, or `code default`."""
    line: int | None
    value: Any
    """None where a layer deletes what those below say."""

    @property
    def place(self) -> str:
        """The layer as people look it up: settings/tiers/small.yaml:4."""
        return f"{self.layer}:{self.line}" if self.line else self.layer


@dataclass(frozen=True)
class Effective:
    """One setting: its value, and the layers that say it."""

    path: Path
    value: Any
    origins: tuple[Origin, ...]
    """Highest first; the first is the one that counts."""

    @property
    def key(self) -> str:
        """Its path as people write it."""
        return dotted(self.path)

    @property
    def origin(self) -> Origin:
        """The layer that counts."""
        return self.origins[0]

    @property
    def overridden(self) -> tuple[Origin, ...]:
        """The layers below that say something else, or the same in vain; the highest first."""
        return self.origins[1:]


def explain(settings: Settings, layers: Sequence[Layer]) -> list[Effective]:
    """Return every effective setting in the order of the reference: each leaf, a list being one."""
    return [Effective(path, value, tuple(_origins(path, layers))) for path, value in leaves(settings.model_dump(mode="json"))]


def leaves(tree: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each value that is no map, and each empty map, with its path."""
    if isinstance(tree, dict) and (tree or not above):
        for key, value in cast("dict[str, Any]", tree).items():
            yield from leaves(value, (*above, key))
    else:
        yield above, tree


def default_of(path: Path) -> Any:
    """Return what the code says of a key when no layer does; PydanticUndefined when it says nothing."""
    model: type[BaseModel] | None = Settings
    inside: Any = None
    value: Any = PydanticUndefined
    named = False
    for part in path:
        if named or model is None:
            # A name of the product's own choice: the code knows what it holds, but not the name.
            value, inside, named = PydanticUndefined, None, False
            continue
        field = model.model_fields[str(part)]
        value = getattr(inside, str(part)) if inside is not None else field.get_default(call_default_factory=True)
        named = get_origin(field.annotation) is dict
        model = model_in(field.annotation)
        inside = value if isinstance(value, BaseModel) else None
    return value


def _origins(path: Path, layers: Sequence[Layer]) -> Iterator[Origin]:
    said = [Origin(one.layer.name, one.line, one.value) for one in reversed(history(path, layers))]
    default = default_of(path)
    if default is not PydanticUndefined or not said:
        code = Origin(DEFAULT, None, None if default is PydanticUndefined else _plain(default))
        # A null on top brings the code's default back.
        said = [code, *said] if said and said[0].value is None else [*said, code]
    yield from said


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def written(value: Any) -> str:
    """Return a value in one line, as YAML's flow style takes it."""
    return json.dumps(value, ensure_ascii=False) if value is not None else "null"

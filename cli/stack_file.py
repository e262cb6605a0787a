"""Writing one value into a YAML file that people wrote: everything else, comments and quotes included, stays as it is."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import yaml

from tools.errors import UserError

INDENT = 2

_compose: Callable[[str], Any] = yaml.compose  # pyright: ignore[reportUnknownMemberType]


def with_value(text: str, path: Sequence[str], value: str | bool | int) -> str:
    """Return `text` with the value at `path`, a chain of keys; UserError when the file is written so that this can not be done."""
    node = _compose(text)
    changed = _changed(text, node, path, value) if isinstance(node, yaml.MappingNode) else _block(path, value, 0) + "\n" + text
    wanted: Any = yaml.safe_load(changed)
    for key in path:
        wanted = cast("dict[str, Any]", wanted).get(key) if isinstance(wanted, dict) else None
    if wanted != value:
        raise UserError(f"{'.'.join(path)} can not be written into the file as it stands: set it there by hand, to {value}")
    return changed


def _changed(text: str, node: yaml.MappingNode, path: Sequence[str], value: str | bool | int) -> str:
    pairs = cast("list[tuple[Any, Any]]", node.value)
    found = next((inner for key, inner in pairs if key.value == path[0]), None)
    if found is None:
        return _added(text, node, path, value)
    if len(path) > 1 and isinstance(found, yaml.MappingNode):
        return _changed(text, found, path[1:], value)
    said = _scalar(value) if len(path) == 1 else _flow(path[1:], value)
    start, end = found.start_mark.index, found.end_mark.index
    return f"{text[:start]}{'' if text[start - 1 : start].isspace() else ' '}{said}{text[end:]}"


def _added(text: str, node: yaml.MappingNode, path: Sequence[str], value: str | bool | int) -> str:
    if node.flow_style:
        at = node.start_mark.index + 1
        return f"{text[:at]}{_flow(path, value)[1:-1]}{', ' if node.value else ''}{text[at:]}"
    first, last = node.value[0][0], node.value[-1][1]
    line_end = text.find("\n", max(_end(last) - 1, 0))
    at = len(text) if line_end < 0 else line_end
    return f"{text[:at]}\n{_block(path, value, first.start_mark.column)}{text[at:]}"


def _end(node: Any) -> int:
    """Return where a node's text ends; that of a block would take in the comments after it."""
    if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not node.flow_style and node.value:
        last: Any = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _block(path: Sequence[str], value: str | bool | int, column: int) -> str:
    lines = [f"{' ' * (column + INDENT * depth)}{_scalar(key)}:" for depth, key in enumerate(path)]
    return "\n".join(lines) + f" {_scalar(value)}"


def _flow(path: Sequence[str], value: str | bool | int) -> str:
    inner = _scalar(value)
    for key in reversed(path):
        inner = f"{{{_scalar(key)}: {inner}}}"
    return inner


def _scalar(text: str | bool | int) -> str:
    """Return text as YAML: as it is where that can not be misread."""
    if not isinstance(text, str):
        return json.dumps(text)
    return text if re.fullmatch(r"[A-Za-z0-9][\w./@:-]*\w", text) and yaml.safe_load(text) == text else json.dumps(text)

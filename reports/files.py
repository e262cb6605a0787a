"""Configuration files as data: what can be read as a map is compared key by key, anything else line by line."""

import json
import re
from functools import lru_cache
from typing import Any, cast

import yaml

_SETTING = re.compile(r"\s*([A-Za-z][\w.\-]*)(?:\s*=\s*|[ \t]+)(\S.*?)\s*")


@lru_cache(maxsize=512)
def parsed(name: str, text: str) -> Any:
    """Return a file as data by its name's ending: YAML, JSON, or `key value` lines; its text when it is none of them.

    Kept, because stacks of a fleet have the same files: the data are not to be changed.
    """
    ending = name.rsplit(".", 1)[-1].lower()
    if ending in ("yml", "yaml", "json"):
        return _structured(text, ending)
    if ending in ("conf", "cnf", "ini", "properties"):
        return _settings(text) or text
    return text


def _structured(text: str, ending: str) -> Any:
    try:
        made: Any = json.loads(text) if ending == "json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text
    return cast("Any", made) if isinstance(made, (dict, list)) else text


def _settings(text: str) -> dict[str, str] | None:
    """Return `key value` or `key = value` lines as a map; None when a line is anything else, or says a key again."""
    made: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _SETTING.fullmatch(line)
        if not match or match[1] in made:
            return None
        made[match[1]] = match[2]
    return made

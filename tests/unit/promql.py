"""The names of the metrics that a query asks for: all that is left of it without text, labels, functions and words of the language."""

import re

_WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "nan",
    "start",
    "end",
}
_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?!\s*\()(?![A-Za-z0-9_:])")


def metrics_of(query: str) -> set[str]:
    """Return the names of the metrics of a query that parses."""
    bare = re.sub(r"\{[^{}]*\}|\[[^\]]*\]", " ", _TEXT.sub('""', query))
    bare = re.sub(r"\b[0-9][0-9a-zA-Z.]*", " ", _LABELS.sub(" ", bare))
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}

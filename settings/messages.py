"""What the settings library has against a value, in our words."""

import difflib
import json
import re
import shlex
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from settings.problems import NO_VALUE, Path, Problem, hidden
from settings.stack import Settings

_EXPECTED = {
    "model_type": "expected a map of settings",
    "dict_type": "expected a map",
    "list_type": "expected a list",
    "string_type": "expected text; put quotes around a number",
    "string_unicode": "expected text that is valid Unicode",
    "int_type": "expected a whole number, without quotes",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number, without quotes",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false, without quotes",
}
"""What the settings library says too technically, by type of error."""
_WORDS = {
    "Value error, ": "",
    "Input should be greater": "expected a number greater",
    "Input should be less": "expected a number less",
    "Input should be ": "expected ",
    "String should match": "expected text that matches",
    "String should have": "expected text of",
    "List should have": "expected a list of",
}
"""How the settings library begins its messages, and how we do."""
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z./][\w./-]*|--?[A-Za-z][\w-]*", re.IGNORECASE | re.ASCII)
"""Words that YAML takes for text as they stand."""
_FOR_A_SHELL = re.compile(r"[|&;<>$`*\n]")
_WHY_MANDATORY: dict[Path, str] = {
    (
        "cluster",
        "identifier",
    ): "the cluster's lasting name, of your own choice, such as company-production. Without one a changed kubeconfig "
    "would look like another cluster, and every resource would be deleted and made again",
    ("product",): "the product's short name, such as lamp",
}
"""What to say of a key that has no default and that people will not expect."""


def problem_of(detail: ErrorDetails, own_file: str) -> Problem:
    """Return one error of the settings library as a problem."""
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key{nearest(str(path[-1]), keys_beside(path))}")
    if kind == "missing":
        why = _WHY_MANDATORY.get(path)
        return Problem(path, f"is missing; set it in {own_file}{f': {why}' if why else ''}")
    value: object = detail["input"]
    if path == ("cluster", "identifier") and value == "":
        return Problem(path, f"is empty: {_WHY_MANDATORY[path]}")
    reason = _EXPECTED.get(kind) or _reason(detail["msg"])
    if kind == "list_type" and path[-1] == "command":
        reason += f" of words such as {_words_of('' if hidden(path, value) else str(value))}"
    if kind == "literal_error" and isinstance(value, str):
        close = difflib.get_close_matches(value, str(detail.get("ctx", {}).get("expected", "")).replace("'", " ").split(), 1, 0.5)
        reason += f" - did you mean '{close[0]}'?" if close else ""
    return Problem(path, reason, NO_VALUE if isinstance(value, BaseModel) else value)


def _words_of(command: str) -> str:
    """Return a command line as the list that it should have been, in YAML; what needs a shell with its shell."""
    try:
        words = ["sh", "-c", command] if _FOR_A_SHELL.search(command) else shlex.split(command)
    except ValueError:
        words = []
    quoted = [word if _PLAIN.fullmatch(word) else json.dumps(word, ensure_ascii=False) for word in words or ["bundle", "exec", "puma"]]
    return f"[{', '.join(quoted)}]"


def nearest(key: str, keys: list[str]) -> str:
    """Return the ending of a sentence about an unknown key: the nearest valid one, or all there are."""
    close = difflib.get_close_matches(key, keys, 1, 0.5)
    if close:
        return f' - did you mean "{close[0]}"?'
    return f"; expected one of {', '.join(keys)}" if keys else ""


def unknown_keys(others: Iterable[str], secrets: list[str] | None) -> list[Problem]:
    """Return a problem for each of `others` that is no secret of the stack; None: it is not known which ones are."""
    keys = [*Settings.model_fields, *(secrets or [])]
    # Config vars are written in capitals: without valid settings it can not be said which of them belong.
    unknown = [key for key in others if key not in keys and not (secrets is None and key.isupper())]
    return [Problem((key,), _why_unknown(key, keys)) for key in unknown]


def keys_beside(path: Path) -> list[str]:
    """Return the keys that are valid where the last part of `path` stands."""
    model: Any = Settings
    named = False
    for part in path[:-1]:
        if named or isinstance(part, int):
            # A name in a map (web.<name>): the model of its values was taken already.
            named = False
            continue
        field = model.model_fields.get(str(part)) if model else None
        named = field is not None and get_origin(field.annotation) is dict
        model = model_in(field.annotation) if field else None
    return list(model.model_fields) if model else []


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as dict[str, Web] or FileHealth | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := model_in(argument))), None)


def _reason(message: str) -> str:
    for theirs, ours in _WORDS.items():
        if message.startswith(theirs):
            return ours + message.removeprefix(theirs).replace(" after validation", "")
    return f"{message[:1].lower()}{message[1:]}"


def _why_unknown(key: str, keys: list[str]) -> str:
    if key.isupper() and not difflib.get_close_matches(key, keys, 1, 0.5):
        return "no part of the stack asks for this secret; a secret config var is named under app.secrets"
    return f"unknown key{nearest(key, keys)}"

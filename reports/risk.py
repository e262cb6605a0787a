"""What a preview would do, sorted by what may go wrong with it. Reads `pulumi preview --json`; asks nobody."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from reports.keeping import keeps
from reports.ports import Object, opened

SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key of a secret value where the engine was told to show secrets (sdk/go/common/resource/sig)."""
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for a value that only the update will know."""
MASKED = ("[secret]", "<secret>")

LONGEST_VALUE = 100
HIDDEN = "<secret>"

CONSUMER = "switchyard:index:Consumer$"
GENERATED = re.compile(r"random:index/random(Password|Bytes|String)|tls:index/")
"""Pulumi types of what a stack generates and keeps secret; a certificate counts, since clients trust it."""
NO_CHANGE = ("same", "read", "refresh", "discard-replaced", "remove-pending-replace")
OF_A_REPLACEMENT = {"create-replacement": "replace", "delete-replaced": "replace"}


class Risk(StrEnum):
    """What may go wrong, worst first."""

    DATA = "replaces a volume or deletes data"
    CONSUMER = "restarts the consumer"
    PORT = "opens a port"
    SECRET = "changes a secret"
    REST = "the rest"


@dataclass(frozen=True)
class Field:
    """A field that changes. Secret values are hidden; a value that is not there, or not to be had, is empty."""

    path: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Change:
    """One resource that changes, under its worst risk."""

    urn: str
    kind: str
    name: str
    op: str
    """create, update, replace, delete, or import."""
    risk: Risk
    also: tuple[Risk, ...] = ()
    """The lesser risks that it has as well."""
    opens: tuple[str, ...] = ()
    """What it opens, one phrase each."""
    fields: tuple[Field, ...] = ()


def classify(steps: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return what the steps of a preview change, worst first; components and what stays the same are left out."""
    changes = {step["urn"]: _change(step) for step in steps if step["op"] not in NO_CHANGE and _state(step).get("custom")}
    order = list(Risk)
    return sorted(changes.values(), key=lambda change: (order.index(change.risk), change.kind, change.name))


def _state(step: Mapping[str, Any]) -> Object:
    return cast("Object", step.get("newState") or step.get("oldState") or {})


def _inputs(step: Mapping[str, Any], which: str) -> Object | None:
    state = cast("Object | None", step.get(which))
    return cast("Object", state.get("inputs") or {}) if state else None


def _change(step: Mapping[str, Any]) -> Change:
    op = OF_A_REPLACEMENT.get(str(step["op"]), str(step["op"]))
    before, after = _inputs(step, "oldState"), _inputs(step, "newState")
    if op == "delete":
        after = None
    kind = str(_state(step)["type"]).rpartition(":")[2]
    opens = tuple(opened(kind, before, after)) if str(_state(step)["type"]).startswith("kubernetes:") else ()
    fields = tuple(_fields(step, before, after)) if op in ("update", "replace", "import") else ()
    risks = [risk for risk, has in _risks(step, kind, op, fields, bool(opens)).items() if has] or [Risk.REST]
    return Change(step["urn"], kind, _name(step), op, risks[0], tuple(risks[1:]), opens, fields)


def _risks(step: Mapping[str, Any], kind: str, op: str, fields: Sequence[Field], opens: bool) -> dict[Risk, bool]:
    urn, told = str(step["urn"]), str(_state(step)["type"])
    restarts = op in ("replace", "delete") or any(field.path.startswith("spec.template") for field in fields)
    secret = (kind == "Secret" and told.startswith("kubernetes:")) or bool(GENERATED.match(told))
    return {
        Risk.DATA: _loses(step, op) or (told.startswith("kubernetes:") and _will_lose(kind, fields)),
        Risk.CONSUMER: CONSUMER in urn and kind == "Deployment" and restarts and op != "create",
        Risk.PORT: opens,
        Risk.SECRET: secret,
    }


def _loses(step: Mapping[str, Any], op: str) -> bool:
    """Say whether `sy up` would refuse the step; what is kept when it is deleted is named all the same, since nothing manages it then."""
    return op in ("delete", "replace") and keeps(str(step["urn"]))


def _will_lose(kind: str, fields: Sequence[Field]) -> bool:
    """Say whether volumes that outlived their StatefulSet, or their claim, will not any more."""
    deletes = [field for field in fields if "Delete" in field.after]
    policies = {"StatefulSet": "persistentVolumeClaimRetentionPolicy", "PersistentVolume": "persistentVolumeReclaimPolicy"}
    return kind in policies and any(policies[kind] in field.path for field in deletes)


def _name(step: Mapping[str, Any]) -> str:
    """Return the name in the cluster where it is known, or else the resource's own."""
    metadata = (_inputs(step, "newState") or _inputs(step, "oldState") or {}).get("metadata")
    name = cast("Object", metadata).get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name not in (UNKNOWN, *MASKED) else str(step["urn"]).rpartition("::")[2]


def _fields(step: Mapping[str, Any], before: Object | None, after: Object | None) -> Iterator[Field]:
    """Return the fields that differ, and those of which only the engine knows that they do."""
    # A provider's kubeconfig may be the text of one.
    secret = bool(re.match(rf"{GENERATED.pattern}|kubernetes:.*:Secret$|pulumi:providers:", _state(step)["type"]))
    found = list(differences(before or {}, after or {}))
    for path, old, new in found:
        hide = secret and not path.startswith(("metadata", "keepers"))
        yield Field(path, HIDDEN if hide and old is not None else shown(old), HIDDEN if hide and new is not None else shown(new))
    seen = [path for path, _, _ in found]
    for path in _told(step):
        if not any(_same_field(path, one) for one in seen):
            yield Field(path)


def _told(step: Mapping[str, Any]) -> list[str]:
    """Return the paths that the engine names; secrets that differ look alike, and what drifted is in no input."""
    detailed = cast("dict[str, object]", step.get("detailedDiff") or {})
    reasons = [str(path) for key in ("diffReasons", "replaceReasons") for path in cast("list[object]", step.get(key) or [])]
    return list(dict.fromkeys(detailed or reasons))


def _same_field(path: str, other: str) -> bool:
    """Say whether one path leads to the other or through it; a list's elements may be named in one and counted in the other."""
    a, b = (re.sub(r"\[[^\]]*\]", "", one) for one in (path, other))
    return a == b or a.startswith((f"{b}.", f"{b}[")) or b.startswith((f"{a}.", f"{a}["))


def differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Return what differs between two values as (path, before, after); None is what is not there."""
    if before == after:
        return
    old, new = _children(before, after)
    if not old and not new:
        yield path or "value", before, after
        return
    for key in dict.fromkeys([*old, *new]):
        yield from differences(old.get(key), new.get(key), _inside(path, key))


def _inside(path: str, key: str) -> str:
    if key.startswith("["):
        return f"{path}{key}"
    if "." in key or "/" in key:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _children(before: object, after: object) -> tuple[dict[str, object], dict[str, object]]:
    """Return the parts of two values that can be compared one by one; nothing when they can not."""
    if isinstance(before, dict) and isinstance(after, dict) and SECRET_SIGNATURE not in before and SECRET_SIGNATURE not in after:
        return cast("dict[str, object]", before), cast("dict[str, object]", after)
    if isinstance(before, list) and isinstance(after, list):
        old, new = cast("list[object]", before), cast("list[object]", after)
        named = all(isinstance(one, dict) and isinstance(cast("Object", one).get("name"), str) for one in (*old, *new))
        return _elements(old, named), _elements(new, named)
    return {}, {}


def _elements(said: list[object], named: bool) -> dict[str, object]:
    return {f"[{cast('Object', one)['name'] if named else number}]": one for number, one in enumerate(said)}


def shown(value: object) -> str:
    """Return a value as a reader may see it: short, on one line, secrets hidden."""
    if value is None:
        return ""
    hidden = masked(value)
    text = hidden if isinstance(hidden, str) else json.dumps(hidden, sort_keys=True)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def masked(value: object) -> object:
    """Return a value without its secrets, and with a word for what is not known yet."""
    if isinstance(value, dict):
        said = cast("dict[str, object]", value)
        return HIDDEN if SECRET_SIGNATURE in said else {key: masked(one) for key, one in said.items()}
    if isinstance(value, list):
        return [masked(one) for one in cast("list[object]", value)]
    if value in MASKED:
        return HIDDEN
    return "(known when it is there)" if value == UNKNOWN else value

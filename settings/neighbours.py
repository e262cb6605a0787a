"""Names that only one stack can hold: looked for in the files of the other stacks beside it."""

from collections.abc import Iterator
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, cast

from settings.errors import SettingsError
from settings.layers import Layer, stack_document
from settings.problems import Path, Problem

if TYPE_CHECKING:
    from settings.stack import Settings


def problems(stack: str, settings: "Settings", layers: list[Layer], root: File) -> Iterator[Problem]:
    """Yield a problem for each host name that is not this stack's alone."""
    held = held_names(settings)
    for layer in layers[:-1]:
        if "domain" in layer.values and settings.domain == layer.values["domain"]:
            yield Problem(("domain",), "all stacks would share it: say it in each stack's own file", settings.domain)
    for file in sorted(root.glob("Pulumi.?*.yaml")) if held else []:
        if file.name != f"Pulumi.{stack}.yaml":
            yield from _shared(settings, held, file)


def held_names(settings: "Settings") -> dict[str, Path]:
    """Return the host names that lead to a stack, each with the setting that says it."""
    held: dict[str, Path] = {settings.domain: ("domain",)} if settings.domain else {}
    if settings.mqtt.where == "cluster":
        dialled: Path = ("mqtt", "host_names") if settings.mqtt.host_names else ("domain",)
        held.update(dict.fromkeys(settings.device_host_names, dialled))
    return held


def _shared(settings: "Settings", held: dict[str, Path], file: File) -> Iterator[Problem]:
    # Most files name none of ours, and reading text costs a fiftieth of reading YAML.
    try:
        text = file.read_bytes()
    except OSError:
        return
    if not any(name.removeprefix("mqtt.").encode() in text for name in held):
        return
    try:
        other = stack_document(file)
    except SettingsError:
        # What is wrong with another stack's file is said when that stack is read.
        return
    theirs = _names_of(other.values)
    for name in sorted(held.keys() & theirs.keys()):
        line = other.lines.get(theirs[name]) or other.lines.get(theirs[name][:1])
        place = f"{file.name}:{line}" if line else file.name
        tier = other.values.get("tier")
        below = tier == "production" and settings.tier != "production"
        why = f"it is production's, and a {settings.tier} stack can not hold it" if below else "two stacks can not hold one name"
        yield Problem(held[name], f"is also said in {place}: {why}", name)


def _names_of(values: dict[str, Any]) -> dict[str, Path]:
    mqtt: Any = values.get("mqtt")
    names: Any = cast("dict[str, Any]", mqtt).get("host_names") if isinstance(mqtt, dict) else None
    found: dict[str, Path] = {str(name): ("mqtt", "host_names") for name in cast("list[Any]", names)} if isinstance(names, list) else {}
    domain = values.get("domain")
    if not isinstance(domain, str):
        return found
    if not found:
        found[f"mqtt.{domain}"] = ("domain",)
    found[domain] = ("domain",)
    return found

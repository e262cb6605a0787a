"""Names that only one stack can hold, and what it takes from another one: looked for in the files of the other stacks beside it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from settings.errors import SettingsError
from settings.layers import Layer, StackDocument, layers_of, merged, stack_document
from settings.problems import Path, Problem, says

if TYPE_CHECKING:
    from settings.stack import Settings


def problems(stack: str, settings: "Settings", layers: list[Layer], root: File) -> Iterator[Problem]:
    """Yield a problem for each host name and namespace in its cluster that is not this stack's alone, and for a Loki that is none."""
    held = held_names(settings)
    mine = settings.namespace_of(stack)
    lender = settings.logs.namespace if settings.logs.where == "shared" else None
    if lender == mine:
        reason = "is this stack's own, which runs no Loki: name another stack's, or say where: cluster"
        yield Problem(("logs", "namespace"), reason, mine, (("logs", "where"), ("namespace",)))
    for layer in layers[:-1]:
        if "domain" in layer.values and settings.domain == layer.values["domain"]:
            yield Problem(("domain",), "all stacks would share it: say it in each stack's own file", settings.domain)
    wanted = {name: _namespace_pattern(name) for name in (mine, lender) if name}
    inherited = any("namespace" in layer.values for layer in layers[:-1])
    for file in sorted(root.glob("Pulumi.?*.yaml")):
        other = _stack_of(file)
        if other == stack:
            continue
        # Most files name nothing of ours, and reading text costs a fiftieth of reading YAML.
        text = _text(file)
        named = any(name.removeprefix("mqtt.").encode() in text for name in held)
        here = settings.cluster.identifier.encode() in text or b"identifier" not in text
        near = here and (inherited or any(name.endswith(f"-{other}") or said.search(text) for name, said in wanted.items()))
        theirs = _document(file) if named or near else None
        if theirs and named:
            yield from _shared(settings, held, file, theirs)
        if theirs and near:
            yield from _near(settings, mine, file, theirs)


def held_names(settings: "Settings") -> dict[str, Path]:
    """Return the host names that lead to a stack, each with the setting that says it."""
    held: dict[str, Path] = {settings.domain: ("domain",)} if settings.domain else {}
    if settings.mqtt.where == "cluster":
        dialled: Path = ("mqtt", "host_names") if settings.mqtt.host_names else ("domain",)
        held.update(dict.fromkeys(settings.device_host_names, dialled))
    for name, route in settings.edge.routes.items():
        held.update({host: ("edge", "routes", name, "hosts") for host in route.hosts if host not in held})
    if settings.grafana.edge and settings.grafana.host:
        held.setdefault(settings.grafana.host, ("grafana", "root_url"))
    return held


def _stack_of(file: File) -> str:
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _namespace_pattern(namespace: str) -> re.Pattern[bytes]:
    """Return what finds a file that says this namespace, or says one in a way that only YAML can read."""
    return re.compile(rb"""namespace["']?\s*:\s*(?:["']?%s["']?(?![A-Za-z0-9._-])|[&*!|>])""" % re.escape(namespace).encode())


def _text(file: File) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _document(file: File) -> StackDocument | None:
    try:
        return stack_document(file)
    except SettingsError:
        # What is wrong with another stack's file is said when that stack is read.
        return None


def _shared(settings: "Settings", held: dict[str, Path], file: File, other: StackDocument) -> Iterator[Problem]:
    theirs = _names_of(other.values)
    for name in sorted(held.keys() & theirs.keys()):
        line = other.lines.get(theirs[name]) or other.lines.get(theirs[name][:1])
        place = f"{file.name}:{line}" if line else file.name
        below = other.values.get("tier") == "production"
        yield Problem(held[name], f"is also said in {place}: {_why(settings, below, 'name')}", name)


def _near(settings: "Settings", mine: str, file: File, other: StackDocument) -> Iterator[Problem]:
    """Yield what is wrong with a stack in the same cluster whose namespace is this one's, or that of the Loki that this one shares."""
    try:
        layers = layers_of(_stack_of(file), other.values, file.parent)
    except SettingsError:
        return
    tree: Mapping[str, Any] = merged(layers)
    if _map(tree.get("cluster")).get("identifier") != settings.cluster.identifier:
        return
    namespace = tree.get("namespace") or f"{tree.get('product')}-{_stack_of(file)}"
    if namespace == mine:
        yield _same_namespace(settings, mine, file, other, tree)
    elif settings.logs.where == "shared" and namespace == settings.logs.namespace:
        yield from _no_loki(namespace, _map(tree.get("logs")).get("where", "none"), file, other)


def _same_namespace(settings: "Settings", mine: str, file: File, other: StackDocument, tree: Mapping[str, Any]) -> Problem:
    line = other.lines.get(("namespace",))
    place = f"{file.name}:{line}" if line else f"{file.name}{'' if says(tree, ('namespace',)) else ' by default'}"
    why = _why(settings, tree.get("tier") == "production", "namespace")
    reason = f"is also the namespace of {place} in the cluster {settings.cluster.identifier}: {why}; say another one with `namespace:`"
    return Problem(("namespace",), reason, mine, (("product",), ("cluster", "identifier")))


def _no_loki(namespace: str, kept: str, file: File, other: StackDocument) -> Iterator[Problem]:
    if kept == "cluster":
        return
    line = other.lines.get(("logs", "where"))
    place = f"{file.name}:{line}" if line else file.name
    reason = f"is the namespace of {place}, which runs no Loki (logs.where: {kept}): name that of a stack that does, or say where: cluster"
    yield Problem(("logs", "namespace"), reason, namespace, (("logs", "where"),))


def _why(settings: "Settings", productions: bool, what: str) -> str:
    below = productions and settings.tier != "production"
    return f"it is production's, and a {settings.tier} stack can not hold it" if below else f"two stacks can not hold one {what}"


def _names_of(values: dict[str, Any]) -> dict[str, Path]:
    mqtt: Any = values.get("mqtt")
    names: Any = cast("dict[str, Any]", mqtt).get("host_names") if isinstance(mqtt, dict) else None
    found: dict[str, Path] = {str(name): ("mqtt", "host_names") for name in cast("list[Any]", names)} if isinstance(names, list) else {}
    for route, said in _map(_map(values.get("edge")).get("routes")).items():
        found.update({str(host): ("edge", "routes", route, "hosts") for host in _list(_map(said).get("hosts"))})
    if grafana := _host_of_grafana(_map(values.get("grafana"))):
        found[grafana] = ("grafana", "root_url")
    domain = values.get("domain")
    if not isinstance(domain, str):
        return found
    if not names:
        found[f"mqtt.{domain}"] = ("domain",)
    found[domain] = ("domain",)
    return found


def _host_of_grafana(said: dict[str, Any]) -> str | None:
    """Return the host that people reach another stack's Grafana by, unless its file says that they do not."""
    if not isinstance(said.get("root_url"), str) or said.get("edge") is False or said.get("where") == "none":
        return None
    try:
        return urlsplit(str(said["root_url"])).hostname
    except ValueError:
        return None


def _map(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []

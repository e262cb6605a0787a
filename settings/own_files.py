"""Files of the product's own that settings name: rules, dashboards, the page of maintenance. What can not be read is refused.

Whether an expression parses only promtool can say: cli/queries.py asks it, before `./sy up` and `./sy preview`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, cast

from settings.errors import SettingsError
from settings.problems import Path, Problem
from settings.reading import parse

if TYPE_CHECKING:
    from settings.stack import Settings

Json = dict[str, Any]
Check = Callable[[str, str], Iterator[str]]
"""Says what is wrong with a text that stands in the file of the name."""

SEVERITIES = ("critical", "warning", "none")
"""What the label `severity` of an alert may be: Alertmanager's routes know these, and `none` says that nobody is to be told."""
LARGEST = 900_000
"""Bytes of a file: each becomes a ConfigMap, which may have 1 MiB."""
LARGEST_PAGE = 60_000
"""Characters of a maintenance page: it is a part of the routes that every proxy holds."""
OUR_DASHBOARDS = ("overview", "rails", "sidekiq", "mqtt", "postgres", "elasticsearch")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_OF_GRAFANA = ("grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --")


def problems(settings: "Settings", root: File) -> Iterator[Problem]:
    """Yield what is wrong with the files that the settings name."""
    if settings.metrics.where == "cluster":
        yield from _each(("metrics", "rules"), settings.metrics.rules, root, "yml", _rules)
        yield from _taken(("metrics", "rules"), settings.metrics.rules, ())
    if settings.grafana.where == "cluster":
        known = [*(("prometheus", "alertmanager") if settings.metrics.where == "cluster" else ())]
        known += ["loki"] if settings.logs.where != "none" else []
        files = settings.grafana.dashboards
        yield from _each(("grafana", "dashboards"), files, root, "json", partial(_dashboard, known=known))
        yield from _taken(("grafana", "dashboards"), files, OUR_DASHBOARDS)
    if settings.edge.where == "gateway" and settings.edge.maintenance_page:
        for one in _each(("edge",), [settings.edge.maintenance_page], root, "html", _page):
            yield replace(one, path=("edge", "maintenance_page"))


def _page(text: str, name: str) -> Iterator[str]:
    """Yield what is wrong with a page that stands for the app while it is away."""
    if "<html" not in text.lower():
        yield f"{name}: expected a whole HTML page, with its styles inside: nothing else can be asked for while it is shown"
    if len(text) > LARGEST_PAGE:
        yield f"{name}: has {len(text)} characters; expected at most {LARGEST_PAGE}, so that each proxy keeps it at hand"


def promql_of(dashboard: Json) -> list[tuple[str, str]]:
    """Return the questions that a dashboard asks Prometheus: the panel's title, and the query as it stands."""
    found: list[tuple[str, str]] = []
    for panel in panels_of(dashboard):
        for target in _maps(panel.get("targets")):
            source = target.get("datasource") or panel.get("datasource")
            kind = cast("Json", source).get("type") if isinstance(source, dict) else None
            if kind == "prometheus" and isinstance(target.get("expr"), str):
                found.append((str(panel.get("title") or f"panel {panel.get('id')}"), str(target["expr"])))
    return found


def panels_of(dashboard: Json) -> Iterator[Json]:
    """Yield the panels of a dashboard, those that are folded away in rows too."""
    for panel in _maps(dashboard.get("panels")):
        yield panel
        yield from _maps(panel.get("panels"))


def _each(key: Path, files: Sequence[str], root: File, ending: str, check: Check) -> Iterator[Problem]:
    for index, name in enumerate(files):
        path: Path = (*key, index)
        file = root / name
        stem = file.name.removesuffix(f".{ending}")
        if stem == file.name or not _NAME.fullmatch(stem):
            yield Problem(path, f"expected a file whose name is letters a-z, digits and '-', and ends with .{ending}", name)
            continue
        try:
            data = file.read_bytes()
        except OSError as error:
            yield Problem(path, f"can not be read: {error.strerror}; the path is from the repository's root", name)
            continue
        if len(data) > LARGEST:
            yield Problem(path, f"has {len(data)} bytes; expected at most {LARGEST}, which fit into one ConfigMap", name)
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            yield Problem(path, f"is not UTF-8 text: byte {error.start}", name)
            continue
        for reason in check(text, name):
            yield Problem(path, reason, name)


def _rules(text: str, name: str) -> Iterator[str]:
    """Yield what is wrong with a file of rules, as far as it can be said without promtool."""
    try:
        document = parse(text, name)
    except SettingsError as error:
        yield str(error)
        return
    groups = document.values.get("groups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in cast("list[Any]", groups)):
        yield f"{name}:1: expected `groups:` with a list of groups of rules, as Prometheus reads them"
        return
    for number, group in enumerate(cast("list[Json]", groups)):
        rules = group.get("rules")
        line = document.lines.get(("groups", number), 1)
        if not isinstance(group.get("name"), str) or not isinstance(rules, list):
            yield f"{name}:{line}: expected a group with a `name` and a list of `rules`"
            continue
        for index, rule in enumerate(cast("list[Any]", rules)):
            at = document.lines.get(("groups", number, "rules", index), line)
            named = [key for key in ("alert", "record") if isinstance(rule, dict) and key in rule]
            if len(named) != 1 or "expr" not in rule:
                yield f"{name}:{at}: expected a rule with `expr`, and with either `alert` or `record`"
            elif named == ["alert"] and (reason := _untold(cast("Json", rule))):
                yield f"{name}:{at}: alert {rule['alert']}: {reason}"


def _untold(rule: Json) -> str:
    """Return why nobody would be told of an alert; empty when somebody would, or when it says itself that nobody is to be."""
    labels = rule.get("labels")
    said = cast("Json", labels).get("severity") if isinstance(labels, dict) else None
    if said in SEVERITIES:
        return ""
    meant = f"has the severity {said!r}" if said else "has no severity"
    return f"{meant}, by which alerts find their receivers: expected `labels: {{severity: …}}` with one of {', '.join(SEVERITIES)}"


def _dashboard(text: str, name: str, known: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with a dashboard, as far as it can be said without promtool."""
    try:
        said = json.loads(text)
    except json.JSONDecodeError as error:
        yield f"{name}:{error.lineno}: is no JSON: {error.msg} (column {error.colno})"
        return
    except RecursionError:
        yield f"{name}: is no dashboard: it is nested without end"
        return
    if not isinstance(said, dict) or not isinstance(cast("Json", said).get("panels"), list):
        yield f"{name}: expected a dashboard as Grafana exports it: a map with `panels`"
        return
    dashboard = cast("Json", said)
    if not isinstance(dashboard.get("title"), str) or not isinstance(dashboard.get("uid"), str):
        yield f"{name}: expected a dashboard with a `title` and a `uid`"
    elif dashboard["uid"] in OUR_DASHBOARDS:
        yield f"{name}: its uid {dashboard['uid']!r} is that of a dashboard of Switchyard's: give it another one"
    if "__inputs" in dashboard:
        yield f"{name}: was exported for sharing, without data sources: export it with `Export for sharing externally` switched off"
    yield from _unknown_sources(dashboard, name, known)


def _unknown_sources(dashboard: Json, name: str, known: Sequence[str]) -> Iterator[str]:
    for panel in panels_of(dashboard):
        asked = [one.get("datasource") for one in (panel, *_maps(panel.get("targets")))]
        uids = {str(cast("Json", one).get("uid", "")) if isinstance(one, dict) else str(one) for one in asked if one}
        for uid in sorted(uids - {*known, *_OF_GRAFANA}):
            if not uid.startswith("$"):
                yield f"{name}: panel {panel.get('title')!r} asks the data source {uid!r}; there is {', '.join(known)}"


def _taken(key: Path, files: Sequence[str], ours: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each file whose name another one has: all of them are put into one folder."""
    first: dict[str, str] = {}
    for index, name in enumerate(files):
        stem = File(name).stem
        if stem in ours:
            yield Problem((*key, index), f"{File(name).name} is also the name of one of Switchyard's: rename it", name)
        elif stem in first:
            yield Problem((*key, index), f"has the name of {first[stem]}: rename one of them", name)
        first.setdefault(stem, name)


def _maps(value: Any) -> list[Json]:
    return [one for one in cast("list[Any]", value) if isinstance(one, dict)] if isinstance(value, list) else []

"""Dashboards as Grafana reads them, from a few words: rows of panels, each with its queries, unit and thresholds.

The JSON is Grafana's classic dashboard model (schema version 39, read by Grafana 11 and later), as documented under "JSON model".
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA_VERSION = 39
COLUMNS = 24
"""Columns of Grafana's grid."""
TAG = "switchyard"
"""Carried by every dashboard; the list of links at the top is made of it."""

Json = dict[str, Any]
SourceKind = Literal["prometheus", "loki"]
PanelKind = Literal["stat", "timeseries", "table", "logs"]
Unit = Literal["short", "none", "bytes", "s", "ms", "percentunit", "reqps", "ops", "cps", "bool_on_off", "Bps"]

HEIGHTS: dict[PanelKind, int] = {"stat": 4, "timeseries": 8, "table": 7, "logs": 12}
STAND_INS = {"$__rate_interval": "1m", "$__interval": "1m", "$__auto": "1m", "$__range": "6h"}
"""What Grafana puts in the place of its own variables, when a query is tried without it. Scrapes are 10 s apart."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question to a data source."""

    expr: str
    """PromQL or LogQL."""
    legend: str = ""
    """The name of each series, with labels as {{label}}; empty: all of its labels."""
    source: SourceKind = "prometheus"
    """Which language it is, and who is asked."""
    may_be_empty: str = ""
    """Why a healthy stack may have no series for it; empty: it always has one."""

    def plain(self, variables: Sequence["Variable"] = ()) -> str:
        """Return the query with every variable replaced, as a server other than Grafana takes it."""
        text = self.expr
        for name, value in [*STAND_INS.items(), *((f"${one.name}", one.stand_in) for one in variables)]:
            text = text.replace(name, value)
        return text


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which value on a panel turns to a colour."""

    value: float
    colour: Literal["green", "yellow", "orange", "red"]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What the reader of a dashboard chooses at its top: one or more of known values, or a text."""

    name: str
    label: str
    choices: tuple[str, ...] = ()
    """The values; none: a text that is typed."""

    @property
    def stand_in(self) -> str:
        """What stands in the query when nothing was chosen."""
        return ".+" if self.choices else ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture."""

    title: str
    queries: tuple[Query, ...]
    kind: PanelKind = "timeseries"
    unit: Unit = "short"
    about: str = ""
    """What it shows and what to make of it, where the title does not say it."""
    thresholds: tuple[Threshold, ...] = ()
    """Colours, rising; below the first it is green."""
    falling: bool = False
    """Whether little is bad: below the first threshold it is red."""
    stacked: bool = False
    most: float | None = None
    """Where the axis ends; None: at the largest value."""
    wide: bool = False
    """Whether it takes a whole row."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A page of panels. Its name is its address, its file's name and its ConfigMap's."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, in order."""
        return (panel for row in self.rows for panel in row.panels)

    def json(self) -> str:
        """Return the file that Grafana provisions."""
        return json.dumps(self.model(), indent=1, sort_keys=True) + "\n"

    def model(self) -> Json:
        """Return it in Grafana's model."""
        return {
            "uid": self.name,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            # What is changed in the browser would be gone with the pod.
            "editable": False,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "graphTooltip": 1,
            "links": [{"type": "dashboards", "title": "Dashboards", "tags": [TAG], "asDropdown": True, "keepTime": True}],
            "annotations": {"list": []},
            "templating": {"list": [_variable(one) for one in self.variables]},
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Yield rows and panels with their places: as many beside each other as fit, stats in eighths, pictures in thirds."""
    number, y = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _place(0, y, COLUMNS, 1)}
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            width, tall = _size(panel, row)
            if x + width > COLUMNS or (height and tall != height):
                x, y = 0, y + height
            number, height = number + 1, tall
            yield {"id": number, **_panel(panel), "gridPos": _place(x, y, width, tall)}
            x += width
        y += height


def _size(panel: Panel, row: Row) -> tuple[int, int]:
    if panel.wide or panel.kind in ("logs", "table"):
        return COLUMNS, HEIGHTS[panel.kind]
    alike = sum(one.kind == panel.kind and not one.wide for one in row.panels)
    beside = min(alike, 6 if panel.kind == "stat" else 3)
    return COLUMNS // beside, HEIGHTS[panel.kind]


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> Json:
    source = _source(panel.queries[0].source)
    made: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "targets": [_target(query, chr(ord("A") + index), panel.kind) for index, query in enumerate(panel.queries)],
        "options": _OPTIONS[panel.kind],
    }
    if panel.kind != "logs":
        made["fieldConfig"] = {"defaults": _field(panel), "overrides": []}
    return made


def _source(kind: SourceKind) -> Json:
    """Return the reference to a data source; provisioning gives each its kind as its uid."""
    return {"type": kind, "uid": kind}


def _target(query: Query, letter: str, kind: PanelKind) -> Json:
    made: Json = {"refId": letter, "datasource": _source(query.source), "expr": query.expr, "legendFormat": query.legend or "__auto"}
    instant = kind in ("stat", "table") and query.source == "prometheus"
    if query.source == "loki":
        return {**made, "queryType": "range", **({"maxLines": 500} if kind == "logs" else {})}
    shape = "table" if kind == "table" else "time_series"
    return {**made, "editorMode": "code", "format": shape, "instant": instant, "range": not instant}


def _field(panel: Panel) -> Json:
    made: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": _steps(panel)}}
    if panel.kind == "timeseries":
        custom: Json = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": 60_000}
        custom["stacking"] = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        custom["thresholdsStyle"] = {"mode": "line" if panel.thresholds else "off"}
        made |= {"min": 0, "color": {"mode": "palette-classic"}, "custom": custom}
    elif panel.kind == "stat":
        made |= {"color": {"mode": "thresholds"}, "noValue": "–"}
    return made if panel.most is None else {**made, "max": panel.most}


def _steps(panel: Panel) -> list[Json]:
    first: Json = {"color": "red" if panel.falling else "green", "value": None}
    return [first, *({"color": one.colour, "value": one.value} for one in panel.thresholds)]


def _variable(one: Variable) -> Json:
    if not one.choices:
        return {"type": "textbox", "name": one.name, "label": one.label, "query": "", "current": {"text": "", "value": ""}, "options": []}
    everything: Json = {"text": "All", "value": "$__all", "selected": True}
    options: list[Json] = [everything, *({"text": choice, "value": choice, "selected": False} for choice in one.choices)]
    chosen: Json = {"text": ["All"], "value": ["$__all"], "selected": True}
    own: Json = {"query": ",".join(one.choices), "options": options, "current": chosen}
    return {"type": "custom", "name": one.name, "label": one.label, "includeAll": True, "multi": True, "allValue": ".+", **own}


_REDUCED: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[PanelKind, Json] = {
    "stat": {
        "reduceOptions": _REDUCED,
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": "", "countRows": False}},
    "logs": {
        "showTime": True,
        "showLabels": False,
        "showCommonLabels": False,
        "wrapLogMessage": True,
        "prettifyLogMessage": False,
        "enableLogDetails": True,
        "dedupStrategy": "none",
        "sortOrder": "Descending",
    },
}

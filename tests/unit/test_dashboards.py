"""Dashboards: Grafana's model, queries that parse, and panels only for what the stack has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from components.dashboards import Shown, dashboards
from components.dashboards.panels import COLUMNS, Dashboard, Panel, Query, Row, Threshold
from components.prometheus_configuration import _KUBELET_SERIES as KUBELET
from settings import resolve
from tests.unit.promql import metrics_of

SCHEMA = Draft202012Validator(json.loads(Path(__file__).with_name("dashboard.schema.json").read_text()))
APP = {
    "web": {"web": {"metrics": {}}},
    "sidekiq": {"alerts": {"metrics": {}}},
    "consumer": {"metrics": {}},
    "processes": {"indexer": {"command": ["bin/indexer"], "metrics": {}}},
}
WATCHED: dict[str, Any] = {"metrics": {"where": "cluster", "kubelet": True}, "logs": {"where": "cluster"}}
BARE: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "company"}}
WHOLE = BARE | WATCHED | APP | {"elasticsearch": {"where": "cluster"}}


def made(said: dict[str, Any]) -> dict[str, Dashboard]:
    return {one.name: one for one in dashboards(Shown.of(resolve("x", said)))}


ALL = made(WHOLE)


def queries(of: dict[str, Dashboard], source: str = "prometheus") -> list[tuple[str, str, Query]]:
    return [
        (dashboard.name, panel.title, query)
        for dashboard in of.values()
        for panel in dashboard.panels
        for query in panel.queries
        if query.source == source
    ]


class TestWhatThereIs:
    def test_a_whole_stack_has_a_dashboard_for_each_of_its_parts(self) -> None:
        assert list(ALL) == ["overview", "rails", "sidekiq", "mqtt", "postgres", "elasticsearch"]

    def test_what_a_stack_lacks_has_no_dashboard(self) -> None:
        off = {"where": "none"}
        lacking = {
            "canary": off,
            "postgres": off,
            "mqtt": off,
            "consumer": off,
            "elasticsearch": off,
            "sidekiq": {"alerts": None},
            "processes": {},
        }
        assert list(made(BARE | WATCHED | lacking)) == ["overview", "rails"]

    def test_logs_alone_make_an_overview_of_logs(self) -> None:
        alone = made(BARE | {"logs": {"where": "cluster"}, "metrics": {"where": "none"}, "canary": {"where": "none"}})
        assert list(alone) == ["overview"]
        assert {query.source for panel in alone["overview"].panels for query in panel.queries} == {"loki"}

    def test_metrics_alone_make_no_panel_of_logs(self) -> None:
        assert not queries(made(BARE | {"metrics": {"where": "cluster"}, "logs": {"where": "none"}}), "loki")

    def test_an_app_without_metrics_of_its_own_has_no_panels_of_them(self) -> None:
        plain = made(
            BARE
            | WATCHED
            | {
                "web": {"web": {"metrics": None}},
                "sidekiq": {"alerts": {"metrics": None}},
                "consumer": {"metrics": None},
                "elasticsearch": {"where": "none"},
            }
        )
        used = {name for _, _, query in queries(plain) for name in metrics_of(query.plain())}
        assert not {name for name in used if name.startswith(("rails_", "puma_", "app_"))}

    def test_an_external_database_has_no_panels_of_patroni(self) -> None:
        outside = {"where": "external", "external": {"host": "db.example.com", "port": 5432, "tls": "require", "user": "u"}}
        used = {name for _, _, query in queries(made(BARE | WATCHED | {"postgres": outside})) for name in metrics_of(query.plain())}
        assert "pg_up" in used
        assert not {name for name in used if name.startswith("patroni_")}

    def test_panels_of_containers_are_made_of_what_prometheus_keeps_of_the_kubelets_figures(self) -> None:
        used = {name for panel in ALL["overview"].panels for query in panel.queries for name in metrics_of(query.plain())}
        told = {name for name in used if name.startswith("container_")}
        assert told == {"container_memory_working_set_bytes", "container_cpu_usage_seconds_total"}
        assert all(re.fullmatch(KUBELET, name) for name in told)
        without = made(WHOLE | {"metrics": {"where": "cluster", "kubelet": False}})["overview"]
        assert not any("container_" in query.expr.replace("pod_container_", "") for panel in without.panels for query in panel.queries)


class TestTheModel:
    @pytest.mark.parametrize("name", ALL)
    def test_every_dashboard_is_in_grafanas_model(self, name: str) -> None:
        found = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in SCHEMA.iter_errors(json.loads(ALL[name].json()))]
        assert found == []

    def test_the_schema_finds_what_is_misspelt(self) -> None:
        wrong = ALL["overview"].model()
        wrong["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
        assert list(SCHEMA.iter_errors(wrong))

    @pytest.mark.parametrize("name", ALL)
    def test_no_two_panels_are_in_the_same_place_and_none_sticks_out(self, name: str) -> None:
        taken: dict[tuple[int, int], str] = {}
        panels = ALL[name].model()["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        for panel in panels:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= COLUMNS, panel["title"]
            for x in range(at["x"], at["x"] + at["w"]):
                for y in range(at["y"], at["y"] + at["h"]):
                    assert (x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}"
                    taken[x, y] = panel["title"]

    def test_thresholds_rise_and_titles_are_there_once(self) -> None:
        for dashboard in ALL.values():
            for row in dashboard.rows:
                assert len({panel.title for panel in row.panels}) == len(row.panels), row.title
                for panel in row.panels:
                    values = [one.value for one in panel.thresholds]
                    assert values == sorted(values), panel.title

    def test_a_legend_names_labels_that_the_query_keeps(self) -> None:
        for dashboard, panel, query in [*queries(ALL), *queries(ALL, "loki")]:
            for label in query.legend.replace("}}", "{{").split("{{")[1::2]:
                assert label in query.expr, f"{dashboard}: {panel}: {label}"

    def test_where_little_is_bad_the_first_colour_is_red(self) -> None:
        panel = Panel(title="t", queries=(Query(expr="up"),), kind="stat", thresholds=(Threshold(value=1, colour="green"),), falling=True)
        [_, drawn] = Dashboard(name="x", title="x", about="", rows=(Row(title="r", panels=(panel,)),)).model()["panels"]
        assert drawn["fieldConfig"]["defaults"]["thresholds"]["steps"] == [
            {"color": "red", "value": None},
            {"color": "green", "value": 1},
        ]

    def test_a_dashboard_fits_into_a_config_map(self) -> None:
        assert max(len(dashboard.json()) for dashboard in ALL.values()) < 256 * 1024


class TestQueries:
    def test_no_variable_is_left_in_a_query_that_is_tried(self) -> None:
        for dashboard in ALL.values():
            for panel in dashboard.panels:
                for query in panel.queries:
                    assert "$" not in query.plain(dashboard.variables), f"{dashboard.name}: {panel.title}"

    def test_the_names_of_metrics_are_found_in_a_query(self) -> None:
        found = metrics_of(
            'sum by (pod) (rate(a_total{x="b{c}",y=~"d(e)"}[5m])) / on(pod) group_left(z) (f:g or vector(0)) > bool 1 and h offset 5m'
        )
        assert found == {"a_total", "f:g", "h"}

"""Dashboards, on a whole stack that is up: each query is asked of the real Prometheus or Loki, and only of metrics that there are."""

import contextlib
import json
import time
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from components.dashboards import Shown, dashboards
from components.dashboards.panels import Query
from components.loki import HTTP as LOKI_PORT
from tests.cluster.asking import Asked, asked, eventually
from tests.cluster.trial import Trial
from tests.unit.promql import metrics_of

REQUESTS = 5
ONLY_AFTER_A_DEATH = {"kube_pod_container_status_last_terminated_reason"}
"""What only a pod that ended once tells."""


@pytest.fixture(scope="module")
def prometheus(watched: Trial) -> Iterator[Asked]:
    with asked(watched) as made:
        # A rate wants two scrapes with something in between.
        for _ in range(2):
            visit(watched)
            time.sleep(11)
        eventually(lambda: made.query("rate(rails_requests_total[1m]) > 0"), 60, lambda: "no request was counted")
        yield made


def visit(watched: Trial) -> None:
    """Ask the app for something, so that there is a request to be shown."""
    with watched.kubectl.forwarded("web") as url:
        for _ in range(REQUESTS):
            with contextlib.suppress(HTTPError):
                urlopen(f"{url}/admin", timeout=20).close()


def queries(watched: Trial, source: str) -> list[tuple[str, Query, str]]:
    """Every query of the stack's dashboards: where it is, itself, and as it is asked."""
    made = dashboards(Shown.of(watched.settings))
    assert {"overview", "rails", "sidekiq", "mqtt", "postgres", "elasticsearch"} <= {one.name for one in made}
    return [
        (f"{one.name}: {panel.title}", query, query.plain(one.variables))
        for one in made
        for panel in one.panels
        for query in panel.queries
        if query.source == source
    ]


def test_every_query_asks_only_for_metrics_that_the_stack_exposes(prometheus: Asked, watched: Trial) -> None:
    exposed = prometheus.exposed_metrics()
    asked_for = {where: metrics_of(text) for where, _, text in queries(watched, "prometheus")}
    assert all(asked_for.values())
    unknown = {where: names - exposed - ONLY_AFTER_A_DEATH for where, names in asked_for.items()}
    assert {where: names for where, names in unknown.items() if names} == {}


def test_every_query_is_answered_and_every_panel_that_should_shows_something(prometheus: Asked, watched: Trial) -> None:
    wanted = [(where, text) for where, query, text in queries(watched, "prometheus") if not query.may_be_empty]
    empty = [f"{where}: {text}" for where, text in wanted if not prometheus.query(text)]
    for _, query, text in queries(watched, "prometheus"):
        if query.may_be_empty:
            prometheus.query(text)
    assert empty == []


def test_every_query_of_logs_parses_and_is_answered(watched: Trial) -> None:
    found = queries(watched, "loki")
    assert found
    with watched.kubectl.forwarded("loki", LOKI_PORT) as url:
        for where, _, text in found:
            asking = {"query": text, "start": f"{time.time() - 600:.0f}", "limit": "10"}
            assert loki(url, watched, "format_query", {"query": text})["status"] == "success", where
            assert loki(url, watched, "query_range", asking)["status"] == "success", where
        with pytest.raises(HTTPError, match="400"):
            loki(url, watched, "format_query", {"query": "{component="})


def loki(url: str, watched: Trial, path: str, parameters: dict[str, str]) -> dict[str, str]:
    """Ask the stack's Loki as Grafana would, for the stack's own lines."""
    request = Request(f"{url}/loki/api/v1/{path}?{urlencode(parameters)}", headers={"X-Scope-OrgID": watched.namespace})
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)

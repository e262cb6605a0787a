"""The alert rules: each has cases and a runbook, and none rests on what the stack lacks. tests/rules tries them."""

import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
import yaml

from bench.alerts import FAULTS
from settings.loader import ROOT
from tests.unit.alert_rules import FILES, Alert, alerts, cases
from tests.unit.rendering import Registered, render
from tests.unit.test_contract import STACKS, rendered

BARE: dict[str, Any] = {
    "tier": "sandbox",
    **{service: {"where": "none"} for service in ("postgres", "mqtt", "elasticsearch", "logs", "grafana", "consumer", "canary", "edge")},
    "redis": {"jobs": {"where": "none"}},
    "sidekiq": {"alerts": None},
    "app": {"config": {"REDIS_URL": "redis://127.0.0.1:6379/0"}},
}

LONGEST_CRITICAL_SECONDS = 120
LOST = {"ConsumerDown": 30, "BrokerDown": 30, "PostgresNoPrimary": 30, "WebDown": 30}
"""Seconds that these hold at the most, so that they are told of within two minutes of the fault."""
QUIET_WITHOUT_SERIES = {"Watchdog"}


@pytest.fixture(params=alerts(), ids=lambda alert: alert.name)
def alert(request: pytest.FixtureRequest) -> Alert:
    return request.param


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    for file in FILES:
        said = {(case["name"].split()[0], bool(case["promql_expr_test"][0]["exp_samples"])) for case in cases(file.stem)}
        wanted = {(one.name, fires) for one in alerts() if one.file == file.stem for fires in (True, False)}
        assert wanted - said <= {("Watchdog", False)}, file.name
        for case in cases(file.stem):
            assert f'alertname="{case["name"].split()[0]}"' in case["promql_expr_test"][0]["expr"], case["name"]


def test_no_two_alerts_have_one_name() -> None:
    assert [name for name, count in Counter(one.name for one in alerts()).items() if count > 1] == []


def test_every_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(alert: Alert) -> None:
    assert alert.severity in ("critical", "warning") or alert.name == "Watchdog"
    assert alert.component and alert.annotations["summary"] and alert.annotations["description"]
    assert alert.annotations["runbook"] == f"docs/runbooks/{alert.name}.md"
    page = (ROOT / alert.annotations["runbook"]).read_text()
    for heading in ("## What it means", "## Look", "## Do", "## Wake"):
        assert heading in page, alert.name


def test_what_wakes_somebody_is_told_soon(alert: Alert) -> None:
    if alert.severity == "critical":
        assert alert.seconds <= LOST.get(alert.name, LONGEST_CRITICAL_SECONDS)


@cache
def expectations(stack: str) -> list[dict[str, dict[str, str]]]:
    """Return the recorded facts of a stack, as Prometheus reads them."""
    maps = [one for one in rendered(stack).of("ConfigMap") if "expectations.yml" in one.inputs["data"]]
    rules = [rule for one in maps for rule in yaml.safe_load(one.inputs["data"]["expectations.yml"])["groups"][0]["rules"]]
    return [{"labels": {}} | rule for rule in rules]


def test_every_expectation_that_a_rule_compares_with_is_one_that_stacks_record(alert: Alert) -> None:
    recorded = {fact["record"] for stack in STACKS for fact in expectations(stack)}
    assert {name for name in alert.metrics if name.startswith("switchyard:")} <= recorded


def test_the_metrics_of_an_expression_are_told_from_its_functions_and_labels() -> None:
    [one] = [one for one in alerts() if one.name == "MemoryNearLimit"]
    assert one.metrics == {"process_resident_memory_bytes", "kube_pod_container_resource_limits"}


def loaded(resources: list[Registered]) -> set[str]:
    """Return the files of rules that Prometheus of a stack evaluates."""
    [data] = [one.inputs["data"] for one in resources if one.kind == "ConfigMap" and "expectations.yml" in one.inputs["data"]]
    return {name.removeprefix("alerts-").removesuffix(".yml") for name in data if name.startswith("alerts-")}


def test_a_stack_with_everything_loads_every_file() -> None:
    assert {file.stem for file in FILES} - loaded(rendered("everything").resources) == set()


def test_a_stack_loads_no_rules_about_what_it_does_not_have() -> None:
    said = {**BARE, "metrics": {"where": "cluster", "kubelet": False}}
    about = {"workloads", "volumes", "targets", "prometheus", "alertmanager", "web"}
    assert loaded(render("lean", said)) - {"app", "rails"} == about


def test_the_page_of_alerts_names_each_with_its_severity_and_time() -> None:
    said = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \| (.+) \|$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    held = {one.name: one for one in alerts()}
    assert {name for name, *_ in said} == set(held)
    for name, page, severity, after in said:
        seconds = 0 if after == "at once" else int(after[:-1]) * {"s": 1, "m": 60, "h": 3600}[after[-1]]
        assert (page, severity, seconds) == (name, held[name].severity, held[name].seconds)


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == {one.name for one in alerts()}


def test_every_critical_alert_is_provoked_by_a_real_fault_in_the_cluster_tests() -> None:
    assert {fault.alert for fault in FAULTS} == {one.name for one in alerts() if one.severity == "critical"}

"""Rules and dashboards of the product's own: what can not be read, or does not parse, is refused before anything changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli import queries, up
from cli.stacks import preview
from components.dashboards import Shown, dashboards
from components.prometheus import own_rules
from settings import SettingsError, resolve
from settings.loader import ROOT
from settings.own_files import OUR_DASHBOARDS, promql_of
from tests.rules.promtool import promtool
from tools.progress import Progress

BASE: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "company"}, "metrics": {"where": "cluster"}}
_ALERT = "groups:\n  - name: own\n    rules:\n      - alert: Quiet\n        labels: {severity: warning}\n"
GOOD_RULES = f"{_ALERT}        expr: absent(up)\n        for: 5m\n"
BAD_RULES = f"{_ALERT}        expr: sum(rate(up[5m])\n"


def dashboard(*expressions: str, **more: Any) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    panels = [
        {"id": n, "title": f"Panel {n}", "type": "stat", "targets": [{"datasource": source, "expr": e}]} for n, e in enumerate(expressions)
    ]
    return {"uid": "lamps", "title": "Lamps", "panels": panels, **more}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "product.yaml", tmp_path)
    shutil.copytree(ROOT / "settings" / "tiers", tmp_path / "settings" / "tiers")
    (tmp_path / "own").mkdir()
    return tmp_path


def refusal(root: Path, said: dict[str, Any]) -> list[str]:
    """What settings refuse, and then what promtool does."""
    try:
        queries.refuse_unparsed(resolve("x", {**BASE, **said}, root=root), Progress(), root)
    except SettingsError as error:
        return list(error.problems)
    return []


def with_rules(root: Path, text: str | bytes, name: str = "own/quiet.yml") -> list[str]:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return refusal(root, {"metrics": {"where": "cluster", "rules": [name]}})


def with_dashboard(root: Path, text: object, name: str = "own/lamps.json") -> list[str]:
    (root / name).write_text(text if isinstance(text, str) else json.dumps(text, indent=2))
    return refusal(root, {"grafana": {"where": "cluster", "dashboards": [name]}})


class TestRules:
    def test_what_parses_is_taken_and_reaches_prometheus_under_a_name_of_its_own(self, root: Path) -> None:
        assert with_rules(root, GOOD_RULES) == []
        settings = resolve("x", {**BASE, "metrics": {"where": "cluster", "rules": ["own/quiet.yml"]}}, root=root)
        assert own_rules(settings.metrics, root) == {"own-quiet.yml": GOOD_RULES}

    def test_an_expression_that_does_not_parse_is_refused_with_file_line_and_promtools_words(self, root: Path) -> None:
        [sentence] = with_rules(root, BAD_RULES)
        assert sentence.startswith("metrics.rules: own/quiet.yml:6: ")
        assert "unclosed left parenthesis" in sentence and '"Quiet"' in sentence

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("groups:\n  - name: x\n  rules: [", "own/quiet.yml:"),
            ("rules: []\n", "own/quiet.yml:1: expected `groups:`"),
            ("groups:\n  - rules: []\n", "own/quiet.yml:2: expected a group with a `name`"),
            ("groups:\n  - name: x\n    rules:\n      - expr: up\n", "own/quiet.yml:4: expected a rule with `expr`, and with either"),
            (GOOD_RULES.replace("warning", "page"), "own/quiet.yml:4: alert Quiet: has the severity 'page', by which alerts find"),
            (GOOD_RULES.replace("severity", "team"), "own/quiet.yml:4: alert Quiet: has no severity"),
            (GOOD_RULES.replace("for: 5m", "for: 5x"), 'own/quiet.yml: unknown unit "x" in duration "5x"'),
            (GOOD_RULES.replace("for: 5m", "fur: 5m"), "own/quiet.yml:7: field fur not found"),
            (b"\xff\xfe", "is not UTF-8 text"),
        ],
    )
    def test_a_file_that_is_none_of_rules_is_refused_with_its_line(self, root: Path, text: str | bytes, expected: str) -> None:
        [sentence] = with_rules(root, text)
        assert expected in sentence

    def test_a_file_that_is_not_there_is_named_with_the_line_that_asks_for_it(self, root: Path) -> None:
        [sentence] = refusal(root, {"metrics": {"where": "cluster", "rules": ["own/none.yml"]}})
        assert "metrics.rules.0: 'own/none.yml': can not be read: No such file" in sentence

    def test_two_files_of_one_name_would_be_one(self, root: Path) -> None:
        (root / "other").mkdir()
        for name in ("own/quiet.yml", "other/quiet.yml"):
            (root / name).write_text(GOOD_RULES)
        [sentence] = refusal(root, {"metrics": {"where": "cluster", "rules": ["own/quiet.yml", "other/quiet.yml"]}})
        assert "has the name of own/quiet.yml" in sentence


class TestDashboards:
    def test_one_whose_queries_parse_is_taken(self, root: Path) -> None:
        window = {"list": [{"name": "window", "type": "interval"}]}
        asked = dashboard('sum(rate(up{pod=~"$pod"}[$__rate_interval]))', "rate(up[${window}])", templating=window)
        asked["panels"].append({"type": "row", "title": "r", "panels": dashboard("count(up)")["panels"]})
        assert [query for _, query in promql_of(asked)][-1] == "count(up)"
        assert with_dashboard(root, asked) == []

    def test_a_query_that_does_not_parse_is_refused_with_its_panel_and_line(self, root: Path) -> None:
        [sentence] = with_dashboard(root, dashboard("up", "sum(up"))
        assert sentence.startswith("grafana.dashboards: own/lamps.json:")
        assert "panel 'Panel 1': sum(up: " in sentence and "unclosed left parenthesis" in sentence

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"uid": "x",\n "title": }', "own/lamps.json:2: is no JSON"),
            ("[]", "own/lamps.json: expected a dashboard as Grafana exports it"),
            (dashboard() | {"title": 3}, "own/lamps.json: expected a dashboard with a `title` and a `uid`"),
            (dashboard(uid="overview"), "its uid 'overview' is that of a dashboard of Switchyard's"),
            (dashboard("up", __inputs=[]), "was exported for sharing, without data sources"),
            (
                dashboard() | {"panels": [{"title": "P", "datasource": {"type": "prometheus", "uid": "a1b2"}, "targets": []}]},
                "panel 'P' asks the data source 'a1b2'; there is prometheus, alertmanager",
            ),
        ],
    )
    def test_a_file_that_is_no_dashboard_is_refused(self, root: Path, text: object, expected: str) -> None:
        assert any(expected in sentence for sentence in with_dashboard(root, text))

    def test_one_that_has_the_name_of_ours_is_refused(self, root: Path) -> None:
        assert any(
            "also the name of one of Switchyard's" in sentence for sentence in with_dashboard(root, dashboard("up"), "own/mqtt.json")
        )

    def test_our_own_names_are_all_known(self) -> None:
        everything = {**BASE, "elasticsearch": {"where": "cluster"}, "logs": {"where": "cluster"}}
        assert {one.name for one in dashboards(Shown.of(resolve("x", everything)))} == set(OUR_DASHBOARDS)


class TestWhoAsks:
    def test_up_and_preview_ask_before_anything_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class AskedError(Exception):
            pass

        def asked(*_: object) -> None:
            raise AskedError

        monkeypatch.setattr(queries, "refuse_unparsed", asked)
        monkeypatch.setattr("cli.stacks.for_preview", lambda *_: type("T", (), {"stack": type("S", (), {"settings": None})})())
        with pytest.raises(AskedError):
            up.opened(type("S", (), {"settings": None, "on_sandbox": False})(), None, Progress())  # type: ignore[arg-type]
        assert isinstance(CliRunner().invoke(preview, ["-s", "production"]).exception, AskedError)

    def test_promtool_is_neither_looked_for_nor_built_where_there_is_nothing_to_ask(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "promtool", lambda _: pytest.fail("asked"))
        assert refusal(root, {}) == []

    def test_the_sentences_are_those_of_the_real_promtool(self) -> None:
        assert promtool().is_file()
        assert yaml.safe_load(GOOD_RULES)

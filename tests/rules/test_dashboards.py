"""Dashboards' queries: Prometheus can parse each."""

from pathlib import Path

import yaml

from tests.rules.promtool import check_rules
from tests.unit.test_dashboards import ALL, queries


def test_promtool_parses_every_query(tmp_path: Path) -> None:
    asked = queries(ALL)
    assert len(asked) > 80
    rules = [{"record": f"panel:{number}", "expr": query.plain()} for number, (_, _, query) in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = check_rules(file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_would_find_one_that_does_not_parse(tmp_path: Path) -> None:
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": [{"record": "panel:0", "expr": "sum(rate(up[5m])"}]}]}))
    assert check_rules(file).returncode != 0

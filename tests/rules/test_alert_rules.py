"""The alert rules: each fires and stays silent as its cases say."""

import subprocess
from pathlib import Path

import pytest
import yaml

from settings.loader import ROOT
from tests.rules.promtool import check_rules, promtool
from tests.unit.alert_rules import CASES, FILES, alerts
from tests.unit.test_alert_rules import expectations
from tests.unit.test_contract import STACKS


def run(*files: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(promtool()), "test", "rules", *map(str, files)], capture_output=True, text=True, check=False, cwd=CASES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_promtool_reads_every_file_of_rules(file: Path) -> None:
    done = check_rules(file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_alert_fires_and_stays_silent_as_its_cases_say(file: Path) -> None:
    done = run(CASES / file.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_does_not_hold_is_found(tmp_path: Path) -> None:
    broken = (CASES / "web.yml").read_text().replace("../../", f"{ROOT}/").replace("'2x6 0x60'", "'2x60'")
    (tmp_path / "web.yml").write_text(broken)
    assert run(tmp_path / "web.yml").returncode != 0


def test_every_rule_over_an_expectation_or_absence_fires_when_there_is_nothing_to_measure(tmp_path: Path) -> None:
    facts = {(fact["record"], *sorted(fact["labels"].items())) for stack in STACKS for fact in expectations(stack)}
    series = [
        {"series": record + "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}", "values": "3x200"}
        for record, *labels in facts
    ]
    marked = [one for one in alerts() if one.absent]
    assert len(marked) > 15
    tests = [
        {
            "interval": "10s",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{one.name}", alertstate="firing"}}) > bool 0',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
                for one in marked
            ],
        }
    ]
    file = tmp_path / "absent.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(file) for file in FILES], "evaluation_interval": "10s", "tests": tests}))
    done = run(file)
    assert done.returncode == 0, done.stdout + done.stderr

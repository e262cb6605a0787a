"""Prometheus' configuration: promtool takes the whole of it."""

import subprocess
from pathlib import Path

import pytest

from tests.rules.promtool import promtool
from tests.unit.test_contract import rendered


@pytest.mark.parametrize("stack", ["everything", "watched-outside"])
def test_promtool_takes_the_whole_configuration(stack: str, tmp_path: Path) -> None:
    [made] = [one for one in rendered(stack).resources if one.kind == "ConfigMap" and one.name.startswith("prometheus-")]
    for name, text in made.inputs["data"].items():
        (tmp_path / name).write_text(text.replace("/etc/prometheus", str(tmp_path)))
    words = [str(promtool()), "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rules = subprocess.run(
        [str(promtool()), "check", "rules", str(tmp_path / "expectations.yml")], capture_output=True, text=True, check=False
    )
    assert rules.returncode == 0, rules.stderr

"""What Alertmanager makes of its configuration: amtool takes it, and says who is told."""

import subprocess
from pathlib import Path

import pytest

from components.alertmanager import configuration
from settings.alerts import Alerts
from tests.rules.promtool import amtool
from tests.unit.test_alerts import SAID


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Alertmanager's configuration, as a file."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(configuration(Alerts.model_validate(SAID)))
    return path


def tell(file: Path, *labels: str) -> list[str]:
    words = [str(amtool()), "config", "routes", "test", f"--config.file={file}", *labels]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.strip().split(",")


def test_amtool_takes_it(file: Path) -> None:
    done = subprocess.run([str(amtool()), "check-config", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_takes_that_of_a_stack_which_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(configuration(Alerts()))
    subprocess.run([str(amtool()), "check-config", str(path)], check=True, capture_output=True)
    assert tell(path, "severity=critical") == tell(path, "alertname=Watchdog") == ["nobody"]


def test_each_severity_reaches_its_receivers(file: Path) -> None:
    assert tell(file, "alertname=WebDown", "severity=critical") == ["on-call", "team"]
    assert tell(file, "alertname=WebSlow", "severity=warning") == ["team"]


def test_the_heartbeat_reaches_its_own_address_and_nobody_else(file: Path) -> None:
    assert tell(file, "alertname=Watchdog", "severity=none") == ["watchdog"]

"""The real engine with the real providers, and no cluster at all."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import machine
from tests.engine.project import Project, stock_environment
from tools import pulumi_home
from tools.progress import Progress


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a person with a stock Pulumi: the machine's own, or the one that we built."""
    progress = Progress()
    programs = machine.ensure(machine.ENGINE, progress)
    progress.close()
    home = tmp_path_factory.mktemp("home") / "pulumi"
    if programs.toolchain is None:
        return stock_environment([programs.engine], Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")), Path(sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        # The plugins' folder is laid out among the state: not among the user's own.
        patch.setenv("SWITCHYARD_STATE", str(home.parent))
        home = pulumi_home.pulumi_home(programs.toolchain)
    host = programs.toolchain.program("pulumi-language-python")
    return stock_environment([programs.engine, host], home, Path(sys.executable))


@pytest.fixture
def project(stock: dict[str, str], tmp_path: Path) -> Project:
    """A checkout of its own, without any stack."""
    return Project(tmp_path / "checkout", stock)


@pytest.fixture(scope="module")
def make_project(stock: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make checkouts that live as long as a module's tests."""
    return lambda: Project(tmp_path_factory.mktemp("project") / "checkout", stock)

"""Lint, format and types are tests like the others, so that one closing line counts everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

CHECKS = {
    "ruff finds nothing": [BIN / "ruff", "check", "."],
    "ruff would format nothing": [BIN / "ruff", "format", "--check", "."],
    "pyright finds nothing": [BIN / "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("argv", CHECKS.values(), ids=CHECKS.keys())
def test_lint(argv):
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, argv))}\n{done.stdout[-8000:]}{done.stderr[-2000:]}"

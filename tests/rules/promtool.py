"""promtool and amtool, as the tests find them: built by the toolchain, or the machine's own."""

import subprocess
from functools import cache
from pathlib import Path

from cli import machine
from tools import toolchain


@cache
def promtool() -> Path:
    """Return the program; it is built when there is none."""
    return machine.find("promtool") or toolchain.ensure(["rules"]).program("promtool")


def check_rules(file: Path) -> "subprocess.CompletedProcess[str]":
    """Let promtool read a file of rules."""
    return subprocess.run([str(promtool()), "check", "rules", "--lint=none", str(file)], capture_output=True, text=True, check=False)


@cache
def amtool() -> Path:
    """Return Alertmanager's own tool; it is built when there is none."""
    return machine.find("amtool") or toolchain.ensure(["rules"]).program("amtool")

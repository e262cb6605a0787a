"""A pytest plugin: stops the sandbox before pytest writes its closing line, if it was stopped before the tests."""

import os

from cli.tests import STOP_SANDBOX, stop_sandbox


def pytest_sessionfinish() -> None:
    """Leave the machine as it was found."""
    if os.environ.get(STOP_SANDBOX):
        stop_sandbox()

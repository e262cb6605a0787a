"""Waiting for what another process will do."""

import time
from collections.abc import Callable

from sandbox.errors import StartError
from sandbox.processes import Processes


def wait_for(name: str, ready: Callable[[], bool], processes: Processes, seconds: float, what: str = "did not answer") -> None:
    """Wait until `ready` says so; raise StartError when the process `name` ends, or has not become ready in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        processes.check(name)
        if processes.interrupted.is_set():
            raise StartError(name, "was being waited for when another part failed", processes.log(name))
        if time.monotonic() > deadline:
            raise StartError(name, f"{what} within {seconds:.0f} s", processes.log(name))
        time.sleep(0.1)

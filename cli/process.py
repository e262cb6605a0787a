"""Running other programs: shown before they run, and ended gently on Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cli import console
from cli.errors import Terminated


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, to_stdout: bool = False) -> int:
    """Run a program, show its output on standard error, and return its exit code.

    It gets a process group of its own, and from us one SIGINT for every Ctrl-C: the engine ends gently on the first
    and at once on the second. On a shared group it would get the terminal's as well, and count two.
    """
    console.command(argv)
    output = None if to_stdout else sys.stderr.fileno()
    with _Relay() as relay:
        # Ctrl-C must not come between the start and the wait: the child would be left alone.
        relay.child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, process_group=0)
        relay.pass_on()
        return relay.child.wait()


def capture(argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program that only reads, without showing it, and return what it said; a late one counts as failed."""
    try:
        return subprocess.run(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer within {seconds:.0f} s")


def replace(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become another program: its output, its terminal and its exit code are the user's."""
    console.command(argv)
    sys.stdout.flush()
    os.execve(argv[0], list(argv), dict(env))


class _Relay:
    """Turns SIGINT and SIGTERM into SIGINTs for a child while it runs, and raises them when it has ended."""

    def __init__(self) -> None:
        """Be ready to listen."""
        self.child: subprocess.Popen[bytes] | None = None
        self._received: list[int] = []
        self._sent = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Relay":
        """Listen."""
        self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and raise what came."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received:
            raise Terminated if self._received[0] == signal.SIGTERM else KeyboardInterrupt

    def pass_on(self) -> None:
        """Send the child what has not been sent yet."""
        while self.child and self._sent < len(self._received):
            self._sent += 1
            self.child.send_signal(signal.SIGINT)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self._received:
            console.note("stopping: waiting for the step that is under way; Ctrl-C again ends it at once")
        self._received.append(number)
        self.pass_on()

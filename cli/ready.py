"""`sy ready`: whether a stack may be depended on, point by point."""

import time

import click

from cli import console, readiness
from cli.environment import logged_in
from cli.errors import FAILED
from cli.readiness import Point
from cli.stack import Stack
from cli.target import Target, existing
from settings.types import seconds_of
from tools.errors import UserError
from tools.progress import Progress

POLL_SECONDS = 10.0


@click.command("ready")
@click.argument("name", metavar="STACK")
@click.option("--wait", metavar="DURATION", is_flag=False, flag_value="30m", help="Ask again until nothing is open, for so long: 90s, 30m.")
def command(name: str, wait: str | None) -> None:
    r"""Say what a new stack still needs, and end with a lamp's fall when nothing is left. Changes nothing.

    Secrets, key, images, cluster, names, certificate, first account: each with its present state and, while it is open, what to do.
    When all else is done, the demo's lamp falls and its alert is read back. Exit code 1 while something is open.

    \b
    ./sy ready bright-homes
    ./sy ready bright-homes --wait 30m       while DNS records spread
    """
    try:
        seconds = seconds_of(wait) if wait else 0
    except ValueError as error:
        raise UserError(f"--wait: {error}") from None
    progress = Progress()
    try:
        points = _patiently(name, seconds, progress)
    finally:
        progress.close()
    readiness.show(points)
    if left := unfinished(points):
        console.result(f"stack {name} is not ready: {len(left)} of {len(points)} points are open")
        raise SystemExit(FAILED)
    console.result(f"stack {name} is ready")


def unfinished(points: list[Point]) -> list[Point]:
    """Return the points that stand in the way."""
    return [point for point in points if point.state in ("open", "later")]


def _patiently(name: str, seconds: int, progress: Progress) -> list[Point]:
    deadline = time.monotonic() + seconds
    while True:
        stack = Stack.open(name)
        with progress.step(f"asking what stack {name} still needs"):
            points = readiness.points(stack, _target(stack, progress), progress)
        left = unfinished(points)
        if not left or time.monotonic() + POLL_SECONDS > deadline:
            return points
        progress.say(f"{left[0].what}: {left[0].says}")
        time.sleep(POLL_SECONDS)


def _target(stack: Stack, progress: Progress) -> Target | None:
    """Return the stack with its tools; None while nobody could have brought it up."""
    return existing(stack.name, progress) if stack.on_sandbox or logged_in() else None

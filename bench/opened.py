"""A stack that is up, found by its name."""

from bench.installation import Installation
from cli.target import Target, existing
from tools.progress import Progress


def opened_target(stack: str) -> Target:
    """Return the target of a stack as it was brought up last."""
    progress = Progress()
    try:
        return existing(stack, progress)
    finally:
        progress.close()


def opened_installation(stack: str) -> Installation:
    """Return a stack that is up, with lamps' and apps' ways into it."""
    target = opened_target(stack)
    return Installation.of(target.reached(), target.outputs())

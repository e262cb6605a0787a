"""Where Switchyard keeps what it builds (cache) and what must survive (state). Both are outside the repository."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds Pulumi.yaml."""


def cache_dir() -> Path:
    """Return the folder of everything that can be built again: $SWITCHYARD_CACHE, or switchyard in the user's cache folder."""
    return _folder("SWITCHYARD_CACHE", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Return the folder of what can not be built again: $SWITCHYARD_STATE, or switchyard in the user's state folder."""
    return _folder("SWITCHYARD_STATE", "XDG_STATE_HOME", ".local/state")


def _folder(own: str, xdg: str, default: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own]).absolute()
    base = os.environ.get(xdg) or str(Path.home() / default)
    return Path(base).absolute() / "switchyard"

"""The whole stack: what a measurement of "every component" turns on in a copy of the checkout."""

import subprocess
from pathlib import Path
from shutil import copy
from typing import Any, cast

import yaml

from settings.layers import PROJECT
from settings.loader import read_stack_file, resolve
from settings.stack import Settings
from tools.paths import ROOT


def copy_checkout(target: Path) -> None:
    """Copy every file of this checkout that git knows, as it is now."""
    known = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, known.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, target / name, follow_symlinks=False)


def turn_on(root: Path, stack: str) -> list[str]:
    """Make the stack of a copied checkout run every component that this one has; return their names."""
    file = root / f"Pulumi.{stack}.yaml"
    settings = resolve(stack, *read_stack_file(file, root), root)
    parts = components(settings)
    document = yaml.safe_load(file.read_text())
    config = cast("dict[str, Any]", document["config"])
    for name in (name for name, where in parts.items() if where == "none"):
        config[f"{PROJECT}:{name}"] = {**cast("dict[str, Any]", config.get(f"{PROJECT}:{name}") or {}), "where": "cluster"}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert "none" not in components(resolve(stack, *read_stack_file(file, root), root)).values()
    return list(parts)


def components(settings: Settings) -> dict[str, str]:
    """Return the parts of a stack that can be turned on and off, each with where it runs."""
    said = {name: getattr(getattr(settings, name), "where", None) for name in Settings.model_fields}
    return {name: where for name, where in said.items() if where is not None}

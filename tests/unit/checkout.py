"""A checkout of the tests' own, with what settings are read from and no program."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from settings.loader import PROJECT, ROOT


def checkout(folder: Path, stacks: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write the product, the tiers and these stacks' files into `folder`, and return it."""
    shutil.copy(ROOT / "product.yaml", folder / "product.yaml")
    shutil.copytree(ROOT / "settings" / "tiers", folder / "settings" / "tiers")
    for name, said in stacks.items():
        config = {f"{PROJECT}:{key}": value for key, value in said.items()}
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    return folder

"""A root of its own with stack files, so that tests can say what stacks say."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.stack import Stack
from rendering import render_all
from reports.subject import Subject
from settings.loader import ROOT

Config = dict[str, Any]

UNWATCHED: Config = {part: {"where": "none"} for part in ("elasticsearch", "canary", "logs", "metrics", "grafana", "edge")}
"""The product without its search engine, its Gateway and what watches it: for tests of the rest, which would only wait for them."""


def house(folder: Path, stacks: Mapping[str, Config]) -> Path:
    """Make a root with this product, its tiers, and a file for each stack; return it."""
    (folder / "settings").mkdir()
    shutil.copytree(ROOT / "settings" / "tiers", folder / "settings" / "tiers")
    shutil.copy(ROOT / "product.yaml", folder)
    for name, said in stacks.items():
        document = {"config": {f"switchyard:{key}": value for key, value in said.items()}}
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    return folder


def stack(name: str, *further: Config, tier: str = "production") -> Config:
    """Return what a stack called `name` says: its domain and cluster, and what is `further` said. It is UNWATCHED unless that says more."""
    made: Config = {"tier": tier, "domain": f"{name}.lamps.example", "cluster": {"identifier": f"company-{name}"}, **UNWATCHED}
    made["edge"] = {"where": "none", "namespaces": ["envoy-gateway-system"]}
    # Room for the replicas that tests add.
    made["postgres"] = {"max_connections": 300}
    for more in further:
        made = laid(made, more)
    return made


def laid(low: Config, high: Config) -> Config:
    """Return `low` with `high` laid over it; a null stays, as it does in a file."""
    both = {
        key: laid(low[key], value) if isinstance(value, dict) and isinstance(low.get(key), dict) else value for key, value in high.items()
    }
    return {**low, **both}


def subjects(root: Path, names: list[str]) -> dict[str, Subject]:
    """Return stacks of `root` as reports compare them."""
    made = render_all(names, root)
    return {name: Subject(made[name], Stack.load(name, root=root).settings) for name in names}

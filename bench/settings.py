"""How long resolving a stack's settings takes after imports, alone and with the files of 50 other stacks beside it.

python -m bench.settings
python -m bench.settings --stacks 200 --runs 50
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.figures import percentile, show
from settings.layers import PROJECT
from settings.loader import ROOT, load, read_stack_file, resolution, resolve
from settings.provenance import explain
from settings.reading import _LOADER

LIMIT_MS = 50
LIKE = "production"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.settings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=50, metavar="N", help="other stacks beside it (default 50)")
    parser.add_argument("--runs", type=int, default=40, metavar="N", help="times that each is measured (default 40)")
    words = parser.parse_args()
    print(f"YAML is read with {_LOADER.__name__}")
    with tempfile.TemporaryDirectory(prefix="switchyard-settings-") as name:
        alone, crowded = Path(name) / "alone", Path(name) / "crowded"
        house(alone, 0)
        house(crowded, words.stacks)
        measure("resolve one stack, file read", lambda: from_file(alone), words.runs)
        measure(f"the same beside {words.stacks} others", lambda: from_file(crowded), words.runs)
        config = {"tier": LIKE, "domain": "lamps-0.example.com", "cluster": '{"identifier": "company"}'}
        measure("from the engine's configuration, beside them", lambda: load("stack-0", config, crowded), words.runs)
        measure("with where each value comes from", lambda: origins(crowded), words.runs)


def house(root: Path, others: int) -> None:
    """Make a root with this product and so many stacks besides the one that is measured."""
    (root / "settings").mkdir(parents=True)
    shutil.copytree(ROOT / "settings" / "tiers", root / "settings" / "tiers")
    shutil.copy(ROOT / "product.yaml", root)
    said, _ = read_stack_file(ROOT / f"Pulumi.{LIKE}.yaml")
    for number in range(others + 1):
        name = f"lamps-{number}.example.com"
        own = {**said, "domain": name, "mqtt": {"host_names": [f"mqtt.{name}"]}}
        config = {f"{PROJECT}:{key}": value for key, value in own.items()}
        (root / f"Pulumi.stack-{number}.yaml").write_text(yaml.safe_dump({"config": config}))


def from_file(root: Path) -> None:
    """Resolve the stack as `sy` does."""
    resolve("stack-0", *read_stack_file(root / "Pulumi.stack-0.yaml"), root)


def origins(root: Path) -> None:
    """Resolve and explain it as `sy explain` does."""
    made = resolution("stack-0", *read_stack_file(root / "Pulumi.stack-0.yaml"), root)
    explain(made.settings, made.layers)


def measure(name: str, what: Callable[[], object], runs: int) -> None:
    """Print the median of all runs and the worst."""
    first = milliseconds(what)
    taken = [milliseconds(what) for _ in range(runs)]
    note = f"first {first:.1f}, 95 % within {percentile(taken, 0.95):.1f}, worst {max(taken):.1f}"
    show(name, max(statistics.median(taken), first), "ms", LIMIT_MS, note=note)


def milliseconds(what: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()

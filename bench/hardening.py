"""What network policies and probes add to the time of `./sy up`: a stack of the sandbox with them and without, in turns.

    python -m bench.hardening              five runs of each
    python -m bench.hardening --whole      with all that watches the product, too

Each run brings a stack called `hardening` up from nothing, to the alert read back, and destroys it, after one that is not counted: it
brings up what the cluster has once. Nothing else should be at work meanwhile. The stack without is made by this program in a copy of the
checkout, where NetworkPolicies and probes are left out.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.figures import show
from tools.paths import ROOT

LIMIT_PERCENT = 5
NAME = "hardening"
FILE = f"Pulumi.{NAME}.yaml"
SAID = """\
config:
  pulumi:disable-default-providers: ["kubernetes"]
  switchyard:tier: sandbox
  switchyard:domain: hardening.example
  switchyard:cluster: {identifier: sandbox}
"""
UNWATCHED = "".join(f"  switchyard:{part}: {{where: none}}\n" for part in ("elasticsearch", "canary", "logs", "metrics", "grafana"))
BARE = """\
from pulumi_kubernetes import core, networking

_made = core.v1.ContainerArgs.__init__


def _without_probes(self, **said):
    _made(self, **{name: value for name, value in said.items() if not name.endswith("_probe")})


core.v1.ContainerArgs.__init__ = _without_probes
networking.v1.NetworkPolicy = lambda *_words, **_said: None

"""
"""What stands before the program in the copy that makes neither policies nor probes."""
LEFT_OUT = (".git", "__pycache__", ".pytest_cache", ".ruff_cache")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.hardening", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="how often each (default 5)")
    parser.add_argument("--whole", action="store_true", help="with metrics, logs, search and canary")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchyard-hardening-") as folder:
        copies = {name: copied(Path(folder) / name, bare=name == "without", whole=words.whole) for name in ("without", "with")}
        took: dict[str, list[float]] = {name: [] for name in copies}
        show("a first `sy up`, not counted", brought_up(copies["with"]), "s")
        for _ in range(words.runs):
            for name, copy in copies.items():
                took[name].append(brought_up(copy))
                show(f"`sy up` {name} policies and probes", took[name][-1], "s")
    without, with_all = (statistics.median(took[name]) for name in ("without", "with"))
    show("median without", without, "s")
    show("median with", with_all, "s")
    show("policies and probes add", (with_all / without - 1) * 100, "%", LIMIT_PERCENT)


def copied(folder: Path, *, bare: bool, whole: bool) -> Path:
    """Return a copy of the checkout with a stack of the sandbox's, `bare` of policies and probes or as it is."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / FILE).write_text(SAID + ("" if whole else UNWATCHED))
    program = folder / "__main__.py"
    # A module's docstring may stand anywhere: nobody reads it here.
    program.write_text((BARE if bare else "") + program.read_text())
    return folder


def brought_up(copy: Path) -> float:
    """Bring the stack up from nothing and destroy it; return the seconds of the first."""
    began = time.monotonic()
    try:
        subprocess.run(["./sy", "up", "-s", NAME], cwd=copy, check=True, stdin=subprocess.DEVNULL)
        return time.monotonic() - began
    finally:
        words = ["./sy", "destroy", "-s", NAME, "--yes", "--allow-data-loss", NAME]
        subprocess.run(words, cwd=copy, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

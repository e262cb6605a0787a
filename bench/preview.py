"""`pulumi preview` of a stack with every component against a bare program that declares the same resources as literals, run in turns.

    python -m bench.preview
    python -m bench.preview --stack sandbox --as-it-is --runs 9

Neither needs a cluster: both preview a new installation. What the ratio tells is the cost of settings, components and
names; starting the engine and registering the resources is in both.
"""

import argparse
import json
import os
import pprint
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.everything import turn_on
from bench.figures import show
from cli import machine
from tools import pulumi_home
from tools.paths import ROOT
from tools.progress import Progress

RATIO_LIMIT = 1.3
PARTS = ("__main__.py", "Pulumi.yaml", "product.yaml", "components", "settings")
HEADER = """import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random
import pulumi_tls as tls

provider = kubernetes.Provider("cluster", kubeconfig=KUBECONFIG, context="none", cluster_identifier="sandbox")
opts = pulumi.ResourceOptions(provider=provider)
"""
NOT_IN_ARGUMENTS = {"apiVersion", "kind"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.preview", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="production", help="the stack whose file is previewed (default production)")
    parser.add_argument("--as-it-is", action="store_true", help="leave the components off that the stack has not")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="previews of each, in turns (default 5)")
    parser.add_argument("--keep", action="store_true", help="leave the generated program and say where it is")
    words = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="switchyard-preview-"))
    try:
        compare(folder, words.stack, words.runs, whole=not words.as_it_is)
    finally:
        if words.keep:
            print(f"the bare program is in {folder / 'bare'}")
        else:
            shutil.rmtree(folder)


def compare(folder: Path, stack: str, runs: int, *, whole: bool = True) -> None:
    """Preview both in turns and print the figures; `whole` turns every component on."""
    env = environment(folder)
    ours, bare = folder / "ours", folder / "bare"
    copy_checkout(ours, stack)
    if whole:
        print(f"components: {', '.join(turn_on(ours, stack))}")
    resources = previewed(ours, stack, env)
    write_bare(bare, stack, resources)
    assert len(previewed(bare, stack, env)) == len(resources), "the bare program does not declare the same resources"
    times: dict[Path, list[float]] = {ours: [], bare: []}
    worked: dict[Path, list[float]] = {ours: [], bare: []}
    for _ in range(runs):
        for one, taken in times.items():
            whole_time, processors = seconds(one, stack, env)
            taken.append(whole_time)
            worked[one].append(processors)
    show("resources", len(resources), "")
    ours_s, bare_s = (statistics.median(taken) for taken in times.values())
    show(f"preview of stack {stack}, median of {runs}", ours_s, "s", note=f"{min(times[ours]):.2f} to {max(times[ours]):.2f}")
    show("preview of the bare program, median", bare_s, "s", note=f"{min(times[bare]):.2f} to {max(times[bare]):.2f}")
    show("ratio", ours_s / bare_s, "", RATIO_LIMIT)
    ours_s, bare_s = (statistics.median(taken) for taken in worked.values())
    show("ratio of processor time, which a busy machine blurs less", ours_s / bare_s, "", note=f"{ours_s:.2f} s to {bare_s:.2f} s")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of an engine with a state of its own."""
    progress = Progress()
    programs = machine.ensure(machine.ENGINE, progress)
    progress.close()
    (folder / "backend").mkdir()
    (folder / "passphrase").write_text("bench")
    env = pulumi_home.environment(programs.toolchain, os.environ)
    env["PATH"] = f"{programs.engine.parent}{os.pathsep}{env['PATH']}"
    own = {"PULUMI_BACKEND_URL": f"file://{folder / 'backend'}", "PULUMI_CONFIG_PASSPHRASE_FILE": str(folder / "passphrase")}
    # The Kubernetes provider leaves kubeconfigs in the folder of temporary files.
    return env | own | {"KUBECONFIG": str(folder / "no-kubeconfig"), "TMPDIR": str(folder)}


def copy_checkout(target: Path, stack: str) -> None:
    """Copy what a preview reads, because the engine writes into stack files."""
    target.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / part)
    shutil.copy(ROOT / f"Pulumi.{stack}.yaml", target)


def previewed(folder: Path, stack: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Make the stack and return the resources that its preview names, components left out."""
    run(["pulumi", "stack", "init", stack, "--no-select", "--non-interactive"], folder, env)
    said = json.loads(run(["pulumi", "preview", "--json", "--stack", stack, "--non-interactive"], folder, env))
    made = [step["newState"] for step in said["steps"]]
    return [one for one in made if one["type"].startswith(("kubernetes:", "random:", "tls:"))]


def write_bare(folder: Path, stack: str, resources: list[dict[str, Any]]) -> None:
    """Write a program that declares the resources as literals, and nothing else."""
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: bare\nruntime: python\n")
    unreachable = re.search(r'UNREACHABLE = """(.*?)"""', (ROOT / "__main__.py").read_text(), re.DOTALL)
    assert unreachable
    calls = [call(one) for one in resources]
    (folder / "__main__.py").write_text(f"KUBECONFIG = '''{unreachable[1]}'''\n{HEADER}\n" + "\n".join(calls) + "\n")


def call(made: Mapping[str, Any]) -> str:
    """Return the statement that declares a resource."""
    package, module, kind = made["type"].split(":")
    # kubernetes:networking.k8s.io/v1:NetworkPolicy, but random:index/randomPassword:RandomPassword
    group, _, version = module.partition("/")
    path = f"{package}.{group.partition('.')[0]}.{version}" if package == "kubernetes" else package
    said = made.get("inputs", {}).items()
    arguments = {snake(key): value for key, value in said if key not in NOT_IN_ARGUMENTS and not key.startswith("__")}
    opts = ", opts=opts" if package == "kubernetes" else ""
    name = made["urn"].rsplit("::", 1)[-1]
    if group.partition(".")[0] == "gateway":
        # A kind that the cluster defines itself.
        path, kind = "kubernetes.apiextensions", "CustomResource"
        arguments = {"api_version": module, "kind": made["type"].rpartition(":")[2], **arguments}
    return f"{path}.{kind}({name!r}, **{pprint.pformat(arguments, width=130, sort_dicts=False)}{opts})"


def snake(key: str) -> str:
    """Return a property's name as Python's SDK calls it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()


def seconds(folder: Path, stack: str, env: Mapping[str, str]) -> tuple[float, float]:
    """Return how long a preview takes, and the processor time of all its processes."""
    before, began = _worked(), time.monotonic()
    run(["pulumi", "preview", "--stack", stack, "--non-interactive"], folder, env)
    return time.monotonic() - began, _worked() - before


def _worked() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command: list[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run a command in a folder and return its output; RuntimeError with the end of what it said when it fails."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    main()

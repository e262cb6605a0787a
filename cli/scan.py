"""`sy scan`: checkov and kube-score over a stack's manifests, and nothing that scan.yaml does not explain."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli import console
from cli.errors import FAILED
from cli.render import rendered, text
from preflight.server import OLDEST
from rendering.resources import Manifest
from reports import scan
from reports.subject import APP_LABEL
from settings import SettingsError
from tools import checkov, toolchain
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

STAND_IN = f"@sha256:{'0' * 64}"
"""What an image that is not pinned yet is scanned with: `up` takes none without a digest."""
SECONDS = 300


@click.command("scan")
@click.argument("stack", default="production")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--explanations",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / scan.FILE,
    metavar="FILE",
    help="What is left as it is, and why; default: scan.yaml.",
)
def command(stack: str, as_json: bool, file: Path) -> None:
    r"""Run checkov and kube-score over a stack's manifests, production's by default. Needs no engine, no cluster and no passphrase.

    Each finding that is left as it is has its reason in scan.yaml. A finding without a reason fails, and so does a reason without
    a finding, and a workload with more than two findings of one scanner. What an annotation would hide counts. An image without a
    digest is scanned as if it had one: `up` refuses it.

    \b
    ./sy scan                                production: a line for each workload, then what is wrong
    ./sy scan bright-homes --explanations bright-homes.yaml

    Exit code 1: something is unexplained, or explained and not found.
    """
    explained = scan.read(file)
    verdict = verdict_of(stack, explained)
    if as_json:
        console.result(json.dumps([{"about": one.about, "check": one.check, "says": one.says} for one in verdict.findings], indent=1))
    else:
        console.result("\n".join(scan.lines(verdict)))
    if not verdict.holds:
        raise SystemExit(FAILED)


def verdict_of(stack: str, explained: Sequence[scan.Explanation]) -> scan.Verdict:
    """Return what the scanners find in a stack, held against explanations; they are installed where they are missing."""
    progress = Progress()
    try:
        ours = checkov.ensure(progress)
        theirs = toolchain.ensure(["kube-score"], progress).program("kube-score")
        with progress.step(f"scanning the stack {stack}"):
            objects = rendered(stack).objects()
            return scanned(objects, explained, ours, theirs)
    finally:
        progress.close()


def scanned(objects: Sequence[Manifest], explained: Sequence[scan.Explanation], ours: Path, theirs: Path) -> scan.Verdict:
    """Return what two scanners find in manifests, held against explanations."""
    pinned = [_pinned(one) for one in objects]
    with tempfile.TemporaryDirectory(prefix="sy-scan-") as folder:
        for number, manifest in enumerate(pinned):
            (Path(folder) / f"{number:03}.yaml").write_text(text(manifest))
        try:
            findings = [*scan.of_checkov(_checkov(ours, folder)), *scan.of_kube_score(_kube_score(theirs, folder))]
        except ValueError as error:
            raise SettingsError([str(error)]) from None
    kept = [one for one in pinned if one["kind"] in scan.WORKLOADS]
    app = {_called(one) for one in kept if APP_LABEL in (_template(one).get("metadata", {}).get("labels") or {})}
    return scan.judge(findings, [_called(one) for one in kept], explained, app)


def _called(manifest: Manifest) -> str:
    return scan.lasting(manifest["kind"], manifest["metadata"]["name"])


def _checkov(program: Path, folder: str) -> Any:
    # A home of its own: a .checkov.yaml of the user's must not turn checks off.
    env = {**os.environ, "HOME": folder, "BC_SKIP_MAPPING": "TRUE"}
    words = ["--directory", folder, "--framework", "kubernetes", "--output", "json", "--compact", "--skip-download"]
    return _answer([str(program), *words], folder, env)


def _kube_score(program: Path, folder: str) -> Any:
    version = f"v{OLDEST[0]}.{OLDEST[1]}"
    words = ["score", "--kubernetes-version", version, "--output-format", "json", "--disable-ignore-checks-annotations"]
    return _answer([str(program), *words, *map(str, sorted(Path(folder).glob("*.yaml")))], folder, dict(os.environ))


def _answer(argv: list[str], folder: str, env: dict[str, str]) -> Any:
    """Return what a scanner prints as JSON; both exit with 1 when they found something."""
    done = subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise UserError(
            f"{Path(argv[0]).name} ended with {done.returncode} and no report:\n{(done.stdout + done.stderr)[-2000:]}"
        ) from None


def _pinned(manifest: Manifest) -> Manifest:
    """Return a manifest whose images all have a digest."""
    copy: Manifest = json.loads(json.dumps(manifest))
    pod: dict[str, list[dict[str, Any]]] = _template(copy).get("spec", {})
    for container in [*pod.get("containers", []), *(pod.get("initContainers") or [])]:
        if "@" not in container["image"]:
            repository, _, tag = container["image"].rpartition(":")
            container["image"] = f"{repository if '/' not in tag else container['image']}{STAND_IN}"
    return copy


def _template(manifest: Manifest) -> dict[str, Any]:
    """Return the template of a workload's pods; empty of anything else."""
    if manifest["kind"] not in scan.WORKLOADS:
        return {}
    spec: dict[str, Any] = manifest.get("spec") or {}
    return (spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec)["template"]

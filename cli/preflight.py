"""`sy doctor -s STACK`: what of the stack's cluster would make `up` fail or wait."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cli import console, kubectl, machine
from cli.engine import Engine
from cli.environment import local_workspace, logged_in, own_workspace, users
from cli.errors import MENDABLE
from cli.kubectl import Kubectl
from cli.stack import Stack, config_of, effective, read
from cli.target import said_before
from preflight import run
from preflight.findings import Finding, right, unknown, wrong
from preflight.namespace import Standing
from preflight.needs import Needs
from preflight.objects import part, text
from preflight.scratch import Scratch
from rendering import render
from sandbox import layout
from settings.loader import PROJECT
from settings.stack import RegistryLogin
from tools import pulumi_home, toolchain
from tools.errors import UserError
from tools.paths import ROOT, state_dir
from tools.progress import Progress

WORDS = {"right": "right  ", "wrong": "WRONG  ", "unknown": "unknown"}


@dataclass(frozen=True)
class Report:
    """What was found about a stack and its cluster."""

    stack: Stack
    findings: Sequence[Finding]
    seconds: float

    @property
    def code(self) -> int:
        """The exit code: 2 when something is wrong."""
        return MENDABLE if self.count("wrong") else 0

    def count(self, verdict: str) -> int:
        """Return how many findings are so."""
        return sum(finding.verdict == verdict for finding in self.findings)

    def as_json(self) -> str:
        """Return it for programs."""
        where = {"stack": self.stack.name, "cluster": self.stack.settings.cluster.identifier, "namespace": self.stack.namespace}
        found = [finding.as_json() for finding in self.findings]
        return json.dumps({**where, "seconds": round(self.seconds, 1), "findings": found}, indent=2)

    def write(self) -> None:
        """Print one line for each finding, and how many are what."""
        said = self.stack.settings.cluster
        console.heading(f"Stack {self.stack.name} on cluster {said.identifier}, namespace {self.stack.namespace}")
        console.table([(WORDS[one.verdict], one.check, f"{one.found}; {one.cure}" if one.cure else one.found) for one in self.findings])
        console.result(
            f"{self.count('right')} right, {self.count('wrong')} wrong, {self.count('unknown')} can not be known ({self.seconds:.0f} s)"
        )


def report(name: str, progress: Progress, root: Path = ROOT) -> Report:
    """Ask a stack's cluster everything; SettingsError and UserError as `Stack.open` says them."""
    began = time.monotonic()
    stack = Stack.open(name, root)
    with Scratch.make() as folder:
        file = _file(stack, folder)
        final = Stack.load(name, file, root) if stack.on_sandbox else stack
        found = [*_lacks(final), *_of_cluster(final, file, progress, root)]
    return Report(final, found, time.monotonic() - began)


def _lacks(stack: Stack) -> list[Finding]:
    """Return what the stack's settings lack."""
    lacks = stack.lacks()
    if not lacks:
        return [right("settings", "all that `up` needs is said")]
    file = f"Pulumi.{stack.name}.yaml"
    return [wrong("settings", f"{file}: {found}", cure) for found, _, cure in (lack.partition(": ") for lack in lacks)]


def _of_cluster(stack: Stack, file: Path, progress: Progress, root: Path) -> list[Finding]:
    said = stack.settings
    if not said.cluster.context:
        return [unknown("cluster", "not asked: the stack names none")]
    with progress.step(f"rendering stack {stack.name}"):
        rendered = render(stack.name, root, file)
    client = Kubectl(kubectl.find(machine.find_built("kubectl")), said.cluster, stack.namespace)
    needs = Needs(stack.name, stack.namespace, rendered.objects())
    engine = _engine(stack, file, progress)
    standing = Standing(stack.owner, _installation(engine) if engine else "")
    login = _login(said.images.login, engine) if engine and said.images.login else ""
    with progress.step("asking the cluster"):
        return run.preflight(client.cluster_argv(), users(), said, standing, needs, progress.say, login)


def _engine(stack: Stack, file: Path, progress: Progress) -> Engine | None:
    """Return the engine if it is there already and knows where the stack's state is; nothing is built or made for a question."""
    workspace = local_workspace() if stack.on_sandbox else own_workspace()
    known = workspace.passphrase_file.exists() if workspace.local else logged_in()
    built = all(one.built for one in toolchain.plan(machine.ENGINE))
    if not known or not (built or pulumi_home.installed_pulumi()):
        return None
    programs = machine.ensure(machine.ENGINE, progress)
    return Engine(programs.engine, stack.name, file, workspace, workspace.variables(programs.toolchain))


def _installation(engine: Engine) -> str:
    """Return the number by which the stack's state knows its namespace; empty when it was never brought up."""
    try:
        standing = engine.standing()
    except UserError:
        return ""
    made = [one for one in standing if str(one["urn"]).endswith("::installation")]
    return text(made[0], "outputs", "hex") if made else ""


def _login(said: RegistryLogin, engine: Engine) -> str:
    """Return what the stack's pull secret will hold; empty when the password can not be decrypted here."""
    done = engine.capture(engine.argv("config", "get", said.password))
    return said.docker_config(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else ""


def _file(stack: Stack, folder: Path) -> Path:
    """Return the file that says what the stack runs as; for the sandbox it is put together anew, so that nothing is changed."""
    if not stack.on_sandbox:
        return stack.file
    before = read(local_workspace().stacks / stack.file.name)
    path = folder / stack.file.name
    added = said_before(before) if config_of(before) else _sandbox()
    path.write_text(yaml.safe_dump(effective(read(stack.file), before, added)))
    return path


def _sandbox() -> dict[str, object]:
    """Return where the sandbox is, for a stack that was never brought up on it, and the images that it has for others."""
    kubeconfig = layout.Layout(state_dir() / "sandbox").kubeconfig
    if not kubeconfig.exists():
        raise UserError("there is no sandbox yet: `./sy up` makes one, and `./sy doctor` says what that takes")
    cluster = {"kubeconfig": str(kubeconfig), "context": layout.CONTEXT, "api_server": [f"{layout.HOST}/32"]}
    pinned: dict[str, object] = {}
    for other in local_workspace().stacks.glob("Pulumi.*.yaml"):
        pinned |= part(config_of(read(other)), f"{PROJECT}:images", "pinned")
    return {f"{PROJECT}:cluster": cluster, f"{PROJECT}:images": {"pinned": pinned}}

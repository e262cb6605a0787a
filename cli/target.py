"""A stack with the tools that work on it: engine, kubectl, workspace."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import urlsplit, urlunsplit

import click

from cli import checks, kubectl, machine
from cli.engine import Engine, Pending
from cli.environment import Workspace, local_workspace, logged_in, own_workspace
from cli.kubectl import Kubectl
from cli.machine import Programs
from cli.stack import DEFAULT, IMAGES, Document, Stack, config_of, read, write_effective
from images import catalog
from settings.loader import PROJECT
from tools.errors import UserError
from tools.progress import Progress

stack_option = click.option(
    "--stack", "-s", "name", default=DEFAULT, show_default=True, metavar="STACK", help="The stack: one that has a Pulumi.STACK.yaml."
)


@dataclass(frozen=True)
class Target:
    """One stack, ready to be worked on."""

    stack: Stack
    engine: Engine
    kubectl: Kubectl | None
    """None where the stack names no cluster yet."""

    def reached(self) -> Kubectl:
        """Return kubectl for the stack's cluster; UserError when it names none, or there is no sandbox yet."""
        if self.kubectl is None:
            reason = "there is no sandbox yet: `./sy up` makes one" if self.stack.on_sandbox else "it names no cluster.context"
            raise UserError(f"stack {self.stack.name} has no cluster: {reason}")
        return self.kubectl

    def outputs(self) -> dict[str, object]:
        """Return the stack's outputs; UserError when it has never been brought up."""
        found = self.engine.outputs()
        if "namespace" not in found:
            raise UserError(f"stack {self.stack.name} has not been brought up: ./sy up -s {self.stack.name}")
        return found

    def openable(self) -> dict[str, object]:
        """Return the outputs; on the sandbox the URLs have addresses instead of names, which only the cluster's DNS knows."""
        outputs = self.outputs()
        if not self.stack.on_sandbox:
            return outputs
        addresses = self.reached().service_addresses()
        urls = cast("dict[str, str]", outputs.get("urls") or {})
        return {**outputs, "urls": {name: with_address(url, addresses) for name, url in urls.items()}}

    def config_values(self) -> dict[str, str]:
        """Return the config vars that the app runs with, secrets among them."""
        return self.reached().secret(str(self.outputs()["config_secret"]))

    def resume(self) -> None:
        """Make good what a killed run left behind, so that the next `up` goes on from there."""
        pending = self.engine.recover()
        if not pending:
            return
        for one in pending:
            self._remove(one)
        self.engine.must(self.engine.forget_pending_argv(), "Then run the same command again.")

    def _remove(self, pending: Pending) -> None:
        # Made again it would have two owners of its fields, of whom the first never lets go: a later change would conflict.
        # It was never recorded as made, so nothing is lost; a StatefulSet's claims stay.
        if pending.removable and self.kubectl:
            argv = self.kubectl.argv("delete", pending.kind, pending.name, "--ignore-not-found", "--timeout=120s")
            self.engine.must(argv, "Then run the same command again.")


def with_address(url: str, addresses: Mapping[str, str]) -> str:
    """Return a URL with the address of the Service that it names; as it is when there is none."""
    parts = urlsplit(url)
    address = addresses.get((parts.hostname or "").partition(".")[0])
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{address}{port}")) if address else url


def open_target(stack: Stack, programs: Programs, workspace: Workspace) -> Target:
    """Return the target of a stack whose file is final: the effective one on the sandbox."""
    workspace.prepare()
    engine = Engine(programs.engine, stack.name, stack.file, workspace, workspace.variables(programs.toolchain))
    cluster = stack.settings.cluster
    client = Kubectl(kubectl.find(machine.find_built("kubectl")), cluster, stack.namespace) if cluster.context else None
    return Target(stack, engine, client)


def existing(name: str, progress: Progress) -> Target:
    """Return the target of a stack as it was brought up last; the engine is built if it is missing."""
    stack = Stack.open(name)
    workspace = local_workspace() if stack.on_sandbox else own_workspace()
    if not stack.on_sandbox:
        checks.require_login(stack)
    programs = machine.ensure(machine.ENGINE, progress)
    if stack.on_sandbox:
        stack = last_effective(stack, workspace)
    return open_target(stack, programs, workspace)


def for_preview(name: str, progress: Progress) -> Target:
    """Return the target of a stack that is only looked at; without a login it is compared with nothing."""
    stack = Stack.open(name)
    if stack.on_sandbox:
        return existing(name, progress)
    if logged_in():
        return open_target(stack, machine.ensure(machine.ENGINE, progress), own_workspace())
    progress.say("Pulumi is not logged in: this preview is of a new installation")
    workspace = Workspace(local_workspace().folder / "preview", local=True)
    workspace.prepare()
    stack = replace(stack, file=write_effective(stack, workspace.stacks, {}))
    return open_target(stack, machine.ensure(machine.ENGINE, progress), workspace)


def last_effective(stack: Stack, workspace: Workspace) -> Stack:
    """Return a sandbox stack with its effective file: cluster and images as `up` wrote them, all else as tracked now."""
    workspace.prepare()
    before = said_before(read(workspace.stacks / stack.file.name))
    path = write_effective(stack, workspace.stacks, as_built(before))
    return Stack.load(stack.name, path)


def as_built(added: Document) -> Document:
    """Return what `up` added, with the images that it would pin now: those built as they are described today, otherwise those of then."""
    images = cast("Document", added.get(IMAGES) or {})
    pinned = cast("dict[str, str]", images.get("pinned") or {})
    fresh = {name: f"{images['registry']}/{name}@{built.digest}" for name in pinned if (built := _built(name))}
    return {**added, IMAGES: {**images, "pinned": {**pinned, **fresh}}} if fresh else added


def _built(name: str) -> catalog.Built | None:
    try:
        return catalog.built(name, machine.AlreadyBuilt()) if name in catalog.names() else None
    except UserError:
        return None


def said_before(before: Document) -> Document:
    """Return what `up` added to a sandbox stack's settings: its cluster, its images, and who reaches its web processes."""
    config = config_of(before)
    keys = (f"{PROJECT}:cluster", f"{PROJECT}:images")
    ranges = cast("dict[str, object]", config.get(f"{PROJECT}:edge") or {}).get("ranges")
    edge: dict[str, object] = {f"{PROJECT}:edge": {"ranges": ranges}} if ranges else {}
    return {key: config[key] for key in keys if key in config} | edge

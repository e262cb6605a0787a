"""Pulumi: its command lines, and the one stack they are about. Builders return argv and run nothing."""

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cli import console, process
from cli.environment import Workspace
from cli.errors import FailedError
from settings.loader import PROJECT
from tools.errors import UserError
from tools.paths import ROOT

STACK_NOT_FOUND = 6
"""Pulumi's exit code (cmd/exit_codes.go) for a stack that its backend does not have."""

QUIET = ("--suppress-outputs", "--suppress-permalink=true")
"""`up` prints what matters itself; a permalink is a path of this machine."""

PARALLEL = 32
"""Resources at once; by itself the engine takes four a core. Most only wait, each Service for ten seconds, and what others wait for may
come last: on two cores a whole stack was up after 65 s with 64 at once, in place of 76 (as bench.hardening --whole measures it)."""

WITH_CONFIG_FILE = ("config", "destroy", "import", "preview", "refresh", "up", "update", "watch")
"""Commands that take --config-file."""


@dataclass(frozen=True)
class Pending:
    """A create that a killed run began and never wrote down as done."""

    kind: str
    """As kubectl takes it, `Deployment.v1.apps`; empty for what is not in the cluster."""
    name: str

    @property
    def removable(self) -> bool:
        """Whether it can be deleted without taking data along: after a lost state a namespace may be older than its create."""
        return bool(self.kind) and self.kind not in ("Namespace", "PersistentVolumeClaim", "PersistentVolume")


@dataclass(frozen=True)
class Engine:
    """Pulumi for one stack."""

    program: Path
    stack: str
    config_file: Path
    workspace: Workspace
    env: Mapping[str, str]
    folder: Path = ROOT
    """The folder of the Pulumi program: its Pulumi.yaml."""
    project: str = PROJECT
    """The project's name there."""

    def argv(self, *words: str) -> list[str]:
        """Return the command line of a subcommand about this stack and its file."""
        return [str(self.program), *words, "--stack", self.stack, *self._config()]

    def up_argv(self, *, skip_preview: bool) -> list[str]:
        """Return the command line that brings the stack up without asking."""
        return self.argv("up", "--yes", *(["--skip-preview"] if skip_preview else []), f"--parallel={PARALLEL}", *QUIET)

    def preview_argv(self, *words: str) -> list[str]:
        """Return the command line that shows what `up` would do."""
        return self.argv("preview", *words, "--suppress-permalink=true")

    def destroy_argv(self) -> list[str]:
        """Return the command line that removes everything of the stack without asking."""
        return self.argv("destroy", "--yes", "--skip-preview", *QUIET)

    def forget_pending_argv(self) -> list[str]:
        """Return the command line that drops from the state what a killed run began to create."""
        return self.argv("refresh", "--yes", "--skip-preview", "--clear-pending-creates", *QUIET)

    def unprotect_argv(self, urns: Sequence[str]) -> list[str]:
        """Return the command line that lets resources of the state be deleted."""
        return [str(self.program), "state", "unprotect", *urns, "--yes", "--stack", self.stack]

    def protect_argv(self, urns: Sequence[str]) -> list[str]:
        """Return the command line that protects resources of the state again."""
        return [str(self.program), "state", "protect", *urns, "--yes", "--stack", self.stack]

    def cancel_argv(self) -> list[str]:
        """Return the command line that removes the locks of the stack."""
        return [str(self.program), "cancel", "--yes", "--stack", self.stack]

    def init_argv(self) -> list[str]:
        """Return the command line that makes the stack; in our own workspace its salt goes to the effective file."""
        folder = ["--cwd", str(self.config_file.parent)] if self.workspace.local else []
        return [str(self.program), "stack", "init", self.stack, "--no-select", "--non-interactive", *folder]

    def output_argv(self) -> list[str]:
        """Return the command line that prints the stack's outputs as JSON; secret ones stay masked."""
        return [str(self.program), "stack", "output", "--json", "--stack", self.stack]

    def run(self, argv: list[str], *, to_stdout: bool = False) -> int:
        """Run a command line in the checkout and return its exit code."""
        # The Kubernetes provider writes the kubeconfig into a temporary file and leaves it there.
        with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
            return process.run(argv, {**self.env, "TMPDIR": folder}, self.folder, to_stdout=to_stdout)

    def must(self, argv: list[str], then: str) -> None:
        """Run a command line; when it fails, `then` is what to do next."""
        if code := self.run(argv):
            raise FailedError(f"pulumi {argv[1]} ended with exit code {code}: the reason is above. {then}")

    def capture(self, argv: list[str], seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command line that only reads, without showing it, and return what it said."""
        with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
            return process.capture(argv, {**self.env, "TMPDIR": folder}, self.folder, seconds=seconds)

    def standing(self) -> list[dict[str, Any]]:
        """Return the resources that the stack's state holds, secrets encrypted; UserError when it can not be read."""
        return cast("list[dict[str, Any]]", self._deployment().get("resources") or [])

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs; empty when it has never been brought up."""
        done = process.capture(self.output_argv(), self.env, self.folder)
        return cast("dict[str, Any]", json.loads(done.stdout)) if done.returncode == 0 else {}

    def destroy_preview_argv(self) -> list[str]:
        """Return the command line that shows what `destroy` would remove."""
        return self.argv("destroy", "--preview-only", "--suppress-permalink=true")

    def ensure_stack(self) -> None:
        """Make the stack if its backend does not have it."""
        if self.exists():
            return
        if self.workspace.local:
            # `stack init` writes the salt beside the Pulumi.yaml that it finds.
            shutil.copyfile(self.folder / "Pulumi.yaml", self.config_file.parent / "Pulumi.yaml")
        self.must(self.init_argv(), "Then run the same command again.")

    def held(self) -> int:
        """Return how many resources the stack's state holds, those that were begun counted; UserError when it can not be read."""
        deployment = self._deployment()
        resources = cast("list[dict[str, Any]]", deployment.get("resources") or [])
        made = [one for one in resources if one["type"] != "pulumi:pulumi:Stack"]
        return len(made) + len(deployment.get("pending_operations") or [])

    def _deployment(self) -> dict[str, Any]:
        done = self.capture([str(self.program), "stack", "export", "--stack", self.stack, "--non-interactive"])
        if done.returncode != 0:
            raise self._unreadable(done)
        return cast("dict[str, Any]", json.loads(done.stdout).get("deployment") or {})

    def _unreadable(self, done: subprocess.CompletedProcess[str]) -> UserError:
        return UserError(f"pulumi can not read stack {self.stack}: {first_line(done.stderr) or first_line(done.stdout)}")

    def remove_argv(self) -> list[str]:
        """Return the command line that removes the empty stack from its backend, and leaves its file."""
        backups = ["--remove-backups"] if self.workspace.local else []
        return [str(self.program), "stack", "rm", self.stack, "--yes", "--preserve-config", *backups]

    def recover(self) -> list[Pending]:
        """Remove the lock that a killed run left behind, and return the creates that it left unfinished.

        Only in our own workspace: in a shared backend a lock may be somebody's who is at work.
        """
        if not self.workspace.local:
            return []
        locks = read_locks(self.workspace.backend, self.stack, self.project)
        if alive := [lock for lock in locks if lock.alive()]:
            raise UserError(f"another pulumi (process {alive[0].pid}) is changing stack {self.stack}: wait until it has ended")
        if locks:
            console.note(f"an earlier run was killed and left stack {self.stack} locked")
            self.must(self.cancel_argv(), "Then run the same command again.")
        return read_pending(self.workspace.backend, self.stack, self.project)

    def exists(self) -> bool:
        """Say whether the backend has the stack; UserError when it can not be asked."""
        if self.workspace.local:
            return state_file(self.workspace.backend, self.stack, self.project).is_file()
        argv = [str(self.program), "stack", "--stack", self.stack, "--non-interactive"]
        done = process.capture(argv, self.env, self.folder)
        if done.returncode not in (0, STACK_NOT_FOUND):
            raise self._unreadable(done)
        return done.returncode == 0

    def _config(self) -> list[str]:
        # A stack's own tracked file is what Pulumi reads anyway.
        return [] if self.config_file.parent == self.folder else ["--config-file", str(self.config_file)]


@dataclass(frozen=True)
class Lock:
    """A lock of a stack in a file backend."""

    pid: int
    host: str

    def alive(self) -> bool:
        """Say whether its holder still runs; of another machine's holder nothing is known, so it is taken for alive."""
        if self.host != socket.gethostname():
            return True
        try:
            return b"pulumi" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False


def state_file(backend: Path, stack: str, project: str = PROJECT) -> Path:
    """Return the file that a file backend keeps a stack's state in."""
    return backend / ".pulumi" / "stacks" / project / f"{stack}.json"


def read_locks(backend: Path, stack: str, project: str = PROJECT) -> list[Lock]:
    """Return the locks of a stack in a file backend."""
    folder = backend / ".pulumi" / "locks" / "organization" / project / stack
    locks: list[Lock] = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text())
            locks.append(Lock(int(said["pid"]), str(said["hostname"])))
        except (OSError, ValueError, KeyError):
            # Killed while it was written: its writer can not be at work.
            locks.append(Lock(0, socket.gethostname()))
    return locks


def read_pending(backend: Path, stack: str, project: str = PROJECT) -> list[Pending]:
    """Return what a killed run began to create."""
    path = state_file(backend, stack, project)
    if not path.is_file():
        return []
    checkpoint = cast("dict[str, Any]", json.loads(path.read_text())["checkpoint"])
    latest = cast("dict[str, Any]", checkpoint.get("latest") or {})
    operations = cast("list[dict[str, Any]]", latest.get("pending_operations") or [])
    return [_pending(operation["resource"]) for operation in operations if operation.get("type") == "creating"]


def _pending(resource: dict[str, Any]) -> Pending:
    inputs = cast("dict[str, Any]", resource.get("inputs") or {})
    metadata = inputs.get("metadata")
    if not isinstance(metadata, dict) or "kind" not in inputs:
        return Pending("", str(resource.get("urn")))
    group, _, version = str(inputs.get("apiVersion", "v1")).rpartition("/")
    kind = f"{inputs['kind']}.{version}.{group}" if group else str(inputs["kind"])
    return Pending(kind, str(cast("dict[str, str]", metadata)["name"]))


def first_line(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def with_stack_words(words: tuple[str, ...], config_file: Path) -> list[str]:
    """Return a user's own pulumi command with the stack's effective file added where the command takes one.

    A plain setting belongs into the tracked file, where it is seen and kept; secrets stay out of it.
    """
    command = next((word for word in words if not word.startswith("-")), "")
    changes_plain = command == "config" and bool({"set", "rm", "set-all", "rm-all"} & set(words)) and "--secret" not in words
    if command not in WITH_CONFIG_FILE or changes_plain or "--config-file" in words or config_file.parent == ROOT:
        return list(words)
    return [*words, "--config-file", str(config_file)] if "--" not in words else list(words)

"""The environment that pulumi and kubectl run in."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import pulumi_home
from tools.paths import ROOT, state_dir
from tools.toolchain import Toolchain

OVERRIDING = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK", "PULUMI_CREDENTIALS_PATH", "KUBECONFIG")
"""Variables of the user's own Pulumi and cluster that would turn a command away from the sandbox."""


@dataclass(frozen=True)
class Workspace:
    """Where the engine keeps a stack's state and the passphrase: our own folder for the sandbox, the user's login otherwise."""

    folder: Path
    """The state folder."""
    local: bool
    """Whether state is kept in `folder`; otherwise the user's own login and passphrase are used untouched."""

    @property
    def backend(self) -> Path:
        """Folder of the stacks' state."""
        return self.folder / "backend"

    @property
    def stacks(self) -> Path:
        """Folder of the effective stack files."""
        return self.folder / "stacks"

    @property
    def passphrase_file(self) -> Path:
        """File with the passphrase that secrets in the state are encrypted with."""
        return self.folder / "passphrase"

    def prepare(self) -> None:
        """Make the folders and, once, the passphrase, readable by their owner alone."""
        if not self.local:
            return
        for folder in (self.backend, self.stacks):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        if not self.passphrase_file.exists():
            write_private(self.passphrase_file, secrets.token_urlsafe(32) + "\n")

    def variables(self, toolchain: Toolchain | None, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for pulumi; without a toolchain the machine's own is used."""
        inherited = users(base) | {"PULUMI_SUPPRESS_NEO_LINK": "true"}
        if not self.local:
            return pulumi_home.environment(toolchain, inherited)
        env = pulumi_home.environment(toolchain, {name: value for name, value in inherited.items() if name not in OVERRIDING})
        return env | {
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file),
            # The state is written after every step, and each time a copy of the last one would be kept.
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        }


def local_workspace() -> Workspace:
    """Return the workspace whose state is kept on this machine."""
    return Workspace(state_dir(), local=True)


def own_workspace() -> Workspace:
    """Return the workspace of the user's own login."""
    return Workspace(state_dir(), local=False)


def logged_in(base: Mapping[str, str] | None = None) -> bool:
    """Say whether the user has told Pulumi where state is kept, by variable or by `pulumi login`."""
    env = base if base is not None else os.environ
    home = env.get("PULUMI_CREDENTIALS_PATH") or env.get("PULUMI_HOME") or str(Path(env.get("HOME", "/")) / ".pulumi")
    return bool(env.get("PULUMI_BACKEND_URL")) or (Path(home) / "credentials.json").is_file()


def users(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the user's environment as it was before `sy` put the checkout on Python's path."""
    env = dict(base if base is not None else os.environ)
    paths = [path for path in env.pop("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    return env | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(path)

"""A stack: its file, its settings, where it stands, and the effective file that the sandbox needs."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

import settings
from cli.environment import local_workspace, write_private
from settings.cures import Cures
from settings.loader import PROJECT, merge, read_stack_file
from tools.errors import UserError
from tools.paths import ROOT

Document = dict[str, Any]
"""A Pulumi.<stack>.yaml as it is parsed."""

KEPT_KEYS = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What Pulumi writes into a stack file when it first encrypts something; without it old secrets can not be read."""

DEFAULT = "sandbox"
IMAGES = f"{PROJECT}:images"

SANDBOX_CLUSTER = "sandbox"
"""What `cluster.identifier` says of a stack on the embedded cluster, of whatever tier it is."""


@dataclass(frozen=True)
class Stack:
    """One stack as its file describes it."""

    name: str
    file: Path
    settings: settings.Settings
    secrets: tuple[str, ...]
    """Names of the secrets that the file holds."""
    on_sandbox: bool
    """Whether it stands on the embedded cluster: its cluster is `sandbox`, and its tracked file does not say how to reach it."""

    @classmethod
    def load(cls, name: str, file: Path | None = None, root: Path = ROOT) -> "Stack":
        """Read a stack's file and check it; SettingsError has all that is wrong, UserError says that there is no such stack.

        `file` is the effective file of a stack on the sandbox.
        """
        tracked = root / f"Pulumi.{name}.yaml"
        if not tracked.is_file():
            raise UserError(f"there is no stack {name!r}: {tracked.name} does not exist; there is {', '.join(names(root)) or 'none'}")
        said, others = read_stack_file(file or tracked)
        resolved = settings.resolve(name, said, others, root)
        return cls(name, file or tracked, resolved, tuple(others), file is not None or _embedded(resolved))

    @classmethod
    def open(cls, name: str, root: Path = ROOT) -> "Stack":
        """Read a stack's file as `load` does; a stack on the sandbox has its secrets in its effective file."""
        stack = cls.load(name, root=root)
        if not stack.on_sandbox:
            return stack
        config = config_of(read(local_workspace().stacks / stack.file.name))
        secrets = [key.removeprefix(f"{PROJECT}:") for key, value in config.items() if is_encrypted(value)]
        return replace(stack, secrets=(*stack.secrets, *secrets))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.settings.namespace_of(self.name)

    @property
    def owner(self) -> str:
        """What the label switchyard.dev/stack of its namespace says."""
        return self.settings.owner_of(self.name)

    @property
    def cures(self) -> Cures:
        """The commands that give it what it lacks; one on the sandbox keeps its secrets in its effective file, which only `sy` names."""
        return self.settings.cures(self.name, "./sy pulumi" if self.on_sandbox else "pulumi")

    def lacks(self) -> list[str]:
        """Return what must still be said before the stack can be brought up, one sentence each."""
        return self.settings.lacks(self.cures, self.secrets)

    def lacking_secrets(self) -> list[str]:
        """Return a sentence for each secret that a human has yet to set, with the command that sets it."""
        return self.settings.lacking_secrets(self.cures, self.secrets)

    def missing_secrets(self) -> list[str]:
        """Return the secrets that a human has yet to set."""
        return [name for name in self.settings.secret_names() if name not in self.secrets]


@dataclass(frozen=True)
class Embedded:
    """What the sandbox adds to a stack's settings: its cluster, and the images in its registry."""

    kubeconfig: Path
    context: str
    api_server: tuple[str, ...]
    ranges: tuple[str, ...]
    """Addresses that may reach web processes: this machine, and the clients that tests attach to the sandbox's bridge."""
    registry: str
    pinned: Mapping[str, str]

    def config(self) -> Document:
        """Return the settings as a stack file says them."""
        cluster = {"kubeconfig": str(self.kubeconfig), "context": self.context, "api_server": list(self.api_server)}
        return {
            f"{PROJECT}:cluster": cluster,
            f"{PROJECT}:edge": {"ranges": list(self.ranges)},
            f"{PROJECT}:images": {"registry": self.registry, "pinned": dict(self.pinned)},
        }


def effective(tracked: Document, before: Document, added: Document) -> Document:
    """Return a stack file: the tracked one, with settings `added`, and what only `before` has: the salt and secrets."""
    made = copy.deepcopy(tracked)
    config = config_of(made)
    for key, value in config_of(before).items():
        if is_encrypted(value):
            config.setdefault(key, value)
    made["config"] = merge(config, added)
    for key in KEPT_KEYS:
        if key in before:
            made.setdefault(key, before[key])
    return made


def write_effective(stack: Stack, folder: Path, added: Document) -> Path:
    """Write the effective file of `stack` into `folder`, if it changed, and return its path."""
    path = folder / stack.file.name
    tracked = read(stack.file)
    text = yaml.safe_dump(effective(tracked, read(path), with_own_pins(added, tracked)), sort_keys=False)
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
    return path


def with_own_pins(added: Document, tracked: Document) -> Document:
    """Return what the sandbox adds, but for images that the tracked file pins in the sandbox's own registry: `sy deploy` wrote those."""
    images = cast("Document", added.get(IMAGES) or {})
    host = str(images.get("registry", "")).partition("/")[0]
    said = cast("dict[str, object]", cast("Document", config_of(tracked).get(IMAGES) or {}).get("pinned") or {})
    own = {name: reference for name, reference in said.items() if host and str(reference).startswith(f"{host}/")}
    pinned = cast("dict[str, object]", images.get("pinned") or {})
    return {**added, IMAGES: {**images, "pinned": {**pinned, **own}}} if own else added


def read(path: Path) -> Document:
    """Return a stack file as it is parsed; empty when there is none."""
    return cast("Document", yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def config_of(document: Document) -> Document:
    """Return the settings that a stack file holds, by full key."""
    return cast("Document", document.get("config") or {})


def is_encrypted(value: object) -> bool:
    """Say whether a value of a stack file is a secret."""
    return isinstance(value, dict) and set(cast("dict[str, object]", value)) == {"secure"}


def _embedded(said: settings.Settings) -> bool:
    return said.cluster.identifier == SANDBOX_CLUSTER and not said.cluster.kubeconfig and not said.cluster.context


def names(root: Path = ROOT) -> list[str]:
    """Return the stacks that have a file."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in root.glob("Pulumi.?*.yaml"))

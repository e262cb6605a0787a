"""The machine: which programs are there or get built, and which Pulumi is used."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import pulumi_home, toolchain
from tools.errors import UserError
from tools.progress import Progress
from tools.toolchain import Toolchain

ENGINE = ("pulumi",)
"""What a preview needs."""
EVERYTHING = ("pulumi", "cluster", "images")
"""What the sandbox needs."""


@dataclass(frozen=True)
class Programs:
    """The programs of this machine: `engine` is the Pulumi to run, `built` what was built; None where the machine's own is used."""

    engine: Path
    built: Toolchain
    ours: bool
    """Whether the engine is one that we built."""

    @property
    def toolchain(self) -> Toolchain | None:
        """The toolchain whose engine is used; None when it is the machine's own."""
        return self.built if self.ours else None


class AlreadyBuilt:
    """Programs that are there without building anything: for stopping the sandbox and looking at it."""

    def program(self, name: str) -> Path:
        """Return the path of a program; UserError when it has not been built."""
        if found := find_built(name):
            return found
        raise UserError(f"{name} has not been built yet: `./sy up` builds it")


def ensure(groups: Sequence[str], progress: Progress) -> Programs:
    """Build what is missing of `groups` and return all programs; the machine's own Pulumi is used if it is good enough."""
    own = pulumi_home.installed_pulumi() if "pulumi" in groups else None
    if own:
        built = toolchain.ensure([group for group in groups if group != "pulumi"], progress) if len(groups) > 1 else Toolchain({})
        return Programs(own[0], built, ours=False)
    built = toolchain.ensure(groups, progress)
    # Groups without an engine are asked for where none is run.
    engine = pulumi_home.engine_folder(built) / "pulumi" if "pulumi" in built.programs else Path("pulumi")
    return Programs(engine, built, ours=True)


def find_built(name: str) -> Path | None:
    """Return a program that has been built already."""
    for module in toolchain.plan():
        if module.built and name in module.programs:
            return module.folder / "bin" / name
    return None


def find(name: str) -> Path | None:
    """Return a program that has been built already, or else the machine's own."""
    found = find_built(name) or shutil.which(name)
    return Path(found) if found else None

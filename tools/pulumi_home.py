"""Pulumi's surroundings: the folder with its plugins, the environment it runs in, and a machine's own Pulumi."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

from tools.modules import PLUGINS, PULUMI_VERSION
from tools.paths import cache_dir, state_dir
from tools.toolchain import Toolchain

ENGINE_PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")

ASK_SECONDS = 20
"""How long a machine's own pulumi may take to say what it is; it starts in about one second."""


class Version(NamedTuple):
    """A released version; what follows a dash is left out."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> "Version | None":
        """Return the version that the text begins with, such as v3.259.0; None when it is none."""
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
        return cls(*map(int, found.groups())) if found else None


OLDEST = Version(3, 259, 0)
"""The oldest engine that is used instead of ours, which is the one that the tests ran with."""


@dataclass(frozen=True)
class InstalledPulumi:
    """The Pulumi on PATH, and why it is not used, if so."""

    path: Path
    version: Version
    lacks: tuple[str, ...]
    """What it would need: a newer version, the Python language host, plugins. Empty when it can be used."""


class _Plugin(TypedDict):
    name: str
    kind: str
    version: str


def pulumi_home(toolchain: Toolchain) -> Path:
    """Lay out $PULUMI_HOME with our plugins and return it; what is right already is left as it is.

    It is in the state folder, since Pulumi may keep more in it than what can be built again.
    """
    home = state_dir() / "pulumi"
    for name, version in PLUGINS.items():
        program = f"pulumi-resource-{name}"
        _link(home / "plugins" / f"resource-{name}-v{version}" / program, toolchain.program(program))
    return home


def engine_folder(toolchain: Toolchain) -> Path:
    """Return a folder with the engine and the language host side by side: Pulumi warns of a host from anywhere else.

    They are hard links, since the engine looks for its own folder behind symbolic ones.
    """
    programs = [toolchain.program(name) for name in ENGINE_PROGRAMS]
    folder = cache_dir() / "pulumi" / "-".join(dict.fromkeys(program.parent.parent.name for program in programs))
    if not folder.is_dir():
        staging = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for program in programs:
            (staging / program.name).hardlink_to(program)
        try:
            staging.rename(folder)
        except OSError:
            # Another run was quicker.
            shutil.rmtree(staging)
    return folder


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)


def environment(toolchain: Toolchain | None, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment to run `pulumi` in: with our own programs, or, without a toolchain, the machine's.

    The Python of this process runs the Pulumi program too. A login stays where the user's own Pulumi keeps it.
    """
    inherited = dict(os.environ if base is None else base)
    # The language host does not hear of Pulumi.yaml's `virtualenv` and takes the first Python that it finds. Not
    # resolved: a virtual environment's python is a link out of it.
    front = [str(Path(sys.executable).parent)]
    result = {
        **inherited,
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    if toolchain is not None:
        front.append(str(engine_folder(toolchain)))
        users_own = inherited.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
        result["PULUMI_CREDENTIALS_PATH"] = inherited.get("PULUMI_CREDENTIALS_PATH") or users_own
        result["PULUMI_HOME"] = str(pulumi_home(toolchain))
    result["PATH"] = os.pathsep.join([*front, inherited.get("PATH", os.defpath)])
    return result


def installed_pulumi() -> tuple[Path, Version] | None:
    """Return the machine's own Pulumi when it can do all that ours can: new enough, with all the plugins we use."""
    found = inspect_pulumi()
    return (found.path, found.version) if found and not found.lacks else None


def inspect_pulumi() -> InstalledPulumi | None:
    """Return the `pulumi` on PATH and what it lacks; None when there is none that answers."""
    program = shutil.which("pulumi")
    # What we run as a child finds our own one on its PATH; that is not the machine's.
    if program and Path(program).is_relative_to(cache_dir()):
        return None
    version = Version.parse(_ask(program, "version")) if program else None
    if not program or not version:
        return None
    return InstalledPulumi(Path(program), version, _lacks(Path(program), version))


def _lacks(program: Path, version: Version) -> tuple[str, ...]:
    lacks: list[str] = []
    if version < OLDEST:
        lacks.append(f"version {PULUMI_VERSION} or later")
    host = "pulumi-language-python"
    if not (program.resolve().parent / host).exists() and not shutil.which(host):
        lacks.append(host)
    there = _resource_plugins(str(program))
    lacks += [f"plugin {name} {wanted}" for name, wanted in PLUGINS.items() if (name, wanted) not in there]
    return tuple(lacks)


def _resource_plugins(program: str) -> set[tuple[str, str]]:
    try:
        plugins: list[_Plugin] = json.loads(_ask(program, "plugin", "ls", "--json") or "[]")
        return {(p["name"], p["version"].removeprefix("v")) for p in plugins if p["kind"] == "resource"}
    except (ValueError, KeyError, TypeError):
        return set()


def _ask(program: str, *arguments: str) -> str:
    """Return what the program prints; nothing when it fails or does not answer."""
    settings = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        asked = subprocess.run([program, *arguments], env=settings, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout if asked.returncode == 0 else ""

"""Builds the programs that Switchyard runs on: each version once, outside the repository, safe to interrupt."""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import golang
from tools.errors import UserError
from tools.modules import GROUPS, Module, modules
from tools.paths import cache_dir
from tools.progress import Progress

GIB = 1 << 30


@dataclass(frozen=True)
class Toolchain:
    """Programs that are there."""

    programs: Mapping[str, Path]

    def program(self, name: str) -> Path:
        """Return the path of a program; UserError when its group was not asked for."""
        if name not in self.programs:
            known = ", ".join(sorted(self.programs))
            raise UserError(f"tools: {name} is not among the programs that were asked for: {known}")
        return self.programs[name]


@dataclass(frozen=True)
class ModulePlan:
    """What is to be done for one module: nothing when it is built, or so many minutes and so much room meanwhile."""

    module: str
    programs: tuple[str, ...]
    built: bool
    minutes: float
    gib: float
    folder: Path


def plan(groups: Sequence[str] = tuple(GROUPS), table: Sequence[Module] | None = None) -> list[ModulePlan]:
    """Return what `ensure` would find and do. Without a Go to ask nothing counts as built."""
    try:
        version = golang.go_version()
    except UserError:
        version = "none"
    return [_plan(module, version) for module in _chosen(groups, table)]


def ensure(groups: Sequence[str] = tuple(GROUPS), progress: Progress | None = None, table: Sequence[Module] | None = None) -> Toolchain:
    """Build what is missing of the groups and return all of their programs.

    UserError when Go or room on the disk is missing, or a build fails. What was built before a failure or an interrupt
    stays; the next run goes on from there.
    """
    chosen = _chosen(groups, table)
    version = golang.go_version()
    if _missing(chosen, version):
        own = progress or Progress()
        with _lock(own):
            # Another run may have built them while this one waited.
            _build_all(_missing(chosen, version), version, own)
        if progress is None:
            own.close()
    return Toolchain({name: _folder(module, version) / "bin" / name for module in chosen for name in module.names})


def room_gib(groups: Sequence[str] = tuple(GROUPS)) -> float:
    """Return the room in GiB that building what is missing of the groups takes for a while."""
    missing = {module.module for module in plan(groups) if not module.built}
    return _needed_gib([module for module in _chosen(groups, None) if module.name in missing])


def _chosen(groups: Sequence[str], table: Sequence[Module] | None) -> Sequence[Module]:
    return modules(list(groups)) if table is None else table


def _plan(module: Module, version: str) -> ModulePlan:
    folder = _folder(module, version)
    return ModulePlan(module.name, module.names, folder.is_dir(), module.minutes, module.gib + module.sources_gib, folder)


def _missing(chosen: Sequence[Module], version: str) -> list[Module]:
    return [module for module in chosen if not _folder(module, version).is_dir()]


def _folder(module: Module, version: str) -> Path:
    return cache_dir() / "tools" / f"{module.name}-{golang.key(module, version)}"


def _build_all(missing: Sequence[Module], version: str, progress: Progress) -> None:
    if not missing:
        return
    _check_room(missing)
    _remove_leftovers()
    progress.expect(len(missing))
    progress.say(_announcement(missing))
    sources = cache_dir() / "go" / "mod"
    for module, following in zip(missing, [*missing[1:], None], strict=True):
        with _fetching(following, sources):
            _build(module, version, sources, progress)
    _remove(sources)


def _announcement(missing: Sequence[Module]) -> str:
    minutes = sum(module.minutes for module in missing)
    names = ", ".join(name for module in missing for name in module.names)
    return f"building {names}: once, about {max(minutes, 1):.0f} min on two cores"


def _check_room(missing: Sequence[Module]) -> None:
    needed = _needed_gib(missing)
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / GIB
    if free < needed:
        raise UserError(
            f"{folder}: building {', '.join(module.name for module in missing)} needs {needed:.1f} GiB for a while and "
            f"{free:.1f} GiB are free: make room, or name another folder in SWITCHYARD_CACHE"
        )


def _needed_gib(missing: Sequence[Module]) -> float:
    """Room for the sources of what is built so far and what is fetched next, and for the build that runs meanwhile."""
    fetched = [sum(module.sources_gib for module in missing[: number + 2]) for number in range(len(missing))]
    return max((sources + module.gib for sources, module in zip(fetched, missing, strict=True)), default=0.0)


def _build(module: Module, version: str, sources: Path, progress: Progress) -> None:
    folder = _folder(module, version)
    # Beside the finished folder, so that renaming is atomic; the dot tells a killed run's leftovers.
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    compiled = cache_dir() / "go" / f"build-{module.name}"
    log = cache_dir() / "logs" / f"tools-{module.name}.log"
    # A Go that is ended leaves what it was at work on.
    for left in compiled.glob("go-build*"):
        _remove(left)
    try:
        with progress.step(f"building {', '.join(module.names)} (about {max(module.minutes, 1):.0f} min)"):
            golang.build(module, staging / "bin", log, golang.environment(sources, compiled))
        staging.rename(folder)
    finally:
        _remove(staging)
    _remove(compiled)


@contextmanager
def _fetching(module: Module | None, sources: Path) -> Generator[None]:
    """Fetch the sources of the module that is built next while the processor is busy with this one.

    A failure shows when that module is built.
    """
    if module is None:
        yield
        return
    process = subprocess.Popen(
        golang.fetch_command(module),
        cwd=module.folder,
        env=golang.environment(sources, cache_dir() / "go" / f"build-{module.name}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        golang.stop(process)


@contextmanager
def _lock(progress: Progress) -> Generator[None]:
    path = cache_dir() / "tools" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if not _try_lock(file.fileno()):
            with progress.step("waiting for another run that builds the tools"):
                while not _try_lock(file.fileno()):
                    time.sleep(0.2)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_leftovers() -> None:
    """Remove what a killed run left half built; called with the lock held, so nobody else is building."""
    for path in (cache_dir() / "tools").glob(".*-*.*"):
        _remove(path)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

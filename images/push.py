"""Copies built images to a registry with crane, which needs no Docker and sends only layers that are not there yet."""

import subprocess
from collections.abc import Callable, Sequence

from images import catalog
from images.catalog import Built, Programs
from tools.errors import UserError
from tools.progress import Progress

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


class Registry:
    """A registry's folder, such as `registry.example.com/switchyard`, and how crane talks to it.

    Whoever pushes has logged in before, with `crane auth login` or `docker login`: crane reads the same file.
    """

    def __init__(self, folder: str, programs: Programs, *, plain_http: bool = False, run: Run | None = None) -> None:
        """`plain_http` allows a registry without TLS, as the sandbox's is; never needed for a real one."""
        self._folder = folder.rstrip("/")
        self._crane = [str(programs.program("crane")), *(["--insecure"] if plain_http else [])]
        self._run = run or _run

    def reference(self, name: str, tag: str) -> str:
        """Return where an image with a tag is."""
        return f"{self._folder}/{name}:{tag}"

    def pinned(self, name: str, digest: str) -> str:
        """Return the reference that names one exact image."""
        return f"{self._folder}/{name}@{digest}"

    def digest(self, reference: str) -> str | None:
        """Return the digest that the registry has for a reference, or None if it has nothing there."""
        found = self._run([*self._crane, "digest", reference])
        if found.returncode == 0:
            return found.stdout.strip()
        if _is_missing(found.stderr):
            return None
        raise UserError(f"{reference}: the registry can not be asked: {_last(found.stderr)}")

    def push(self, image: Built) -> str:
        """Push an image unless its digest is already there under its tag; return the reference with the digest."""
        tagged = self.reference(image.name, tag(image))
        if self.digest(tagged) != image.digest:
            sent = self._run([*self._crane, "push", str(image.layout), tagged])
            if sent.returncode:
                raise UserError(f"{tagged}: can not be pushed: {_last(sent.stderr)}")
        return self.pinned(image.name, image.digest)


def tag(image: Built) -> str:
    """Return the tag an image is pushed with: for people, and so that no registry takes it for garbage."""
    return image.key[:12]


def push(names: Sequence[str], registry: Registry, programs: Programs | None, progress: Progress) -> dict[str, str]:
    """Push built images; return name -> reference with digest. A UserError names the images that are not built."""
    images = {name: catalog.built(name, programs) for name in names}
    if missing := [name for name, image in images.items() if image is None]:
        raise UserError(f"{', '.join(missing)}: not built as described now; run `sy images build` first")
    progress.expect(len(images))
    pushed: dict[str, str] = {}
    for name, image in images.items():
        if image:
            with progress.step(f"push {name} ({image.compressed / 1e6:.0f} MB)"):
                pushed[name] = registry.push(image)
    return pushed


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _is_missing(stderr: str) -> bool:
    # crane has one exit code for everything; these are the registry API's own error codes.
    return any(code in stderr for code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "404 Not Found"))


def _last(stderr: str) -> str:
    return (stderr.strip().splitlines() or ["crane said nothing"])[-1]

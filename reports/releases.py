"""What a stack has run: `releases/<stack>.yaml`, which `sy deploy` adds to after each successful `up`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from reports.compare import Comparison
from reports.images import digest_in, same_image
from settings import SettingsError
from settings.reading import no_yaml

FOLDER = "releases"


@dataclass(frozen=True)
class Ran:
    """The record of one stack."""

    stack: str
    images: dict[str, str]
    """Digest of each image that it has run -> since when."""
    kept: bool = True
    """Whether there is a record at all."""


@dataclass(frozen=True)
class Judged:
    """What is to be said about the app's image."""

    wrong: str = ""
    """Why the second stack may not run what it runs; empty: it may."""
    allowed: str = ""
    """Why it may, though it differs."""
    note: str = ""


def read(stack: str, root: Path) -> Ran:
    """Return what a stack has run; SettingsError when its record can not be read."""
    file = root / FOLDER / f"{stack}.yaml"
    if not file.is_file():
        return Ran(stack, {}, kept=False)
    try:
        document: Any = yaml.safe_load(file.read_text()) or []
    except UnicodeDecodeError as error:
        raise SettingsError([f"{FOLDER}/{file.name}: is not UTF-8 text: byte {error.start}"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([no_yaml(error, f"{FOLDER}/{file.name}")]) from None
    images: dict[str, str] = {}
    for entry in cast("list[Any]", document if isinstance(document, list) else [None]):
        said = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        digest = digest_in(str(said.get("image")))
        if digest is None:
            raise SettingsError([f"{FOLDER}/{file.name}: expected a list of {{image: NAME@sha256:…, at: DATE}}"])
        images[digest] = str(said.get("at", ""))
    return Ran(stack, images)


def judge(comparison: Comparison, ran: Ran) -> Judged:
    """Say whether the right stack runs an image of the app that the left one has run."""
    if not comparison.images:
        return Judged()
    left, right = comparison.left.name, comparison.right.name
    running = sorted({reference for _, reference in comparison.images})
    digests = [digest_in(reference) for reference in running]
    if None in digests:
        return _unpinned(comparison, left, right, running)
    same = all(same_image(*pair) for pair in comparison.images)
    if not ran.kept:
        unrecorded = f"there is no {FOLDER}/{left}.yaml, so what {left} has run is not known"
        return Judged(note=f"{unrecorded}; both pin the same image") if same else Judged(wrong=unrecorded)
    unknown = [reference for reference, digest in zip(running, digests, strict=True) if digest not in ran.images]
    if unknown:
        pinned = f", although {left} pins it" if same else ""
        return Judged(wrong=f"{FOLDER}/{left}.yaml does not have {unknown[0]}{pinned}: bring it up there first")
    if same:
        return Judged()
    since = ", ".join(filter(None, (ran.images[str(digest)] for digest in digests)))
    return Judged(allowed=f"{left} has run it" + (f" ({FOLDER}/{left}.yaml: {since})" if since else ""))


def _unpinned(comparison: Comparison, left: str, right: str, running: list[str]) -> Judged:
    loose = all(digest_in(ours) is None for ours, _ in comparison.images)
    if loose and all(same_image(*pair) for pair in comparison.images):
        return Judged(note=f"neither {left} nor {right} pins the app's image ({running[0]}), so nothing is proved about it")
    return Judged(wrong=f"{right} does not pin the app's image ({running[0]}), so it can not be told whether {left} has run it")

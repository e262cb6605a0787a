"""The references a stack's configuration gets: every image by its digest, so that what was tested is what runs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from images import catalog
from images.catalog import Programs
from images.push import Registry
from tools.errors import UserError

UPSTREAM = catalog.FOLDER / "upstream.yaml"
"""What Debian lacks: image -> upstream's reference with a tag."""


def pins(names: Sequence[str], registry: Registry, programs: Programs | None) -> dict[str, str]:
    """Return name -> reference with digest of the images as they are built now and the registry has them.

    A UserError names what is not built or not pushed: a pin to something that can not be pulled helps nobody.
    """
    found: dict[str, str] = {}
    for name in names:
        image = catalog.built(name, programs)
        if image is None:
            raise UserError(f"{name}: not built as described now; run `sy images build {name}` and push it")
        pinned = registry.pinned(name, image.digest)
        if registry.digest(pinned) != image.digest:
            raise UserError(f"{pinned} is not in the registry; run `sy images push {name}` first")
        found[name] = pinned
    return found


def upstream(file: Path = UPSTREAM) -> dict[str, str]:
    """Return the table of images that are not ours: name -> reference with a tag."""
    table = cast("dict[str, Any]", yaml.safe_load(file.read_text()))
    for name, reference in table.items():
        if not isinstance(reference, str) or ":" not in reference.rpartition("/")[2] or "@" in reference:
            raise UserError(f"{file}: {name}: {reference!r} should be a reference with a tag and without a digest")
    return table


def upstream_pins(names: Sequence[str], registry: Registry, file: Path = UPSTREAM) -> dict[str, str]:
    """Ask upstream's registries for the digests behind the tags of `names`; return name -> reference with digest.

    The tag stays in front of the digest, where people read it and nothing else does.
    """
    table = upstream(file)
    references = {name: tagged(name, table) for name in names}
    if unknown := sorted(name for name, reference in references.items() if reference is None):
        raise UserError(f"{', '.join(unknown)}: not in {file}, which has {', '.join(table)}")
    found: dict[str, str] = {}
    for name, reference in references.items():
        digest = registry.digest(str(reference))
        if digest is None:
            raise UserError(f"{reference}: its registry does not have it; correct {'the version' if name not in table else file}")
        found[name] = f"{reference}@{digest}"
    return found


def tagged(name: str, table: Mapping[str, str]) -> str | None:
    """Return upstream's reference for a name of the table, or for such a name with another version: elasticsearch-8.17.4."""
    base, _, version = name.rpartition("-")
    if name in table or base not in table or not re.fullmatch(r"[0-9]+(\.[0-9]+)+", version):
        return table.get(name)
    repository, _, tag = table[base].rpartition(":")
    return f"{repository}:{'v' if tag.startswith('v') else ''}{version}"

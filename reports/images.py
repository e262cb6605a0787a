"""Whether two references name the same image."""


def same_image(left: str, right: str) -> bool:
    """Say whether two references are the same bytes: by digest, from whichever registry; without one by the whole reference."""
    ours, theirs = (digest_in(reference) for reference in (left, right))
    return ours == theirs if ours and theirs else left == right


def digest_in(reference: str) -> str | None:
    """Return the digest of an image's reference."""
    _, found, digest = reference.partition("@")
    return digest if found and digest.startswith("sha256:") else None

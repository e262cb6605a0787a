"""What keeps data, or what devices trust: known by its URN alone, for the guard before a change and for the comment on it."""

KEEPING = ("Namespace", "StatefulSet", "PersistentVolumeClaim", "PersistentVolume")
"""Kinds of Kubernetes objects that data goes with."""
AUTHORITY = "switchyard:index:CertificateAuthority"
"""What devices carry the certificate of: a new one would have to reach every one of them."""


def keeps(urn: str) -> bool:
    """Say whether data goes with a resource, or what devices trust."""
    types = urn.split("::")[2].split("$")
    return (types[-1].startswith("kubernetes:") and kind_of(urn) in KEEPING) or AUTHORITY in types[:-1]


def kind_of(urn: str) -> str:
    """Return the kind in a URN: StatefulSet."""
    return urn.split("::")[2].rsplit(":", 1)[-1]

"""The certificate that browsers are shown: what is wrong with one that is given, before anybody is shown it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from settings.edge import Certificate

if TYPE_CHECKING:
    from cryptography import x509


def wrong(pem: str, names: Sequence[str], now: datetime) -> str | None:
    """Return what is wrong with a certificate that is to be shown for `names`; None: nothing."""
    try:
        first = _first(pem)
    except ValueError as error:
        return f"is no certificate that can be read: {str(error).partition('.')[0]}"
    ends, begins = first.not_valid_after_utc, first.not_valid_before_utc
    if ends <= now:
        return f"ended on {ends:%Y-%m-%d}: every browser would refuse it; give the new one"
    if begins > now:
        return f"begins on {begins:%Y-%m-%d}: every browser would refuse it until then"
    theirs = _names(first)
    missing = [name for name in names if not _covers(theirs, name)]
    return f"is not for {', '.join(missing)}: it names {', '.join(theirs) or 'no host'}" if missing else None


def key_wrong(certificate: Certificate, key: str) -> str | None:
    """Return what is wrong with a given certificate's key, without a word of it; None: it is the certificate's, or none is given."""
    # A twentieth of a second to import, and only a given certificate needs it.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if certificate.by != "given" or certificate.pem is None:
        return None
    try:
        mine = load_pem_private_key(key.encode(), None).public_key()
    except (ValueError, TypeError):
        return "expected a private key as PEM, without a passphrase, beginning with -----BEGIN PRIVATE KEY-----"
    try:
        theirs = _first(certificate.pem).public_key()
    except ValueError:
        return None
    return None if mine == theirs else "is the key of another certificate than edge.certificate.pem"


def _first(pem: str) -> "x509.Certificate":
    from cryptography.x509 import load_pem_x509_certificates

    return load_pem_x509_certificates(pem.encode())[0]


def _names(certificate: "x509.Certificate") -> list[str]:
    from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    return [str(name) for name in found.get_values_for_type(DNSName)]


def _covers(theirs: Sequence[str], name: str) -> bool:
    """Say whether a certificate with these names is one for `name`; a star stands for one label."""
    return name.lower() in (one.lower() for one in theirs) or f"*.{name.partition('.')[2]}".lower() in (one.lower() for one in theirs)


def now() -> datetime:
    """Return the present moment, which tests replace."""
    return datetime.now(UTC)

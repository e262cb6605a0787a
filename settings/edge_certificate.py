"""The certificate that browsers are shown: what is wrong with one that is given, before anybody is shown it."""

import itertools
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from settings.edge import Certificate

if TYPE_CHECKING:
    from cryptography import x509


_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
"""What Envoy Gateway takes for a key: the first block of a file alone is looked at."""
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS = 2048
"""With a shorter key, or one of another kind than RSA and these curves, Envoy takes no certificate."""


def wrong(pem: str, names: Sequence[str], now: datetime) -> str | None:
    """Return what is wrong with a certificate, and those after it, that are to be shown for `names`; None: nothing."""
    if any("PRIVATE KEY" in kind for kind in _BLOCK.findall(pem)):
        return "has a private key in it, for all to read: take it out, have another one made, and set that one as edge.certificate.key says"
    try:
        chain = _chain(pem)
    except ValueError as error:
        return f"is no certificate that can be read: {str(error).partition('.')[0]}"
    return _untimely(chain, now) or _of_others(chain, names) or _disordered(chain) or _unfit(chain[0])


def _untimely(chain: Sequence["x509.Certificate"], now: datetime) -> str | None:
    for number, one in enumerate(chain, 1):
        ends, begins = one.not_valid_after_utc, one.not_valid_before_utc
        which = "" if number == 1 else f"certificate {number} of {len(chain)}, {_called(one)}, "
        if ends <= now:
            return f"{which}ended on {ends:%Y-%m-%d}: every browser would refuse it; give the new one"
        if begins > now:
            return f"{which}begins on {begins:%Y-%m-%d}: every browser would refuse it until then"
    return None


def _of_others(chain: Sequence["x509.Certificate"], names: Sequence[str]) -> str | None:
    missing = [name for name in names if not _covers(_names(chain[0]), name)]
    if not missing:
        return None
    if any(_covers(_names(one), name) for one in chain[1:] for name in missing):
        return "must begin with the stack's own: expected that first, and then those between it and its authority"
    return f"is not for {', '.join(missing)}: it names {', '.join(_names(chain[0])) or 'no host'}"


def _disordered(chain: Sequence["x509.Certificate"]) -> str | None:
    for number, (one, signer) in enumerate(itertools.pairwise(chain), 1):
        if one.issuer != signer.subject:
            return (
                f"certificate {number + 1} of {len(chain)}, {_called(signer)}, is not that of the authority which signed the one before, "
                f"{one.issuer.rfc4514_string()}; expected the stack's own first, and then each one's signer"
            )
    return None


def _unfit(certificate: "x509.Certificate") -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        return f"has an RSA key of {key.key_size} bits: the gateway takes none below {_RSA_BITS}"
    curve = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
    return None if curve or isinstance(key, rsa.RSAPublicKey) else "has a key that browsers do not know: expected RSA, or ECDSA with P-256"


def _called(certificate: "x509.Certificate") -> str:
    return certificate.subject.rfc4514_string() or "without a name"


def key_wrong(certificate: Certificate, key: str) -> str | None:
    """Return what is wrong with a given certificate's key, without a word of it; None: it is the certificate's, or none is given."""
    # A twentieth of a second to import, and only a given certificate needs it.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if certificate.by != "given" or certificate.pem is None:
        return None
    blocks = _BLOCK.findall(key)
    if blocks and blocks[0] not in _KEYS and any(kind in _KEYS for kind in blocks):
        return (
            f"begins with {blocks[0]}, and the gateway reads no further: expected its key alone, beginning with -----BEGIN PRIVATE KEY-----"
        )
    try:
        mine = load_pem_private_key(key.encode(), None).public_key() if blocks[:1] and blocks[0] in _KEYS else None
    except (ValueError, TypeError):
        mine = None
    if mine is None:
        return "expected a private key as PEM, without a passphrase, beginning with -----BEGIN PRIVATE KEY-----"
    try:
        theirs = _chain(certificate.pem)[0].public_key()
    except ValueError:
        return None
    return None if mine == theirs else "is the key of another certificate than edge.certificate.pem"


def _chain(pem: str) -> list["x509.Certificate"]:
    from cryptography.x509 import load_pem_x509_certificates

    odd = [kind for kind in _BLOCK.findall(pem) if kind != "CERTIFICATE"]
    if odd:
        raise ValueError(f"there is a {odd[0]} in it; expected certificates alone")
    return load_pem_x509_certificates(pem.encode())


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

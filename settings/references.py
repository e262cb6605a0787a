"""Names that other systems give: images, hosts, address ranges."""

import ipaddress
import re
from urllib.parse import urlsplit

_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_REPOSITORY = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ROUTE = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()+,;=:@]|%[0-9a-fA-F]{2})*", re.ASCII)
"""What the Gateway API takes for the beginning of a path, but for a star: it would stand for itself, and nobody means that."""
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def check_image(reference: str) -> None:
    """Raise ValueError when `reference` names no image: registry.example.com/folder/name, then :tag, @sha256:digest or both."""
    place, at, digest = reference.partition("@")
    if at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        kind, _, digits = digest.partition(":")
        found = f"not {len(digits)} characters of {kind!r}" if digits else "not that"
        raise ValueError(f"expected a digest of 64 digits and letters a-f after @sha256:, {found}")
    repository, colon, tag = place.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = place, "latest"
    if not _TAG.fullmatch(tag):
        raise ValueError(f"expected a tag of letters, digits, '.', '_' and '-' after the last ':', not {tag!r}")
    if len(repository) > 255 or not _REPOSITORY.fullmatch(repository):
        low = reference.lower()
        meant = f" - did you mean {low}?" if low != reference and _REPOSITORY.fullmatch(repository.lower()) else ""
        raise ValueError(f"expected an image such as registry.example.com/lamp@sha256:…, in lower case and without https://{meant}")


def check_registry(folder: str) -> None:
    """Raise ValueError when `folder` is no registry with a folder in it."""
    if not _REPOSITORY.fullmatch(folder) and not re.fullmatch(_DOMAIN, folder, re.ASCII):
        raise ValueError("expected a registry and a folder such as registry.example.com/switchyard, without https:// and a last /")


def range_of(text: str) -> str:
    """Return a range of addresses as Kubernetes takes it; ValueError, with the range that was probably meant, when it is none."""
    try:
        # A single address is a range of one: Kubernetes takes it only when it is written so. It takes none that is one interface's.
        return str(ipaddress.ip_network("" if "%" in text else text))
    except ValueError:
        raise ValueError(f"expected an address range such as 10.1.0.0/16{_meant_range(text)}") from None


def check_host_name(text: str) -> None:
    """Raise ValueError when `text` is no full host name."""
    if len(text) > 253 or not re.fullmatch(rf"({_LABEL}\.)+{_LABEL}", text) or is_address(text):
        raise ValueError(f"expected a host name such as lamps.example.com{_meant_host(text)}")


def check_host(text: str) -> None:
    """Raise ValueError when `text` is neither a host name, of one part or several, nor an address."""
    if is_address(text):
        return
    if len(text) > 253 or not re.fullmatch(rf"({_LABEL}\.)*{_LABEL}", text, re.IGNORECASE):
        raise ValueError(f"expected a host name or an address, such as db.example.com or 10.1.2.3{_meant_host(text)}")


def check_route(text: str) -> None:
    """Raise ValueError when `text` is not the beginning of a path that a request can have when the gateway compares it."""
    odd = "//" in text or "%2f" in text.lower() or {".", ".."} & set(text.split("/"))
    if odd or len(text) > 1024 or not _ROUTE.fullmatch(text):
        raise ValueError("expected the beginning of a path such as /api: no //, . or .. in it, and no *, space, ? or # but %-encoded")


def check_url(text: str) -> None:
    """Raise ValueError, without the text, which may be a secret, when it is no URL by HTTP with a host that can be."""
    if re.search(r"[\s\x00-\x20]", text) or not re.match(r"https?://", text):
        raise ValueError("expected a URL such as https://hooks.example.com/alerts")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("expected a URL whose host and port can be, such as https://hooks.example.com:8443/alerts") from None
    if "@" in parts.netloc:
        raise ValueError("a password or user in clear: an address with one is a secret, and is named by url_secret")
    if parts.fragment or not host or not (is_address(host) or re.fullmatch(rf"({_LABEL}\.)*{_LABEL}", host)):
        raise ValueError("expected a URL with a host name or an address, such as https://hooks.example.com/alerts")


def is_address(text: str) -> bool:
    """Say whether `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def within(address: str, ranges: list[str]) -> bool:
    """Say whether an IP address lies in one of `ranges`."""
    place = ipaddress.ip_address(address)
    return any(place in ipaddress.ip_network(one) for one in ranges)


def _meant_range(text: str) -> str:
    try:
        return f" - did you mean {ipaddress.ip_network(re.sub('%[^/]*', '', text.strip()), strict=False)}?"
    except ValueError:
        return ""


def _meant_host(text: str) -> str:
    bare = re.sub(r"^[a-z+]+://", "", text.strip().lower()).partition("/")[0].rpartition("@")[2].partition(":")[0].rstrip(".")
    try:
        bare = bare.encode("idna").decode()
    except UnicodeError:
        return ""
    return f" - did you mean {bare}?" if bare != text and "." in bare and re.fullmatch(rf"({_LABEL}\.)+{_LABEL}", bare) else ""

"""Proxies whose word about a client's address is taken, and how old the list of Cloudflare's is."""

import ipaddress
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from settings.references import range_of

CLOUDFLARE = "cloudflare"
"""Stands for the list in cloudflare.txt."""
LIST = Path(__file__).with_name("cloudflare.txt")
MONTHS = 6
"""After so long somebody has to look whether the list has changed."""
WIDEST = {4: 8, 6: 16}
"""The shortest prefix that may be trusted, by version: Cloudflare's own widest are a /13 and a /29, a company's network is a /8 at most."""
MAPPED = ipaddress.ip_network("::ffff:0:0/96")
"""All of IPv4, as IPv6 writes it: a range of these is one of IPv4, and to some readers all of it."""
_LOOKED_AT = re.compile(r"^# Looked at: (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def _narrow(text: str) -> str:
    if text == CLOUDFLARE:
        return text
    try:
        made = ipaddress.ip_network(range_of(text))
    except ValueError as error:
        meant = f' - did you mean "{CLOUDFLARE}"?' if text.strip().lower() == CLOUDFLARE else f", or the word {CLOUDFLARE}"
        raise ValueError(f"{error}{meant}") from None
    if made.prefixlen < WIDEST[made.version]:
        raise ValueError(
            f"trusts {'the whole Internet' if made.prefixlen == 0 else 'a large part of the Internet'}: whoever is in it could say any "
            f"address was theirs; expected the ranges of proxies, none wider than /{WIDEST[made.version]}"
        )
    if made.version == 6 and made.overlaps(MAPPED):
        raise ValueError("has addresses of IPv4 in it, written as IPv6: say their range as IPv4 writes it, such as 203.0.113.0/24")
    return str(made)


_RANGE_OR_WORD = WithJsonSchema(
    {"type": "string", "pattern": "^(cloudflare|[0-9a-fA-F:.]+(/[0-9]{1,3})?)$", "x-type": "range of addresses"}
)
Trusted = Annotated[str, AfterValidator(_narrow), _RANGE_OR_WORD]
"""A range of proxies' addresses, none so wide that clients would be in it, or the word cloudflare."""


def _allowed(text: str) -> str:
    return text if text == CLOUDFLARE else range_of(text)


Allowed = Annotated[str, AfterValidator(_allowed), _RANGE_OR_WORD]
"""A range of addresses, or the word cloudflare."""


@cache
def cloudflare() -> tuple[str, ...]:
    """Return Cloudflare's ranges."""
    lines = LIST.read_text().splitlines()
    return tuple(range_of(line) for line in lines if line and not line.startswith("#"))


def ranges(named: Iterable[str]) -> list[str]:
    """Return what is trusted, or let in, as ranges alone."""
    return [one for said in named for one in (cloudflare() if said == CLOUDFLARE else (said,))]


def too_wide(trusted: Iterable[str]) -> str | None:
    """Return the first range wider than WIDEST that ranges come to when they are put together, such as two halves; None: none does."""
    networks = [ipaddress.ip_network(one) for one in ranges(trusted)]
    fours = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
    sixes = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))
    return next((str(one) for one in (*fours, *sixes) if one.prefixlen < WIDEST[one.version]), None)


def looked_at(text: str | None = None) -> date:
    """Return the day on which the list was last compared with Cloudflare's own."""
    found = _LOOKED_AT.search(LIST.read_text() if text is None else text)
    if found is None:
        raise ValueError(f"{LIST.name}: expected a line `# Looked at: 2026-11-23`")
    return date.fromisoformat(found.group(1))


def outdated(named: Iterable[str], today: date) -> str | None:
    """Return a sentence when the list of Cloudflare's addresses is trusted or let in, and nobody has looked at it for MONTHS."""
    if CLOUDFLARE not in named:
        return None
    days = (today - looked_at()).days
    if days <= MONTHS * 30:
        return None
    return (
        f"settings/{LIST.name} was last compared with Cloudflare's own list {days} days ago: addresses that are new since then are not "
        "trusted, and everybody behind them has one address. Compare it with https://www.cloudflare.com/ips-v4 and ips-v6, and write "
        "today's date into it"
    )

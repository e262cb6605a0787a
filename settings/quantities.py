"""Quantities as Kubernetes writes them, and durations: read as numbers, written back for people, guessed at when they are none."""

import math
import re
from decimal import Decimal
from typing import Any

LARGEST = 2**63 - 1
"""Kubernetes keeps quantities in 64 bits, and makes a larger one silently this."""
LEAST_BYTES = 2**20
LEAST_CORES = Decimal("0.001")

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_QUANTITY = re.compile(
    r"(?P<number>[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE](?P<exponent>[+-]?[0-9]{1,2})|(?P<suffix>[numkMGTPE]|[KMGTPE]i)?)"
)
_BYTES = "expected a quantity of bytes such as 512Mi, 1.5Gi or 20G"
_CORES = "expected an amount of cpu such as 250m or 1.5 (cores)"
_DURATION = "expected a duration such as 30s, 5m, 2h or 14d"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 3650 * 86400
"""Ten years: longer ones are slips of the hand."""


def quantity_of(text: str) -> Decimal | None:
    """Return the number that a Kubernetes quantity (`1.5Gi`, `250m`, `12e6`) stands for; None when it is none, or has a sign."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        return None
    suffix = match["suffix"] or ""
    scale = Decimal(2) ** _BINARY[suffix] if suffix in _BINARY else Decimal(10) ** _DECIMAL[suffix]
    return Decimal(match["number"]) * scale * Decimal(10) ** int(match["exponent"] or 0)


def bytes_of(quantity: str) -> int:
    """Return the bytes of a quantity such as `512Mi`, `1.5G` or `12e6`, rounded up as Kubernetes does; ValueError when it is none."""
    number = quantity_of(quantity)
    if number is None or quantity[-1:] in ("n", "u", "m"):
        raise ValueError(_BYTES + _meant_bytes(quantity))
    if number > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes, just below 8Ei: Kubernetes counts no further")
    return math.ceil(number)


def cores_of(quantity: str) -> Decimal:
    """Return the cores of a quantity such as `250m` or `1.5`, in steps of 1m as Kubernetes has them; ValueError when it is none."""
    number = quantity_of(quantity)
    if number is None:
        raise ValueError(_CORES + _meant_cores(quantity))
    if number > LARGEST:
        raise ValueError(f"expected at most {LARGEST} cores: Kubernetes counts no further")
    return Decimal(math.ceil(number * 1000)) / 1000


def check_bytes(quantity: str) -> None:
    """Raise ValueError for what is no quantity of bytes, or less than 1Mi: then a unit was forgotten."""
    number = bytes_of(quantity)
    if number <= 0:
        raise ValueError("expected more than 0 bytes")
    if number < LEAST_BYTES:
        meant = f"; {quantity} alone is {number} bytes - did you mean {quantity}Mi or {quantity}Gi?" if quantity.isdecimal() else ""
        raise ValueError(f"expected at least 1Mi{meant}")


def check_cores(quantity: str) -> None:
    """Raise ValueError for what is no amount of cpu, or less than Kubernetes counts: it would round it up to 1m."""
    cores = cores_of(quantity)
    if cores <= 0:
        raise ValueError("expected more than 0 cores")
    if (quantity_of(quantity) or 0) < LEAST_CORES:
        raise ValueError("expected at least 1m, a thousandth of a core: Kubernetes counts no finer")


def cores_as_text(said: Any) -> Any:
    """Return a plain number of cores (4, 0.5) as text, and anything else as it stands; ValueError as `check_cores`."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return said
    if abs(said) > LARGEST:
        # Python refuses to write numbers of thousands of digits.
        raise ValueError(f"expected at most {LARGEST} cores: Kubernetes counts no further")
    text = f"{Decimal(repr(said)).normalize():f}"
    # Here, so that a sentence shows the number as it was written.
    check_cores(text)
    return text


def refuse_number(said: Any) -> Any:
    """Raise ValueError for a bare number where bytes belong, with what may be meant; return anything else as it stands."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return said
    meant = ""
    if isinstance(said, int) and 0 < said < LARGEST:
        meant = f" - did you mean {said_bytes(said)}?" if said >= LEAST_BYTES else f" - did you mean {said}Mi or {said}Gi?"
    raise ValueError(f"{_BYTES}, with its unit{meant}")


def seconds_of(duration: str) -> int:
    """Return the seconds that a duration such as `30s`, `5m`, `2h` or `14d` stands for; ValueError when it is none."""
    match = re.fullmatch(r"([0-9]{1,12})([smhd])", duration)
    if not match:
        raise ValueError(_DURATION + _meant_duration(duration))
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("expected at most 3650d")
    return seconds


def said_bytes(amount: int) -> str:
    """Return an amount of bytes as a person writes it: 512Mi, 1.5Gi; rounded to two decimals."""
    for suffix, power in (("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if amount >= 2**power:
            return f"{round(amount / 2**power, 2):g}{suffix}" if amount < 1000 * 2**power else f"{round(amount / 2**power)}{suffix}"
    return str(amount)


def said_cores(amount: Decimal) -> str:
    """Return an amount of cpu as a person writes it: 250m below one core, else 1.5."""
    return f"{int(amount * 1000)}m" if amount < 1 else f"{amount.normalize():f}"


def _meant_bytes(text: str) -> str:
    """Return a suggestion for the ways that people write bytes and Kubernetes does not."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe])(i?)(?:b|byte|bytes)?\s*", text, re.IGNORECASE)
    if not match:
        bare = re.fullmatch(r"\s*([0-9]+)\s*(?:b|byte|bytes)?\s*", text, re.IGNORECASE)
        return f" - did you mean {bare[1]}?" if bare else ""
    number, letter, binary = match[1], match[2].upper(), match[3]
    metric = "k" if letter == "K" else letter
    return f" - did you mean {number}{letter}i?" if binary else f" - did you mean {number}{letter}i or {number}{metric}?"


def _meant_cores(text: str) -> str:
    match = re.fullmatch(r"\s*([0-9]+)(?:[.,]([0-9]+))?\s*(milli|m)?\s*(?:c|cpus?|cores?)?\s*", text, re.IGNORECASE)
    if not match:
        return ""
    return f" - did you mean {match[1]}{f'.{match[2]}' if match[2] else ''}{'m' if match[3] else ''}?"


def _meant_duration(text: str) -> str:
    match = re.fullmatch(r"\s*([0-9]{1,12})\s*(s|m|h|d)(?:ec|econd|in|inute|our|r|ay)?s?\s*", text, re.IGNORECASE)
    if match:
        return f" - did you mean {match[1]}{match[2].lower()}?"
    if re.fullmatch(r"[0-9]{1,12}", text):
        return f" - did you mean {text}s?"
    weeks = re.fullmatch(r"\s*([0-9]{1,6})\s*w(?:eeks?)?\s*", text, re.IGNORECASE)
    return f" - did you mean {int(weeks[1]) * 7}d?" if weeks else ""

"""Kubernetes quantities as numbers: 250m, 1.5Gi, 129e6."""

import re
from decimal import Decimal

_SUFFIXES = {
    **{"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
_PATTERN = re.compile(r"(?P<number>[+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?P<suffix>[eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?")
_LARGE = 1 << 20


def amount(quantity: str | int | None) -> Decimal:
    """Return the number that a quantity stands for, 0 for none; ValueError when it is no quantity."""
    if quantity is None:
        return Decimal(0)
    match = _PATTERN.fullmatch(str(quantity))
    if not match:
        raise ValueError(f"{quantity!r} is no quantity")
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    return number * (_SUFFIXES[suffix] if suffix in _SUFFIXES else Decimal(f"1{suffix}"))


def shown(number: Decimal) -> str:
    """Return a number as a person reads it: large ones in binary units, fractions with three digits."""
    if number < _LARGE:
        return f"{number.quantize(Decimal('0.001')).normalize():f}"
    for letter in "EPTGM":
        unit = _SUFFIXES[f"{letter}i"]
        if number >= unit:
            return f"{(number / unit).quantize(Decimal('0.1')).normalize():f}{letter}i"
    raise AssertionError(number)

"""How figures are printed: what was measured, and beside it what was promised."""

import math
from collections.abc import Sequence


def line(name: str, value: float, unit: str, limit: float | None = None, *, note: str = "") -> str:
    """Return one line: a figure with its unit, and the limit that it was to keep."""
    promised = f"   limit {limit:g} {unit}".rstrip() if limit is not None else ""
    kept = "" if limit is None else "   kept" if value <= limit else "   MISSED"
    return f"{name:<46} {value:>10.4g} {unit:<6}{promised}{kept}{f'   ({note})' if note else ''}"


def show(name: str, value: float, unit: str, limit: float | None = None, *, note: str = "") -> None:
    """Print one figure."""
    print(line(name, value, unit, limit, note=note), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all do not exceed (nearest rank); NaN when there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]

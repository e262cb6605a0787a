"""When a schedule runs: five cron fields and a time zone, read as the cluster's own controller reads them.

A library would take what Kubernetes refuses (7 for Sunday, L, W, #), and refuse `?`, which it takes; so the grammar is here, whole.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

_MONTHS = {
    name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EXPECTED = 'expected five cron fields - minute, hour, day of the month, month, day of the week - such as "0 3 * * mon-fri"'


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict[str, int])


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def times_of(cron: str) -> tuple[frozenset[int], ...]:
    """Return what each of the five fields allows; ValueError when they are no schedule, or one that never comes."""
    words = cron.split()
    if len(words) != len(_FIELDS):
        nickname = _NICKNAMES.get(cron.strip())
        raise ValueError(f'{_EXPECTED} - did you mean "{nickname}"?' if nickname else f"{_EXPECTED}, not {len(words)}")
    times = tuple(_allowed(word, place) for word, place in zip(words, _FIELDS, strict=True))
    _, _, days, months, _ = times
    # With both days restricted either is enough, so it comes by the day of the week.
    if words[4][0] in "*?" and not any(day <= _LONGEST_MONTH.get(month, 31) for day in days for month in months):
        raise ValueError(f"never comes: day of the month {words[2]} is in none of the months {words[3]}")
    return times


def _allowed(word: str, place: _Field) -> frozenset[int]:
    return frozenset(number for part in word.split(",") for number in _part(part, place))


def _part(part: str, place: _Field) -> range:
    match = re.fullmatch(r"(?:[*?]|(?P<first>[0-9A-Za-z]+)(?:-(?P<last>[0-9A-Za-z]+))?)(?:/(?P<step>[0-9]+))?", part, re.ASCII)
    if not match:
        raise ValueError(f"{place.name} {part!r}: expected a number, a range 1-5, a step */15, a list of these, or *")
    step = int((match["step"] or "1")[:9])
    if step < 1:
        raise ValueError(f"{place.name} {part!r}: expected a step of at least 1")
    if match["first"] is None:
        return range(place.low, place.high + 1, step)
    first = _number(match["first"], place)
    # 5/15 is from 5 to the end, every 15.
    last = _number(match["last"], place) if match["last"] else place.high if match["step"] else first
    if last < first:
        raise ValueError(f"{place.name} {part!r}: the range ends before it begins")
    return range(first, last + 1, step)


def _number(word: str, place: _Field) -> int:
    number = int(word) if word.isdecimal() and len(word) < 5 else place.names.get(word.lower(), -1)
    if not place.low <= number <= place.high:
        names = f" or {next(iter(place.names))} to {list(place.names)[-1]}" if place.names else ""
        sunday = "; Sunday is 0" if place.names is _DAYS and word == "7" else ""
        raise ValueError(f"{place.name} {word!r}: expected {place.low} to {place.high}{names}{sunday}")
    return number


@cache
def zones() -> frozenset[str]:
    """Return the names of all time zones, from the package tzdata: a machine's own list may be missing or old."""
    # Imported when it is needed: most stacks name no zone, and it costs as much as reading their settings.
    from importlib.resources import files

    return frozenset((files("tzdata") / "zones").read_text().split())


def check_zone(name: str) -> None:
    """Raise ValueError when there is no time zone of that name."""
    if name in zones():
        return
    zone = _nearest_zone(name.strip().lower().replace(" ", "_"))
    meant = f' - did you mean "{zone}"?' if zone else ""
    raise ValueError(f"expected a time zone such as Europe/Paris or Etc/UTC{meant}")


def _nearest_zone(wanted: str) -> str | None:
    """Return the zone whose city is nearly that of `wanted`: in the same area all names are alike, and that says nothing."""
    area, _, city = wanted.rpartition("/")
    # Of cities with one name the one in the area that was said, else the one with the longest path: Asia/Istanbul, Europe/Istanbul.
    ordered = sorted(zones(), key=lambda zone: (zone.lower().startswith(f"{area}/"), len(zone), zone))
    cities = {zone.rpartition("/")[2].lower(): zone for zone in ordered}
    close = difflib.get_close_matches(city, cities, 1, 0.75)
    return cities[close[0]] if close else None

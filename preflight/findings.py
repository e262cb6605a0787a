"""The words of the report: a finding is right, wrong with its cure, or unknown with the reason."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    """What was asked about: `quota`, `image postgres`."""
    verdict: Verdict
    """`unknown`: it can not be known, and `found` says why."""
    found: str
    """What the cluster answered."""
    cure: str = ""
    """What to do about it, where it is wrong."""

    def as_json(self) -> dict[str, str]:
        """Return it as JSON's types."""
        return asdict(self)


def right(check: str, found: str) -> Finding:
    """Return that nothing stands in the way."""
    return Finding(check, "right", found)


def wrong(check: str, found: str, cure: str) -> Finding:
    """Return what would make `up` fail or wait, and what to do about it."""
    return Finding(check, "wrong", found, cure)


def unknown(check: str, why: str) -> Finding:
    """Return that it can not be known, and why."""
    return Finding(check, "unknown", why)


@dataclass(frozen=True)
class Check:
    """One question to the cluster, which may have several answers."""

    what: str
    """Its subject, and what stands in the report when it does not answer in time."""
    ask: Callable[[], Iterable[Finding]]
    """Asks; ApiError where it may not or can not."""

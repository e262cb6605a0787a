"""Whether two stacks are the same by construction: what differs, against what is allowed to."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from reports import guards
from reports.allowances import Allowance, Allowances
from reports.compare import APP_IMAGE, Comparison, Row
from reports.releases import Ran, judge


@dataclass(frozen=True)
class Finding:
    """A difference, and what is held of it."""

    row: Row
    reason: str
    """Why it is allowed, or why it is not."""
    kind: str = ""
    """What kind of difference it is; empty for one that is not allowed."""


@dataclass
class Verdict:
    """What a parity report says."""

    left: str
    right: str
    fields: int
    allowed: list[Finding] = field(default_factory=list[Finding])
    unexpected: list[Finding] = field(default_factory=list[Finding])
    problems: list[str] = field(default_factory=list[str])
    """What is wrong with the allowances themselves."""
    notes: list[str] = field(default_factory=list[str])

    @property
    def identical(self) -> int:
        """How many fields are the same."""
        return self.fields - len(self.allowed) - len(self.unexpected)

    @property
    def holds(self) -> bool:
        """Whether the stacks are the same but for what is allowed."""
        return not self.unexpected and not self.problems

    @property
    def line(self) -> str:
        """The report in a line."""
        told = f"parity {self.identical}/{self.fields} fields identical, {len(self.allowed)} allowed, {len(self.unexpected)} unexpected"
        return told + (f", {len(self.problems)} wrong in the allowances" if self.problems else "")


def verdict(comparison: Comparison, allowances: Allowances, ran: Ran, today: date) -> Verdict:
    """Judge a comparison by what is allowed on the day `today`, and by what the left stack has run."""
    left, right = comparison.left.name, comparison.right.name
    made = Verdict(left, right, comparison.fields, problems=list(allowances.problems))
    concerned = [one for one in allowances.listed if one.concerns(left, right)]
    made.problems += _overreaching(concerned, comparison, allowances.file)
    used: set[Allowance] = set()
    for row in comparison.rows:
        if row.place != APP_IMAGE:
            _judge_row(row, concerned, used, made, today)
    _judge_image(comparison, ran, made)
    made.problems += _faults(concerned, used, allowances.file, made, today)
    made.unexpected.sort(key=lambda finding: finding.row.place)
    return made


def _judge_row(row: Row, allowances: Sequence[Allowance], used: set[Allowance], made: Verdict, today: date) -> None:
    matching = [one for one in allowances if one.pattern.matches(row.place)]
    used.update(matching)
    if why := guards.reason(row):
        never = f"never allowed: {why}"
        made.unexpected.append(Finding(row, never))
        return
    valid = [one for one in matching if not _expired(one, today)]
    if row_kind := guards.required_kind(row.place):
        valid = [one for one in valid if one.kind == row_kind]
    if valid:
        made.allowed.append(Finding(row, valid[0].reason, valid[0].kind))
    else:
        made.unexpected.append(Finding(row, _why_not(matching, row, today)))


def _why_not(matching: Sequence[Allowance], row: Row, today: date) -> str:
    if not matching:
        return "no allowance"
    if all(_expired(one, today) for one in matching):
        return f"its allowance ended on {matching[0].until}"
    return f"its allowance has kind {matching[0].kind}; here only {guards.required_kind(row.place)} may be allowed"


def _judge_image(comparison: Comparison, ran: Ran, made: Verdict) -> None:
    judged = judge(comparison, ran)
    row = next((row for row in comparison.rows if row.place == APP_IMAGE), None)
    if judged.note:
        made.notes.append(judged.note)
    if judged.wrong:
        pairs = sorted(comparison.images)
        made.unexpected.append(Finding(row or Row(APP_IMAGE, pairs[0][0], pairs[0][1]), f"never allowed: {judged.wrong}"))
    elif row:
        made.allowed.append(Finding(row, judged.allowed or judged.note, "identity"))


def _overreaching(allowances: Sequence[Allowance], comparison: Comparison, file: str) -> list[str]:
    """Return a sentence for each allowance that covers a field which may never differ, whether or not it does now."""
    protected = [(place, why) for place in comparison.places if (why := guards.covered(place))] if allowances else []
    protected += [(row.place, why) for row in comparison.rows if (why := guards.reason(row))]
    problems: list[str] = []
    for one in allowances:
        pattern = one.pattern
        found = next(((place, why) for place, why in protected if pattern.matches(place)), None)
        if found:
            problems.append(f"{file}:{one.line}: {one.path}: covers {found[0]}, which may never differ: {found[1]}")
    return problems


def _faults(allowances: Sequence[Allowance], used: set[Allowance], file: str, made: Verdict, today: date) -> list[str]:
    open_places = [str(finding.row.place) for finding in made.unexpected]
    unused = [
        f"{file}:{one.line}: {one.path}: nothing differs there between {made.left} and {made.right}; {_cure(one.path, open_places)}"
        for one in allowances
        if one not in used
    ]
    expired = [f"{file}:{one.line}: {one.path}: ended on {one.until}" for one in allowances if one in used and _expired(one, today)]
    return unused + expired


def _cure(path: str, places: Sequence[str]) -> str:
    close = difflib.get_close_matches(path, places, 1, 0.85)
    return f"did you mean `{close[0]}`?" if close else "take the allowance out"


def _expired(allowance: Allowance, today: date) -> bool:
    return allowance.until is not None and allowance.until < today

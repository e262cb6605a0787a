"""Parity and differences as text, Markdown and JSON."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reports.compare import MISSING, Comparison, Missing, Row
from reports.parity import Finding, Verdict

Paint = Callable[[str, str], str]
"""Colours a text: what, and how (`bad`, `good`, `head`, `dim`)."""

WIDTH = 100
"""Characters that a value is cut to."""
LINES = 20
"""Lines of a file's difference that are shown."""


LOGIN = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""User and password inside an address."""


def plain(text: str, _how: str) -> str:
    """Colour nothing."""
    return text


def parity(verdict: Verdict, paint: Paint = plain) -> list[str]:
    """Return a parity report: the line first, then what is unexpected, what is wrong, what is allowed."""
    lines = [paint(verdict.line, "good" if verdict.holds else "bad")]
    if verdict.unexpected:
        lines += ["", paint("unexpected", "bad")]
        for finding in verdict.unexpected:
            lines += _row(finding.row, verdict.left, verdict.right, paint)
            lines.append(f"      {paint(finding.reason, 'dim')}")
    lines += _section("wrong in the allowances", verdict.problems, paint)
    if verdict.allowed:
        lines += ["", paint("allowed", "head")]
        for finding in verdict.allowed:
            left, right = value(finding.row.left), value(finding.row.right)
            lines.append(f"  {finding.kind.ljust(8)}  {finding.row.place}  {left} | {right}")
            lines.append(f"            {paint(finding.reason, 'dim')}")
    return lines + _section("to know", verdict.notes, paint)


def difference(comparison: Comparison, paint: Paint = plain) -> list[str]:
    """Return what differs, a resource at a time."""
    left, right = comparison.left.name, comparison.right.name
    rows = comparison.rows
    things = len({(row.place.kind, row.place.name) for row in rows})
    lines = [paint(f"diff {left} {right}: {len(rows)} of {comparison.fields} fields differ, in {things} resources", "head")]
    for row in rows:
        lines += _row(row, left, right, paint)
    return lines


def parity_json(verdict: Verdict) -> str:
    """Return a parity report as JSON."""
    made: dict[str, Any] = {
        "stacks": [verdict.left, verdict.right],
        "holds": verdict.holds,
        "fields": verdict.fields,
        "identical": verdict.identical,
        "allowed": [_finding(one) for one in verdict.allowed],
        "unexpected": [_finding(one) for one in verdict.unexpected],
        "problems": verdict.problems,
        "notes": verdict.notes,
    }
    return json.dumps(made, indent=2, ensure_ascii=False)


def difference_json(comparison: Comparison) -> str:
    """Return what differs as JSON."""
    made: dict[str, Any] = {
        "stacks": [comparison.left.name, comparison.right.name],
        "fields": comparison.fields,
        "identical": comparison.identical,
        "rows": [_row_json(row) for row in comparison.rows],
    }
    return json.dumps(made, indent=2, ensure_ascii=False)


def parity_markdown(verdict: Verdict) -> str:
    """Return a parity report for a pull request: the line, a table of what is unexpected, and what is allowed folded away."""
    lines = [f"**{verdict.line}** ({verdict.left} and {verdict.right})"]
    heads = ("where", verdict.left, verdict.right, "why")
    if verdict.unexpected:
        lines += ["", *_table(heads, [(*map(_code, _short(one.row)), one.reason) for one in verdict.unexpected])]
    if verdict.problems:
        lines += ["", *(f"- {_escaped(problem)}" for problem in verdict.problems)]
    if verdict.allowed:
        rows = [(*map(_code, _short(one.row)), f"{one.kind}: {one.reason}") for one in verdict.allowed]
        lines += ["", f"<details><summary>{len(rows)} allowed</summary>", "", *_table(heads, rows), "", "</details>"]
    return "\n".join([*lines, *(f"\n{_escaped(note)}" for note in verdict.notes)])


def value(said: Any) -> str:
    """Return a value in a line, cut when it is long, without a password that somebody wrote into an address."""
    if isinstance(said, Missing):
        return repr(said)
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    text = said if isinstance(said, str) else json.dumps(_whole(said), ensure_ascii=False, sort_keys=True)
    text = LOGIN.sub("://<not shown>@", text.replace("\n", "⏎")) or '""'
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _whole(said: Any) -> Any:
    if isinstance(said, dict):
        return {str(key): _whole(inner) for key, inner in _pairs(said)}
    if isinstance(said, list):
        return [_whole(inner) for inner in _members(said)]
    if isinstance(said, str):
        return LOGIN.sub("://<not shown>@", said)
    return int(said) if isinstance(said, float) and said.is_integer() else said


def _pairs(said: Any) -> Iterable[tuple[Any, Any]]:
    return said.items()


def _members(said: Any) -> Iterable[Any]:
    return said


def _row(row: Row, left: str, right: str, paint: Paint) -> list[str]:
    lines = [f"  {paint(str(row.place), 'head')}"]
    if row.lines:
        shown = [paint(f"      {line}", "bad" if line.startswith("-") else "good") for line in row.lines[:LINES]]
        more = len(row.lines) - len(shown)
        return [*lines, *shown, *([f"      … and {more} more lines"] if more > 0 else [])]
    width = max(len(left), len(right))
    return [
        *lines,
        f"      {left.ljust(width)}  {paint(value(row.left), 'bad')}",
        f"      {right.ljust(width)}  {paint(value(row.right), 'good')}",
    ]


def _short(row: Row) -> tuple[str, str, str]:
    return str(row.place), value(row.left), value(row.right)


def _section(title: str, sentences: Sequence[str], paint: Paint) -> list[str]:
    return ["", paint(title, "head"), *(f"  {sentence}" for sentence in sentences)] if sentences else []


def _finding(finding: Finding) -> dict[str, Any]:
    kind = {"kind": finding.kind} if finding.kind else {}
    return {**_row_json(finding.row), **kind, "reason": finding.reason}


def _row_json(row: Row) -> dict[str, Any]:
    sides = {side: None if said is MISSING else _whole(said) for side, said in (("left", row.left), ("right", row.right))}
    return {"place": str(row.place), **sides, **({"lines": list(row.lines)} if row.lines else {})}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    ruled = [heads, ["---"] * len(heads), *([_escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in ruled]


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")

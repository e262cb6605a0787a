"""The comment on a change: what previews of stacks say, by risk, in Markdown that fits where it is posted."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import TypeAdapter

from reports.risk import Change, Field, Risk, classify

MARKER = "<!-- switchyard-preview -->"
"""First line of the comment: how the next run finds it again."""

GITHUB_LIMIT = 65_536
"""Characters that a comment may have on GitHub; GitLab takes 1,000,000."""

NAMES_SHOWN = 8
FIELDS_SHOWN = 30
LINES_SHOWN = 12
LINE_LENGTH = 300
BRIEF: Literal["switchyard-preview"] = "switchyard-preview"
SERIOUS = (Risk.DATA, Risk.CONSUMER, Risk.PORT)
DONE = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "import": "imported"}


class NotAPreviewError(Exception):
    """What was given is neither what `pulumi preview --json` prints nor a summary of it."""


@dataclass(frozen=True)
class StackPreview:
    """What the preview of one stack says. Holds no secret: it may be stored where others read it."""

    stack: str
    changes: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()
    """Why there is no preview, or only a part of one."""
    warnings: tuple[str, ...] = ()
    new: bool = field(default=False, kw_only=True)
    """Whether the stack has nothing yet."""
    kind: Literal["switchyard-preview"] = field(default=BRIEF, kw_only=True)
    """By which a stored summary is known."""

    @classmethod
    def read(cls, stack: str, text: str) -> "StackPreview":
        """Read the output of `pulumi preview --json`, or what `brief` made of one; NotAPreviewError when it is neither."""
        if not text.strip():
            return cls(stack, errors=("the preview ended before it said anything: the log of its job says why",))
        try:
            said: object = json.loads(text)
        except ValueError as error:
            raise NotAPreviewError(f"{error}; it begins with {text.strip()[:60]!r}") from None
        if not isinstance(said, dict):
            raise NotAPreviewError(f"it is a JSON {type(said).__name__}")
        document = cast("dict[str, Any]", said)
        if document.get("kind") == BRIEF:
            return _ADAPTER.validate_python(document)
        if not {"steps", "diagnostics", "changeSummary"} & document.keys():
            raise NotAPreviewError("it has neither steps nor diagnostics")
        return cls._of_engine(stack, document)

    @classmethod
    def _of_engine(cls, stack: str, document: Mapping[str, Any]) -> "StackPreview":
        steps = cast("list[dict[str, Any]]", document.get("steps") or [])
        new = bool(steps) and all(step["op"] == "create" for step in steps)
        return cls(stack, tuple(classify(steps)), _messages(document, "error"), _messages(document, "warning"), new=new)

    def brief(self) -> str:
        """Return it as JSON, without all that the comment does not need."""
        return _ADAPTER.dump_json(self).decode()

    def counted(self) -> str:
        """Return how many resources are created, updated, and so on."""
        counts = Counter(change.op for change in self.changes)
        return ", ".join(f"{counts[op]} {word}" for op, word in DONE.items() if counts[op]) or "no changes"

    def at(self, risk: Risk) -> list[Change]:
        """Return the changes that have a risk, as their worst or beside it."""
        return [change for change in self.changes if risk == change.risk or risk in change.also]


_ADAPTER = TypeAdapter(StackPreview)


def _messages(document: Mapping[str, Any], severity: str) -> tuple[str, ...]:
    said = cast("list[dict[str, str]]", document.get("diagnostics") or [])
    texts = [one["message"].strip().removeprefix(f"{severity}: ") for one in said if one.get("severity") == severity]
    return tuple(dict.fromkeys(text for text in texts if text))


def markdown(previews: Sequence[StackPreview], limit: int = GITHUB_LIMIT) -> str:
    """Return the comment, of at most `limit` characters: first what every stack does, then, folded, its fields as far as they fit."""
    if not previews:
        return f"{MARKER}\n## Preview\n\nThis change alters no stack.\n"
    overview = _fitting([_overview(preview) for preview in previews], limit // 3, "| … | {} more stacks | | | | |")
    title = f"{MARKER}\n## Preview of {len(previews)} stack{'s' if len(previews) > 1 else ''}\n"
    head = "\n".join([title, f"| stack | {' | '.join(Risk)} |", f"| --- |{' ---: |' * len(Risk)}", *overview, ""])
    sections = _fitting([_section(preview) for preview in previews], limit - len(head) - 2, "\n… and {} more stacks: see their jobs.\n")
    whole = sections if len(sections) == len(previews) else sections[:-1]
    spare = limit - len(head) - sum(len(section) + 1 for section in sections)
    for number, section in enumerate(whole):
        details = _details(previews[number], spare // (len(whole) - number))
        spare -= len(details)
        whole[number] = section + details
    return "\n".join([head, *whole, *sections[len(whole) :]])


def _fitting(blocks: Sequence[str], room: int, more: str) -> list[str]:
    """Return as many blocks as fit, and where some are left out a last one that says how many."""
    if sum(len(block) + 1 for block in blocks) <= room:
        return list(blocks)
    kept: list[str] = []
    room -= len(more) + len(str(len(blocks))) + 1
    for block in blocks:
        room -= len(block) + 1
        if room < 0:
            break
        kept.append(block)
    return [*kept, more.format(len(blocks) - len(kept))]


def _overview(preview: StackPreview) -> str:
    if preview.errors:
        return f"| {code(preview.stack)} | **the preview failed** | | | | |"
    if not preview.changes:
        return f"| {code(preview.stack)} | no changes | | | | |"
    counts = [(risk, len(preview.at(risk))) for risk in Risk]
    cells = [f"**{count}**" if count and risk in SERIOUS else str(count or "–") for risk, count in counts]
    return f"| {code(preview.stack)} | {' | '.join(cells)} |"


def _section(preview: StackPreview) -> str:
    """Return what is always shown of a stack: what failed, or its changes by risk."""
    counted = f"a new installation: {preview.counted()}" if preview.new else preview.counted()
    lines = [f"### {code(preview.stack)}: {'the preview failed' if preview.errors else counted}", ""]
    if preview.errors:
        lines += [*_quoted(preview.errors), ""]
        # A refused deletion ends the plan: what came before it is known.
        lines += ["As far as it came:", ""] if preview.changes else []
    if preview.changes:
        rows = [f"| {_risk(risk)} | {_names(preview.at(risk), risk)} |" for risk in Risk if preview.at(risk)]
        lines += ["| risk | what |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def _risk(risk: Risk) -> str:
    return f"**{risk}**" if risk in SERIOUS else str(risk)


def _names(changes: Sequence[Change], risk: Risk) -> str:
    said = [_name(change, risk) for change in changes[:NAMES_SHOWN]]
    left = len(changes) - len(said)
    return "; ".join([*said, *([f"and {left} more"] if left else [])])


def _name(change: Change, risk: Risk) -> str:
    opens = change.opens if risk is Risk.PORT else ()
    phrases = [*opens[:2], *([f"and {len(opens) - 2} more"] if len(opens) > 2 else [])]
    return f"{change.op} {change.kind} {code(change.name)}" + (f" ({code(', '.join(phrases))})" if phrases else "")


def _details(preview: StackPreview, room: int) -> str:
    """Return every change with its fields, folded, worst first, as far as there is room; empty when there is none."""
    blocks = [*_warnings(preview.warnings), *(_block(change) for change in preview.changes)]
    if not blocks:
        return ""
    count = len(preview.changes)
    summary = f"{count} change{'' if count == 1 else 's'}, field by field" if count else "warnings"
    head = f"\n<details><summary>{summary}</summary>\n\n"
    foot, more = "\n\n</details>\n", f"- … {{}} more; all of it: `./sy preview -s {preview.stack} --diff`"
    room -= len(head) + len(foot)
    if room < len(more) + len(blocks[0]):
        return ""
    return head + "\n".join(_fitting(blocks, room, more)) + foot


def _warnings(warnings: Iterable[str]) -> list[str]:
    return [f"- warning: {code(text)}" for text in warnings]


def _block(change: Change) -> str:
    lines = [f"- **{change.op}** {change.kind} {code(change.name)}"]
    lines += [f"  - opens {code(phrase)}" for phrase in change.opens]
    lines += [f"  - {code(one.path)}{_values(one)}" for one in change.fields[:FIELDS_SHOWN]]
    if (left := len(change.fields) - FIELDS_SHOWN) > 0:
        lines.append(f"  - … {left} more fields")
    return "\n".join(lines)


def _values(one: Field) -> str:
    if one.before == one.after:
        return " changes"
    return f": {code(one.before) if one.before else 'nothing'} → {code(one.after) if one.after else 'nothing'}"


def _quoted(errors: Sequence[str]) -> list[str]:
    """Return errors as a block that nothing in them can end."""
    lines = [line[:LINE_LENGTH].replace("```", "'''") for error in errors for line in error.splitlines()]
    left = len(lines) - LINES_SHOWN
    return ["```text", *lines[:LINES_SHOWN], *([f"… {left} more lines: see the job's log"] if left > 0 else []), "```"]


def code(text: str) -> str:
    """Return text as Markdown shows it: one line, in a code span that nothing in it can end, nor a cell of a table."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "¦")[:LINE_LENGTH]
    return f"`{line}`"

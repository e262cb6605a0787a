"""What scanners find in a stack's manifests, and which of it scan.yaml explains."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import yaml

from settings import SettingsError
from settings.reading import no_yaml

FILE = "scan.yaml"
CHECKOV, KUBE_SCORE = "checkov", "kube-score"
SCANNERS = (CHECKOV, KUBE_SCORE)
APP = "app"
"""Stands in `of` for every workload that runs the app's image, whatever its processes are called."""
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
"""Kinds of objects that keep pods."""
MOST = 2
"""Findings of one scanner in one workload that may be explained: more of them is a workload that wants to be mended."""
_KEYS = ("finding", "of", "reason")
_REASON_LENGTH = 20
"""Characters below which a reason says nothing."""
_DIGEST = re.compile(r"-[0-9a-f]{10}$")
_GOOD = 7
"""kube-score's grades: 1 critical, 5 warning, 7 almost, 10 right."""


@dataclass(frozen=True, order=True)
class Finding:
    """One check that one object fails."""

    about: str
    """KIND/NAME of the object."""
    check: str
    """SCANNER/CHECK: checkov/CKV_K8S_11."""
    says: str
    """The check in the scanner's words."""

    @property
    def scanner(self) -> str:
        """Who found it."""
        return self.check.partition("/")[0]

    @property
    def of_workload(self) -> bool:
        """Whether it is about something that keeps pods."""
        return self.about.partition("/")[0] in WORKLOADS


@dataclass(frozen=True)
class Explanation:
    """Why a finding is left as it is."""

    finding: str
    """SCANNER/CHECK."""
    of: tuple[str, ...]
    """KIND/NAME of the objects that it is about, where `*` stands for anything, or APP."""
    reason: str
    line: int = 0

    def covers(self, found: Finding, of: str, app: Collection[str]) -> bool:
        """Say whether one of its patterns covers a finding; `app` are the workloads that run the app's image."""
        return self.finding == found.check and (found.about in app if of == APP else fnmatchcase(found.about, of))


@dataclass(frozen=True)
class Verdict:
    """What was found, what of it nobody explained, and what was explained without being there."""

    findings: Sequence[Finding]
    workloads: Sequence[str]
    """KIND/NAME of all that keeps pods, also where nothing was found."""
    unexplained: Sequence[Finding]
    unused: Sequence[str]
    """Explanations that explain nothing, a sentence each."""

    def counts(self, about: str) -> Mapping[str, int]:
        """Return how many findings an object has, by scanner."""
        return Counter(found.scanner for found in self.findings if found.about == about)

    @property
    def crowded(self) -> list[str]:
        """Workloads with more findings of one scanner than can be explained."""
        return [about for about in self.workloads if max(self.counts(about).values(), default=0) > MOST]

    @property
    def holds(self) -> bool:
        """Whether all is explained and nothing more is."""
        return not (self.unexplained or self.unused or self.crowded)


def lasting(kind: str, name: str) -> str:
    """Return KIND/NAME, without the digest of its content that the names of Jobs and of configuration end with."""
    return f"{kind}/{_DIGEST.sub('', name)}"


def judge(findings: Sequence[Finding], workloads: Sequence[str], explained: Sequence[Explanation], app: Collection[str] = ()) -> Verdict:
    """Hold findings against their explanations: each needs one, and each pattern of each must cover some."""
    unexplained = [found for found in findings if not any(one.covers(found, of, app) for one in explained for of in one.of)]
    unused = [
        f"{FILE}:{one.line}: {one.finding} is not found in {of} any more: take it out"
        for one in explained
        for of in one.of
        if not any(one.covers(found, of, app) for found in findings)
    ]
    return Verdict(sorted(findings), sorted(workloads), sorted(unexplained), unused)


def of_checkov(report: Mapping[str, Any]) -> list[Finding]:
    """Return what checkov reports as JSON; what an annotation told it to skip counts as well.

    ValueError when it could not read a manifest.
    """
    if report["summary"]["parsing_errors"]:
        raise ValueError("checkov could not read all manifests: it is to be told of what they have that is new")
    results: dict[str, list[dict[str, Any]]] = report["results"]
    failed = [*results["failed_checks"], *results["skipped_checks"]]
    return [Finding(_named(one["resource"]), f"{CHECKOV}/{one['check_id']}", one["check_name"]) for one in failed]


def _named(resource: str) -> str:
    """Return KIND/NAME of what checkov calls KIND.NAMESPACE.NAME."""
    kind, _, name = resource.split(".", 2)
    return lasting(kind, name)


def of_kube_score(report: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what kube-score reports as JSON: its warnings and what it calls critical."""
    done_of: list[tuple[Mapping[str, Any], list[dict[str, Any]]]] = [(one, one["checks"] or []) for one in report]
    return [
        Finding(
            lasting(one["type_meta"]["kind"], one["object_meta"]["name"]),
            f"{KUBE_SCORE}/{done['check']['id']}",
            _said(done["comments"] or []),
        )
        for one, checks in done_of
        for done in checks
        if not done["skipped"] and done["grade"] < _GOOD
    ]


def _said(comments: Sequence[Mapping[str, str]]) -> str:
    return "; ".join(dict.fromkeys(comment["summary"] for comment in comments))


def read(file: Path) -> list[Explanation]:
    """Return what a file explains; SettingsError when it can not be used."""
    try:
        text = file.read_text()
        document: Any = yaml.safe_load(text) or {}
        compose: Any = yaml.compose  # pyright: ignore[reportUnknownMemberType]
        root: Any = compose(text)
    except OSError as error:
        raise SettingsError([f"{file}: can not be read: {error.strerror}; name another file with --explanations"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([no_yaml(error, file.name)]) from None
    said = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    entries = said.get("explained")
    if not isinstance(entries, list) or set(said) != {"explained"}:
        raise SettingsError([f"{file.name}: expected a map with `explained:`, a list of {', '.join(_KEYS)}"])
    nodes: list[Any] = root.value[0][1].value
    lines: list[int] = [node.start_mark.line + 1 for node in nodes]
    numbered = list(zip(cast("list[Any]", entries), lines, strict=True))
    if problems := [f"{file.name}:{line}: {problem}" for entry, line in numbered for problem in _wrong(entry)]:
        raise SettingsError(problems)
    return [Explanation(entry["finding"], tuple(entry["of"]), entry["reason"].strip(), line) for entry, line in numbered]


def _wrong(entry: Any) -> list[str]:
    """Return what is wrong with an entry."""
    if not isinstance(entry, dict):
        return [f"expected a map with {', '.join(_KEYS)}"]
    said = cast("dict[str, Any]", entry)
    problems = [f"unknown key {key}; expected one of {', '.join(_KEYS)}" for key in said if key not in _KEYS]
    finding, of, reason = (said.get(key) for key in _KEYS)
    if not isinstance(finding, str) or finding.partition("/")[0] not in SCANNERS or not finding.partition("/")[2]:
        problems.append(f"finding: {finding!r}: expected SCANNER/CHECK, such as checkov/CKV_K8S_11")
    if not isinstance(of, list) or not of or not all(isinstance(one, str) and ("/" in one or one == APP) for one in cast("list[Any]", of)):
        problems.append(f"{finding}: of: expected a list of KIND/NAME, such as [Deployment/grafana, StatefulSet/*], or {APP}")
    if not isinstance(reason, str) or len(reason.strip()) < _REASON_LENGTH:
        problems.append(f"{finding}: reason: is missing: say why it is left as it is")
    return problems


def lines(verdict: Verdict) -> list[str]:
    """Return a verdict as text: a table of the workloads, what else was found, and what is wrong."""
    width = max([len(about) for about in verdict.workloads], default=0)
    table = [f"{'workload':{width}}  {'  '.join(f'{one:>10}' for one in SCANNERS)}"]
    for about in verdict.workloads:
        counts = verdict.counts(about)
        table.append(f"{about:{width}}  {'  '.join(f'{counts.get(one, 0):>10}' for one in SCANNERS)}")
    others = [f"elsewhere: {found.about}: {found.check}" for found in verdict.findings if not found.of_workload]
    wrong = [f"unexplained: {found.about}: {found.check}: {found.says}" for found in verdict.unexplained]
    wrong += [f"unused: {sentence}" for sentence in verdict.unused]
    wrong += [f"too many: {about} has more than {MOST} findings of one scanner" for about in verdict.crowded]
    return [*table, *others, *wrong, _sum(verdict)]


def _sum(verdict: Verdict) -> str:
    totals = Counter(found.scanner for found in verdict.findings if found.of_workload)
    most = {one: max((verdict.counts(about).get(one, 0) for about in verdict.workloads), default=0) for one in SCANNERS}
    number = len(verdict.workloads)
    each = "; ".join(f"{one} {totals[one]}, {totals[one] / max(number, 1):.1f} a workload, {most[one]} at most" for one in SCANNERS)
    return f"{number} workloads: {each}; {len(verdict.unexplained)} unexplained, {len(verdict.unused)} explained and not found"

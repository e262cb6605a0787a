"""What scanners find is held against its explanations: each needs the other."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.scan import STAND_IN, _pinned
from reports import scan
from reports.scan import Explanation, Finding, judge, lines, of_checkov, of_kube_score, read
from settings import SettingsError
from tools.paths import ROOT

LIMIT = Finding("Deployment/web", "checkov/CKV_K8S_11", "CPU limits should be set")
TOKEN = Finding("StatefulSet/postgres", "checkov/CKV_K8S_38", "tokens")
WORKLOADS = ["Deployment/web", "StatefulSet/postgres"]
NAMES = {"web", "sidekiq-alerts", "consumer", "indexer", "release"}
"""Of the demo's processes and jobs."""


def explained(finding: Finding, *of: str) -> Explanation:
    return Explanation(finding.check, of or (finding.about,), "because it is so", 3)


def test_what_is_explained_holds_and_what_is_not_fails() -> None:
    assert judge([LIMIT, TOKEN], WORKLOADS, [explained(LIMIT), explained(TOKEN)]).holds
    verdict = judge([LIMIT, TOKEN], WORKLOADS, [explained(LIMIT)])
    assert verdict.unexplained == [TOKEN]
    assert "unexplained: StatefulSet/postgres: checkov/CKV_K8S_38: tokens" in lines(verdict)
    assert not verdict.holds


def test_an_explanation_of_another_object_or_check_explains_nothing() -> None:
    assert judge([TOKEN], WORKLOADS, [explained(LIMIT, "StatefulSet/*"), explained(TOKEN, "Deployment/*")]).unexplained == [TOKEN]


def test_an_explanation_that_finds_nothing_fails_also_when_others_of_its_objects_do() -> None:
    verdict = judge([LIMIT], WORKLOADS, [explained(LIMIT, "Deployment/*", "Job/release")])
    assert verdict.unexplained == []
    assert verdict.unused == ["scan.yaml:3: checkov/CKV_K8S_11 is not found in Job/release any more: take it out"]
    assert not verdict.holds


def test_app_stands_for_what_runs_the_apps_image_whatever_it_is_called() -> None:
    secret, theirs = (Finding(about, "checkov/CKV_K8S_35", "files") for about in ("CronJob/nightly", "Deployment/canary"))
    verdict = judge([secret, theirs], WORKLOADS, [explained(secret, scan.APP)], {"CronJob/nightly"})
    assert (verdict.unexplained, verdict.unused) == ([theirs], [])
    assert judge([theirs], WORKLOADS, [explained(secret, scan.APP)], {"CronJob/nightly"}).unused


def test_the_explanations_know_no_name_of_the_products_own() -> None:
    assert not {of.partition("/")[2] for one in read(ROOT / scan.FILE) for of in one.of} & NAMES


def test_more_than_two_findings_of_one_scanner_in_a_workload_can_not_be_explained() -> None:
    three = [Finding("Deployment/web", f"checkov/{number}", "x") for number in range(3)]
    verdict = judge(three, WORKLOADS, [explained(one) for one in three])
    assert verdict.crowded == ["Deployment/web"]
    assert not verdict.holds
    both = [*three[:2], *(Finding("Deployment/web", f"kube-score/{number}", "x") for number in range(2))]
    assert judge(both, WORKLOADS, [explained(one) for one in both]).holds


def test_the_sum_counts_workloads_without_a_finding_too() -> None:
    text = lines(judge([LIMIT], WORKLOADS, [explained(LIMIT)]))
    assert text[1].split() == ["Deployment/web", "1", "0"]
    assert text[2].split() == ["StatefulSet/postgres", "0", "0"]
    assert text[-1].startswith("2 workloads: checkov 1, 0.5 a workload, 1 at most; kube-score 0")


def checkov(failed: list[dict[str, str]], skipped: list[dict[str, str]] | None = None, errors: int = 0) -> dict[str, Any]:
    return {"summary": {"parsing_errors": errors}, "results": {"failed_checks": failed, "skipped_checks": skipped or []}}


def test_checkov_calls_objects_by_namespace_and_ours_are_called_by_what_lasts() -> None:
    one = {"resource": "Job.lamp-production.release-0123456789", "check_id": "CKV_K8S_35", "check_name": "files"}
    assert of_checkov(checkov([one])) == [Finding("Job/release", "checkov/CKV_K8S_35", "files")]


def test_what_an_annotation_skips_counts() -> None:
    one = {"resource": "Deployment.x.web", "check_id": "CKV_K8S_11", "check_name": "limits"}
    assert of_checkov(checkov([], [one])) == [Finding("Deployment/web", "checkov/CKV_K8S_11", "limits")]


def test_a_manifest_that_checkov_could_not_read_is_no_manifest_without_findings() -> None:
    with pytest.raises(ValueError, match="could not read"):
        of_checkov(checkov([], errors=1))


def test_kube_scores_warnings_count_and_what_it_skipped_does_not() -> None:
    def check(name: str, grade: int, *, skipped: bool = False) -> dict[str, Any]:
        return {"check": {"id": name}, "grade": grade, "skipped": skipped, "comments": [{"summary": name.upper()}]}

    checks = [check("critical", 1), check("warning", 5), check("right", 10), check("not-meant", 0, skipped=True)]
    report = [{"type_meta": {"kind": "Deployment"}, "object_meta": {"name": "web"}, "checks": checks}]
    assert [(one.check, one.says) for one in of_kube_score(report)] == [
        ("kube-score/critical", "CRITICAL"),
        ("kube-score/warning", "WARNING"),
    ]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("registry.example.com/lamp:latest", f"registry.example.com/lamp{STAND_IN}"),
        ("registry.example.com:5000/lamp", f"registry.example.com:5000/lamp{STAND_IN}"),
        ("registry.example.com/lamp@sha256:1", "registry.example.com/lamp@sha256:1"),
    ],
)
def test_an_image_without_a_digest_is_scanned_as_if_it_had_one(image: str, expected: str) -> None:
    pod = {"containers": [{"image": image}], "initContainers": [{"image": image}]}
    made = _pinned({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}})
    pod = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [one["image"] for one in (*pod["containers"], *pod["initContainers"])] == [expected] * 2


@pytest.mark.parametrize(
    ("entry", "phrase"),
    [
        ({"finding": "CKV_K8S_11", "of": ["Job/x"], "reason": "r" * 20}, "scan.yaml:2: finding: 'CKV_K8S_11': expected SCANNER/CHECK"),
        ({"finding": "checkov/X", "of": "Job/x", "reason": "r" * 20}, "of: expected a list of KIND/NAME"),
        ({"finding": "checkov/X", "of": ["Job/x"], "reason": "so"}, "reason: is missing"),
        ({"finding": "checkov/X", "of": ["Job/x"], "reason": "r" * 20, "until": "never"}, "unknown key until"),
        ("checkov/X", "expected a map with finding, of, reason"),
    ],
)
def test_an_explanation_that_can_not_be_used_is_refused_with_its_line(entry: object, phrase: str, tmp_path: Path) -> None:
    file = tmp_path / scan.FILE
    file.write_text(yaml.safe_dump({"explained": [entry]}))
    with pytest.raises(SettingsError, match=phrase):
        read(file)


def test_a_file_that_is_not_there_or_explains_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / scan.FILE
    with pytest.raises(SettingsError, match="can not be read"):
        read(file)
    file.write_text("suppressed: []\n")
    with pytest.raises(SettingsError, match="expected a map with `explained:`"):
        read(file)

"""What checkov and kube-score find in the production stack, by the real programs."""

import copy

import pytest

from cli.render import rendered
from cli.scan import scanned
from reports import scan
from reports.scan import Verdict
from tools import checkov, toolchain
from tools.paths import ROOT
from tools.progress import Progress

EXPLAINED = scan.read(ROOT / scan.FILE)


def verdict(objects: list[dict[str, object]]) -> Verdict:
    progress = Progress()
    try:
        programs = checkov.ensure(progress), toolchain.ensure(["kube-score"], progress).program("kube-score")
    finally:
        progress.close()
    return scanned(objects, EXPLAINED, *programs)


@pytest.mark.timeout(600)
def test_nothing_is_found_in_production_that_is_not_explained_and_at_most_two_things_in_a_workload_by_each() -> None:
    made = verdict(rendered("production").objects())
    print("\n".join(scan.lines(made)))
    assert made.unexplained == []
    assert made.unused == []
    assert made.crowded == []
    assert len(made.workloads) > 15


@pytest.mark.timeout(600)
def test_both_scanners_find_what_is_wrong_also_where_an_annotation_would_hide_it() -> None:
    objects = copy.deepcopy(rendered("production").objects())
    [web] = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "web"]
    web["metadata"]["annotations"] = {"checkov.io/skip1": "CKV_K8S_16=no", "kube-score/ignore": "container-security-context-privileged"}
    web["spec"]["template"]["metadata"]["annotations"] = dict(web["metadata"]["annotations"])
    web["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    found = {one.check for one in verdict(objects).unexplained if one.about == "Deployment/web"}
    assert found >= {"checkov/CKV_K8S_16", "kube-score/container-security-context-privileged"}

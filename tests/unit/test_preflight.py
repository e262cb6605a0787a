"""What a preflight makes of a cluster's answers; the answers themselves are real in tests/cluster/test_preflight.py."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from cli.preflight import Report
from cli.stack import Stack
from preflight import names, server
from preflight.api import ApiError
from preflight.findings import Check, right, unknown, wrong
from preflight.images import outcome, pod_name, short
from preflight.namespace import Standing
from preflight.needs import Needs, Pods
from preflight.packets import policies_of
from preflight.place import Clock, LateError
from preflight.quantities import amount, shown
from preflight.room import Node, asked, unplaced
from preflight.run import checks, copying, run
from preflight.scratch import PREFIX, Scratch, sweep
from preflight.storage import judged
from rendering import render
from settings import resolve
from tools.paths import ROOT

GIB = Decimal(2**30)


@pytest.fixture(scope="module")
def needs():
    return Needs("production", "lamp-production", render("production").objects())


def pods(memory="1Gi", *, replicas=1, surge=0, passing=False, name="web", **spec):
    container = {"resources": {"requests": {"cpu": "100m", "memory": memory}}}
    return Pods(name, {"containers": [container], **spec}, replicas, surge, passing)


def node(memory="4Gi", *, name="node-1", labels=None, taints=()):
    whole = {"cpu": Decimal(4), "memory": amount(memory), "ephemeral-storage": Decimal(0), "pods": Decimal(10)}
    return Node(name, labels or {}, list(taints), dict(whole), whole)


# Quantities


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("250m", "0.25"),
        ("1.5Gi", str(3 * 2**29)),
        ("129e6", "129000000"),
        ("2", "2"),
        ("100k", "100000"),
        (3, "3"),
        (None, "0"),
        ("1E", "1e18"),
    ],
)
def test_every_spelling_of_a_quantity_is_a_number(said, number):
    assert amount(said) == Decimal(number)


@pytest.mark.parametrize("said", ["", "1GB", "x", "1 Gi"])
def test_what_is_no_quantity_is_refused(said):
    with pytest.raises(ValueError, match="is no quantity"):
        amount(said)


@pytest.mark.parametrize(("number", "text"), [("0.25", "0.25"), ("3", "3"), (str(3 * 2**29), "1.5Gi"), (str(2**20), "1Mi")])
def test_a_number_is_shown_as_a_person_reads_it(number, text):
    assert shown(Decimal(number)) == text


# Room


def test_pods_that_fit_are_placed_and_spread():
    nodes = [node(), node(name="node-2")]
    assert list(unplaced([pods(replicas=2)], nodes)) == []
    assert [one.free["memory"] for one in nodes] == [3 * GIB, 3 * GIB]


def test_the_last_pod_that_finds_no_room_is_counted_with_what_is_left():
    assert list(unplaced([pods("1.5Gi", replicas=3)], [node()])) == [
        "1 of 3 pods of web (0.1 cpu and 1.5Gi memory) find no room: at most 1Gi memory is left on a node"
    ]


def test_a_rollout_needs_room_for_one_more():
    assert "while it is rolled out" in next(unplaced([pods("2Gi", replicas=2, surge=1)], [node()]))


def test_a_migration_ends_before_the_rollout_begins():
    assert list(unplaced([pods(replicas=3, surge=1), pods(name="release", passing=True)], [node()])) == []


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "pool", "operator": "Equal", "value": "lamps", "effect": "NoSchedule"}, True),
        ({"key": "pool", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "pool", "operator": "Equal", "value": "other", "effect": "NoSchedule"}, False),
        ({"key": "pool", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_tainted_node_takes_pods_that_put_up_with_it(toleration, fits):
    tainted = node(taints=[{"key": "pool", "value": "lamps", "effect": "NoSchedule"}])
    assert tainted.takes(pods(tolerations=[toleration])) is fits


def test_a_selector_needs_all_of_its_labels_on_one_node():
    assert not node(labels={"pool": "lamps"}).takes(pods(nodeSelector={"pool": "lamps", "disk": "fast"}))
    assert node(labels={"pool": "lamps", "disk": "fast"}).takes(pods(nodeSelector={"pool": "lamps", "disk": "fast"}))


APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}}
OVER_ZONES = [{"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}]


def test_pods_that_each_want_a_node_of_their_own_need_as_many():
    [said] = unplaced([pods(replicas=3, affinity=APART)], [node(), node(name="node-2")])
    assert said == "1 of 3 pods of web (0.1 cpu and 1Gi memory) find no room: each wants a node of its own, of 2"
    assert list(unplaced([pods(replicas=2, affinity=APART)], [node(), node(name="node-2")])) == []


def test_pods_that_are_spread_over_zones_need_nodes_that_tell_theirs():
    [said] = unplaced([pods(topologySpreadConstraints=OVER_ZONES)], [node()])
    assert said == "no node takes web: it is spread over zones, and none has the label topology.kubernetes.io/zone"
    assert list(unplaced([pods(topologySpreadConstraints=OVER_ZONES)], [node(labels={"topology.kubernetes.io/zone": "a"})])) == []


def test_a_quota_counts_replicas_claims_and_open_services(needs):
    total = asked(needs)
    sets = needs.of_kind("StatefulSet")
    assert total["persistentvolumeclaims"] == sum(one["spec"]["replicas"] * len(one["spec"]["volumeClaimTemplates"]) for one in sets)
    assert total["services.loadbalancers"] == 1
    staying = sum(one.replicas * one.requests["memory"] for one in needs.pods if not one.passing)
    assert total["requests.memory"] == total["memory"] > staying


# Storage, images, policies, versions


def storage(**said):
    return {"metadata": {"name": "disks"}, "provisioner": "p", **said}


def test_without_a_default_class_the_stack_must_name_one():
    found = judged([storage()], None, protect=False)
    assert found.verdict == "wrong" and "disks" in found.found and "cluster.storage_class" in found.cure


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"reclaimPolicy": "Retain", "allowVolumeExpansion": True}, "right"),
        ({"reclaimPolicy": "Retain"}, "wrong"),
        ({"reclaimPolicy": "Delete", "allowVolumeExpansion": True}, "wrong"),
        ({"allowVolumeExpansion": True}, "wrong"),
    ],
)
def test_a_protected_stack_needs_volumes_that_stay_and_grow(said, verdict):
    assert judged([storage(**said)], "disks", protect=True).verdict == verdict
    assert judged([storage(**said)], "disks", protect=False).verdict == "right"


def status(**said):
    return {"status": {"containerStatuses": [said]}}


@pytest.mark.parametrize(
    ("pod", "known"),
    [
        ({"status": {}}, None),
        (status(state={"waiting": {"reason": "ContainerCreating"}}), None),
        (status(state={"terminated": {"exitCode": 0}}, imageID="x@sha256:1"), ("pulled", "")),
        (status(state={"waiting": {"reason": "RunContainerError"}}), ("pulled", "")),
        (status(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}), ("ErrImagePull", "not found")),
        (
            status(state={"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x": ErrImagePull: denied'}}),
            ("ImagePullBackOff", "ErrImagePull: denied"),
        ),
    ],
)
def test_a_pods_status_tells_whether_its_image_was_pulled(pod, known):
    assert outcome(pod) == known


def test_an_images_short_name_is_its_last():
    assert short("registry.example.com:5000/company/lamp@sha256:abc") == "lamp" == short("company/lamp:latest")
    assert pod_name("registry.example.com/My_Lamp.V2@sha256:abc") == "image-my-lamp-v2"


def test_the_policies_that_are_tried_are_those_of_every_pod_and_those_to_addresses(needs):
    found = {one["metadata"]["name"] for one in policies_of(needs)}
    assert {"default-deny", "dns", "postgres-api-server"} <= found
    assert not found & {"postgres-clients-out", "postgres-members-out", "web-clients-in"}


def test_the_versions_are_those_of_the_documentation():
    row = next(line for line in (ROOT / "docs" / "versions.md").read_text().splitlines() if line.startswith("| Kubernetes | 1"))
    tested, oldest = re.search(r"\| (1\.\d+)\.\d+,", row), re.search(r"nothing newer than (1\.\d+)", row)
    assert tested and oldest
    assert (tested[1], oldest[1]) == tuple(".".join(map(str, one)) for one in (server.TESTED, server.OLDEST))


# What stands outside


class Only:
    """A cluster that has one object."""

    def __init__(self, path):
        self.path = path

    def find(self, path):
        return {"kind": "Service"} if path == self.path else None


def test_another_stacks_loki_is_looked_for_where_it_is_said_to_be():
    lender = Only("/api/v1/namespaces/lamp-production/services/loki")
    [found] = names.shared_logs(lender, "lamp-production")
    assert (found.check, found.verdict) == ("logs", "right")
    [found] = names.shared_logs(lender, "lamp-elsewhere")
    assert (found.verdict, found.found) == ("wrong", "there is no Loki in namespace lamp-elsewhere: nobody would keep the lines")
    assert "bring that stack up first" in found.cure


def test_nobody_asks_for_it_where_a_stack_keeps_its_own_lines(needs):
    said = {"tier": "staging", "cluster": {"identifier": "c"}, "logs": {"where": "shared", "namespace": "lamp-production"}}
    asked = [
        [check.what for check in checks(None, resolve("x", more), Standing("lamp.x"), needs, None)] for more in (said, said | {"logs": {}})
    ]
    assert ["logs" in one for one in asked] == [True, False]


# The report


def checked(ask, seconds=5.0):
    said = []
    found = run([Check("a", lambda: [right("a", "b")]), Check("slow", ask)], Clock(seconds), said.append)
    return found[1], said


def test_a_check_that_never_answers_is_unknown_when_time_is_up():
    found, said = checked(lambda: threading.Event().wait(30), 0.1)
    assert found == unknown("slow", "no answer in time; ask again") and said == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(403, "nodes is forbidden"), "the cluster does not say: nodes is forbidden"),
        (LateError(), "no answer in time; ask again"),
        (KeyError("spec"), "the question went wrong: KeyError: 'spec'"),
    ],
)
def test_a_check_that_fails_is_unknown_with_the_reason_and_stops_no_other(error, words):
    def ask():
        raise error

    found, said = checked(ask)
    assert (found, said) == (unknown("slow", words), ["slow: unknown"])


@pytest.mark.parametrize(
    ("findings", "code"),
    [([right("a", "b")], 0), ([right("a", "b"), unknown("c", "d")], 0), ([unknown("c", "d"), wrong("e", "f", "g")], 2)],
)
def test_only_what_is_wrong_makes_the_exit_code_2(findings, code):
    assert Report(Stack.load("production"), findings, 1.0).code == code


def test_a_line_has_what_was_found_and_its_cure(capsys):
    Report(Stack.load("production"), [wrong("quota", "too small", "raise it")], 12.3).write()
    out = capsys.readouterr().out
    assert re.search(r"WRONG +quota +too small; raise it", out) and "0 right, 1 wrong, 0 can not be known (12 s)" in out


# What stays behind

HOLDING = "import sys, time; from preflight.scratch import Scratch; made = Scratch.make(); print(made.path, flush=True); time.sleep(60)"


@contextmanager
def holder(folder):
    argv, env = [sys.executable, "-c", HOLDING], {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            yield running, Path(running.stdout.readline().strip())
        finally:
            running.kill()


def test_the_folder_of_a_killed_run_is_removed_by_the_next_and_that_of_a_living_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with holder(tmp_path) as (killed, left), holder(tmp_path) as (_, held):
        (left / "said").write_text("x")
        killed.kill()
        killed.wait()
        with Scratch.make() as own:
            assert {*tmp_path.iterdir()} == {own, held}
        assert [*tmp_path.iterdir()] == [held]


def test_what_only_has_such_a_name_is_left_alone(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "real")
    (tmp_path / f"{PREFIX}file").touch()
    sweep(tmp_path)
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize(
    ("app", "image", "command"),
    [
        ("lamp", "lamp", "./sy images push lamp -s production"),
        ("shop", "shop", "./sy deploy production REGISTRY/shop@sha256:…"),
        ("shop", "postgres", "./sy images push postgres -s production"),
    ],
)
def test_the_cure_of_an_image_that_is_not_there_depends_on_whose_it_is(app, image, command):
    said = Stack.load("production").settings
    said = said.model_copy(update={"app": said.app.model_copy(update={"image": app})})
    assert command in copying(said, "production", said.images.reference(image))

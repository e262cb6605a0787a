"""Servers that should be gone, told from objects as the API server gives them."""

from datetime import UTC, datetime
from typing import Any

from reports.stale import REVISION, Wanted, stale

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OLD, YOUNG = "2026-11-20T03:30:00Z", "2026-11-23T11:58:00Z"
NIGHT = "2026-11-23T03:30:00Z"


def about(
    name: str, owner: tuple[str, str] | None = None, *, at: str = OLD, labels: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    owners = [{"kind": owner[0], "name": owner[1]}] if owner else []
    return {"name": name, "creationTimestamp": at, "ownerReferences": owners, "labels": labels or {}, **more}


def deployment(revision: int, reason: str = "NewReplicaSetAvailable", status: str = "True", **spec: Any) -> dict[str, Any]:
    condition = {"type": "Progressing", "status": status, "reason": reason}
    return {
        "kind": "Deployment",
        "metadata": about("web", annotations={REVISION: str(revision)}),
        "spec": spec,
        "status": {"conditions": [condition]},
    }


def replica_set(revision: int) -> dict[str, Any]:
    return {"kind": "ReplicaSet", "metadata": about(f"web-{revision}", ("Deployment", "web"), annotations={REVISION: str(revision)})}


def pod(name: str, owner: tuple[str, str], *, image: str = "r/lamp@sha256:new", found: str = "", **more: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": owner[1].partition("-")[0], **more.pop("labels", {})}
    return {
        "kind": "Pod",
        "metadata": about(name, owner, labels=labels, **more),
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {"phase": "Running", "containerStatuses": [{"image": image, "imageID": found}]},
    }


def web(revision: int, name: str = "web-x", **more: Any) -> dict[str, Any]:
    return pod(name, ("ReplicaSet", f"web-{revision}"), **more)


def reasons(*objects: dict[str, Any], wanted: Wanted | None = None) -> list[str]:
    return [one.reason for one in stale(objects, wanted or Wanted(), NOW) if not one.rolling]


WEB = (replica_set(3), replica_set(4))


def test_a_pod_of_the_present_revision_is_none() -> None:
    assert stale([deployment(4), *WEB, web(4)], Wanted(), NOW) == []


def test_a_pod_of_an_earlier_revision_is_one_although_the_rollout_is_done() -> None:
    [found] = stale([deployment(4), *WEB, web(3)], Wanted(), NOW)
    assert (found.pod, found.component, found.rolling) == ("web-x", "web", False)
    assert found.reason == "is of revision 3, and its Deployment is at 4"


def test_while_a_rollout_is_under_way_its_old_pods_are_told_and_do_not_count() -> None:
    [found] = stale([deployment(4, "ReplicaSetUpdated"), *WEB, web(3)], Wanted(), NOW)
    assert found.rolling


def test_a_rollout_that_is_stuck_or_paused_counts_and_says_so() -> None:
    assert "made no progress in time" in reasons(deployment(4, "ProgressDeadlineExceeded", "False"), *WEB, web(3))[0]
    assert "is paused" in reasons(deployment(4, "ReplicaSetUpdated", paused=True), *WEB, web(3))[0]


def test_a_member_of_an_earlier_revision_counts_once_its_set_makes_no_new_ones() -> None:
    kept = {"kind": "StatefulSet", "metadata": about("mqtt"), "spec": {}, "status": {"updateRevision": "mqtt-b"}}
    before = pod("mqtt-0", ("StatefulSet", "mqtt"), labels={"controller-revision-hash": "mqtt-a"})
    after = pod("mqtt-1", ("StatefulSet", "mqtt"), labels={"controller-revision-hash": "mqtt-b"})
    assert reasons(kept, before, after) == ["is of an older revision than its StatefulSet"]
    assert reasons(kept, before, after | {"metadata": after["metadata"] | {"creationTimestamp": YOUNG}}) == []


def test_an_image_that_is_not_the_one_that_the_file_says_is_old() -> None:
    wanted = Wanted(images=("r/lamp@sha256:new", "r/valkey:8"))
    old = web(4, image="r/lamp@sha256:old")
    assert reasons(deployment(4), *WEB, old, wanted=wanted) == ["runs lamp@sha256:old, and the stack's file says lamp@sha256:new"]
    assert reasons(deployment(4), *WEB, web(4), wanted=wanted) == []


def test_a_tag_that_was_moved_is_seen_by_what_a_younger_pod_got() -> None:
    first = web(4, "web-a", image="r/lamp:v1", found="r/lamp@sha256:aaa")
    second = web(4, "web-b", image="r/lamp:v1", found="r/lamp@sha256:bbb", at=YOUNG)
    [found] = stale([deployment(4), *WEB, first, second], Wanted(), NOW)
    assert found.pod == "web-a" and "older contents of r/lamp:v1 than web-b" in found.reason


def test_a_pod_that_outlives_its_grace_period_lingers_and_one_within_it_does_not() -> None:
    late = web(4, deletionTimestamp="2026-11-23T11:50:00Z")
    leaving = web(3, deletionTimestamp="2026-11-23T12:00:20Z")
    assert reasons(deployment(4), *WEB, late) == ["was to be gone 10 min ago, and its containers still run"]
    assert reasons(deployment(4), *WEB, leaving) == []


def cron(**status: Any) -> dict[str, Any]:
    return {"kind": "CronJob", "metadata": about("restart"), "status": {"lastScheduleTime": NIGHT, **status}}


def test_a_process_that_was_to_be_restarted_and_was_not_counts_once_the_job_has_ended() -> None:
    wanted = Wanted(restarted=("web",))
    assert "was to be restarted at 2026-11-23T03:30:00Z, and was not" in reasons(deployment(4), *WEB, web(4), cron(), wanted=wanted)[0]
    assert reasons(deployment(4), *WEB, web(4), cron(active=[{"name": "restart-1"}]), wanted=wanted) == []
    assert reasons(deployment(4), *WEB, web(4, at=YOUNG), cron(), wanted=wanted) == []
    assert reasons(deployment(4), *WEB, web(4), cron()) == []


def test_pods_of_jobs_and_pods_that_have_ended_are_no_servers() -> None:
    job = pod("release-1", ("Job", "release"), image="r/lamp@sha256:old")
    ended = web(3) | {"status": {"phase": "Succeeded"}}
    assert reasons(deployment(4), *WEB, job, ended, wanted=Wanted(images=("r/lamp@sha256:new",))) == []

"""What a running installation fixes: settings that could not come true in it are refused with the way out."""

from typing import Any

import pytest

from settings import resolve
from settings.fixed import Object, Standing, refusals
from settings.layers import merge

SAID: dict[str, Any] = {
    "tier": "staging",
    "cluster": {"identifier": "c"},
    "postgres": {"volume": {"size": "10Gi"}},
    "mqtt": {"volume": {"size": "5Gi"}},
}


def stateful_set(name: str, replicas: int = 3, size: str | None = "10Gi") -> Object:
    templates = [{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": size}}}}] if size else []
    return {"kind": "StatefulSet", "metadata": {"name": name}, "spec": {"replicas": replicas, "volumeClaimTemplates": templates}}


def claim(name: str, size: str = "10Gi", storage_class: str = "standard") -> Object:
    spec = {"resources": {"requests": {"storage": size}}, "storageClassName": storage_class}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def pod(name: str, role: str) -> Object:
    return {"kind": "Pod", "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "postgres", "role": role}}}


def claims(name: str, size: str = "10Gi", members: int = 3) -> list[Object]:
    return [claim(f"data-{name}-{number}", size) for number in range(members)]


def said(standing: list[Object], **settings: Any) -> str:
    found = refusals(resolve("staging", merge(SAID, settings)), Standing(standing, "lamp-staging", "kubectl --context c"))
    return "\n".join(found)


def test_nothing_is_fixed_where_nothing_stands() -> None:
    assert said([]) == ""


def test_what_stands_as_the_settings_say_is_fine_however_its_size_is_written() -> None:
    assert said([stateful_set("postgres"), *claims("postgres", "10240Mi")]) == ""


def test_a_smaller_volume_is_refused_with_the_size_to_say() -> None:
    text = said([stateful_set("postgres"), *claims("postgres")], postgres={"volume": {"size": "9Gi"}})
    assert text == (
        "postgres.volume.size: 9Gi is less than the 10Gi of data-postgres-0, data-postgres-1, data-postgres-2, "
        "and a volume never shrinks: say 10Gi"
    )


def test_a_larger_volume_is_refused_with_the_commands_that_grow_those_that_are_small() -> None:
    standing = [stateful_set("postgres"), *claims("postgres", "20Gi", 2), claim("data-postgres-2")]
    text = said(standing, postgres={"volume": {"size": "20Gi"}})
    assert text.splitlines()[1:] == [
        "  kubectl --context c --namespace lamp-staging patch pvc data-postgres-2 --patch "
        '\'{"spec":{"resources":{"requests":{"storage":"20Gi"}}}}\''
    ]


def test_grown_claims_are_fine_although_the_stateful_set_was_made_with_less() -> None:
    assert said([stateful_set("postgres"), *claims("postgres", "20Gi")], postgres={"volume": {"size": "20Gi"}}) == ""


def test_new_members_beside_grown_claims_would_be_small() -> None:
    text = said([stateful_set("postgres"), *claims("postgres", "20Gi")], postgres={"members": 5, "volume": {"size": "20Gi"}})
    assert "new members would get claims of 10Gi" in text
    assert "delete statefulset postgres --cascade=orphan" in text


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"postgres": {"volume": {"storage_class": "fast"}}}, "postgres"),
        ({"cluster": {"identifier": "c", "storage_class": "fast"}}, "postgres"),
    ],
)
def test_another_storage_class_is_refused_whoever_says_it(settings: dict[str, Any], where: str) -> None:
    text = said([stateful_set("postgres"), *claims("postgres")], **settings)
    assert text == f"{where}.volume.storage_class: fast, but its volumes are of standard, and a volume keeps its class: say that"


def test_a_cache_does_not_become_a_keeper_of_jobs() -> None:
    assert "redis.jobs: it runs without a volume" in said([stateful_set("redis-jobs", 1, None)])


def test_a_claim_that_was_left_by_a_deleted_server_counts_because_it_would_be_taken_up_again() -> None:
    assert "redis.jobs.volume.size: 1Gi is less" in said([claim("data-redis-jobs-0", "2Gi")], redis={"jobs": {"volume": {"size": "1Gi"}}})


def test_members_leave_the_broker_one_by_one_before_the_settings_say_so() -> None:
    text = said([stateful_set("mqtt", 3, "5Gi"), *claims("mqtt", "5Gi")], mqtt={"members": 1})
    assert "mqtt.members: 1 is less than the 3 that run" in text
    assert "forget_cluster_node" in text
    assert [line.split()[-1] for line in text.splitlines() if "scale" in line] == ["2", "1"]
    assert text.index("shrink rabbit@mqtt-2.mqtt-members.lamp-staging.svc.cluster.local") < text.index("--replicas 2")


def test_members_that_have_left_the_broker_are_fine() -> None:
    assert said([stateful_set("mqtt", 1, "5Gi"), *claims("mqtt", "5Gi")], mqtt={"members": 1}) == ""


def test_fewer_members_of_the_database_are_fine_unless_the_primary_would_go() -> None:
    standing = [stateful_set("postgres"), *claims("postgres")]
    fewer = {"postgres": {"members": 2}}
    assert said([*standing, pod("postgres-0", "replica"), pod("postgres-1", "primary")], **fewer) == ""
    text = said([*standing, pod("postgres-0", "replica"), pod("postgres-2", "primary")], **fewer)
    assert "postgres-2, the primary, would go" in text


def test_an_older_server_is_not_started_on_a_newer_ones_data() -> None:
    running = {**stateful_set("elasticsearch", 3, "50Gi")}
    running["spec"]["template"] = {"metadata": {"annotations": {"switchyard.dev/server-version": "8.19.21"}}}
    search = {"where": "cluster", "version": "8.19.21"}
    assert said([running], elasticsearch=search) == ""
    assert said([running], elasticsearch=search | {"version": "8.9.2"}).startswith(
        "elasticsearch.version: 8.9.2 is older than the 8.19.21 that runs, and no server starts on a newer one's data: say 8.19.21, or"
    )

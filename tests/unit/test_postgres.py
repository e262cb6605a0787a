"""Postgres: what Patroni is told, how memory and volume are shared out, and what a rotation changes."""

import json
import re

import pytest
import yaml

from components import patroni
from components.postgres import ACCOUNTS, files, login, logins
from settings.backing import Postgres, Volume
from settings.types import Resources, bytes_of
from tests.unit.rendering import SENTINEL, Registered, render
from tests.unit.stacks import UNWATCHED

NAMED = {"identifier": "company"}

MIB = 2**20


def database(memory="1Gi", volume="10Gi", **said):
    return Postgres(resources=Resources(memory=memory), volume=Volume(size=volume), **said)


def amount(parameter: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(kB|MB)", parameter).groups()
    return int(number) * {"kB": 2**10, "MB": MIB}[unit]


@pytest.mark.parametrize("memory", ["256Mi", "512Mi", "1Gi", "16Gi", "128Gi"])
@pytest.mark.parametrize("connections", [20, 100, 1000])
def test_buffers_and_sorts_fit_into_three_quarters_of_the_memory(memory, connections):
    total = bytes_of(memory)
    made = patroni.memory_parameters(total, connections)
    assert amount(made["shared_buffers"]) == total // 4 // MIB * MIB
    assert amount(made["work_mem"]) * connections <= max(total // 4, connections * 2 * MIB)
    assert 16 * MIB <= amount(made["maintenance_work_mem"]) <= 1024 * MIB


@pytest.mark.parametrize("volume", ["1Gi", "2Gi", "10Gi", "500Gi"])
def test_the_log_takes_less_than_half_of_the_volume(volume):
    made = patroni.wal_parameters(bytes_of(volume))
    assert amount(made["max_wal_size"]) + amount(made["max_slot_wal_keep_size"]) < bytes_of(volume) // 2
    assert amount(made["min_wal_size"]) < amount(made["max_wal_size"])


@pytest.mark.parametrize(("members", "mode"), [(1, False), (2, True), (3, "quorum"), (5, "quorum")])
def test_an_acknowledged_commit_is_on_two_members_where_there_are_two(members, mode):
    assert patroni.cluster_settings(database(members=members))["synchronous_mode"] == mode


def test_the_timings_are_those_that_patroni_calls_safe():
    assert patroni.LOOP_WAIT + 2 * patroni.RETRY_TIMEOUT <= patroni.TTL
    assert patroni.TTL >= 20, "the smallest that Patroni takes"


def test_the_cluster_survives_an_api_server_that_is_away():
    assert patroni.cluster_settings(database())["failsafe_mode"] is True


def test_the_configuration_names_the_major_version_everywhere():
    text = files(database(major=15))["10-patroni.yml"]
    assert "/usr/lib/postgresql/15/bin" in text
    assert "/17" not in text


def test_only_the_replicator_may_replicate_and_nobody_is_trusted():
    rules = yaml.safe_load(files(database())["10-patroni.yml"])["postgresql"]["pg_hba"]
    assert all(rule.split()[4 if rule.startswith("host") else 3] in {"peer", "scram-sha-256"} for rule in rules)
    assert {rule.split()[2] for rule in rules if rule.split()[1] == "replication"} == {"replicator"}


def test_cluster_wide_parameters_are_not_said_twice():
    said = yaml.safe_load(files(database())["10-patroni.yml"])
    assert not set(said["postgresql"]["parameters"]) & set(said["bootstrap"]["dcs"]["postgresql"]["parameters"])


def test_a_changed_setting_changes_the_files_and_so_restarts_the_members():
    assert files(database(max_connections=100)) != files(database(max_connections=200))


def test_passwords_are_where_patroni_looks_for_them():
    document = json.loads(patroni.passwords_document({account: f"secret-{account}" for account in ACCOUNTS}))
    assert document["restapi"]["authentication"] == {"username": "patroni", "password": "secret-rest"}
    assert document["postgresql"]["authentication"]["replication"] == {"username": "replicator", "password": "secret-replication"}
    assert "secret-app" not in json.dumps(document)


@pytest.mark.parametrize(("rotation", "expected"), [(1, "lamp"), (2, "lamp_2"), (11, "lamp_11")])
def test_each_generation_of_the_password_has_a_login_of_its_own(rotation, expected):
    assert login(database(database="lamp", rotation=rotation)) == expected


def test_every_password_file_that_the_script_reads_is_in_the_pod():
    script = files(database())["accounts.sql"]
    read = set(re.findall(r"`cat /etc/patroni/([a-z-]+)`", script))
    assert read == {"owner", *logins(database()), *ACCOUNTS} - {"rest"}


def test_the_login_before_is_let_in_until_it_is_revoked():
    said = logins(database(database="lamp", rotation=3))
    assert (said["login"], said["login-before"], said["monitor-before"], said["revoked"]) == (
        "lamp_3",
        "lamp_2",
        "monitor-2",
        "lamp,monitor",
    )
    done = logins(database(database="lamp", rotation=2, revoked=1))
    assert (done["login"], done["login-before"], done["revoked"]) == ("lamp_2", "", "lamp,monitor")
    assert logins(database(database="lamp"))["revoked"] == ""


@pytest.fixture(scope="module")
def rendered():
    return {
        rotation: render("test", {"tier": "staging", "cluster": NAMED, **UNWATCHED, "postgres": {"rotation": rotation}})
        for rotation in (1, 2, 3)
    }


def of(resources: list[Registered], kind: str) -> list[Registered]:
    return [one for one in resources if one.kind == kind and one.name.startswith("postgres")]


def test_no_password_is_in_the_pod_or_in_the_configuration(rendered):
    for kind in ("StatefulSet", "ConfigMap"):
        for one in of(rendered[1], kind):
            assert SENTINEL not in json.dumps(one.inputs)
            assert not one.secret_paths


def test_the_environment_only_says_who_the_pod_is(rendered):
    (made,) = of(rendered[1], "StatefulSet")
    container, *_ = made.inputs["spec"]["template"]["spec"]["containers"]
    fields = {variable["name"] for variable in container["env"] if "valueFrom" in variable}
    assert fields == {"PATRONI_NAME", "PATRONI_KUBERNETES_NAMESPACE", "PATRONI_KUBERNETES_POD_IP"}


def test_the_role_is_patronis_to_write(rendered):
    (made,) = of(rendered[1], "StatefulSet")
    assert "role" not in made.inputs["spec"]["template"]["metadata"]["labels"]
    assert "role" not in made.inputs["spec"]["selector"]["matchLabels"]


def test_a_rotation_renews_the_secret_under_the_pods(rendered):
    names = {one.kube_name for rotation in rendered.values() for one in of(rotation, "Secret") if one.name.startswith("postgres-passwords")}
    assert len(names) == 1


def test_patroni_may_change_no_config_map_but_its_own(rendered):
    (role,) = of(rendered[1], "Role")
    for rule in role.inputs["rules"]:
        if rule["resources"] == ["configmaps"] and {"patch", "update"} & set(rule["verbs"]):
            assert set(rule["resourceNames"]) == {f"postgres-{kind}" for kind in ("config", "leader", "failover", "sync", "failsafe")}

"""Redis: jobs are kept and never evicted, caches are neither, and nobody empties a store by accident."""

import hashlib
import json

import pytest

from components.redis import acl, configuration, max_memory
from settings.backing import Redis
from settings.types import Resources, bytes_of
from tests.unit.rendering import SENTINEL, render

NAMED = {"identifier": "company"}

JOBS = Redis()
CACHE = Redis(policy="allkeys-lru")


def lines(args: Redis) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in configuration(args).splitlines())


def test_jobs_are_appended_to_a_file_and_never_evicted():
    said = lines(JOBS)
    assert said["appendonly"] == "yes"
    assert said["maxmemory-policy"] == "noeviction"
    assert said["aof-load-truncated"] == "yes"


def test_a_cache_writes_nothing():
    assert lines(CACHE)["appendonly"] == "no"
    assert lines(CACHE)["save"] == '""'


@pytest.mark.parametrize("memory", ["64Mi", "128Mi", "1.5Gi"])
def test_data_takes_its_share_of_the_memory(memory):
    args = Redis(resources=Resources(memory=memory), memory_share=0.6)
    assert max_memory(args) == int(bytes_of(memory) * 0.6)


@pytest.mark.parametrize("command", ["flushall", "flushdb", "config", "debug", "shutdown", "replicaof"])
def test_the_app_may_not_lose_the_jobs(command):
    assert f"-{command}" in acl(JOBS, ["x"], ["y"]).splitlines()[0].split()


def test_a_cache_may_be_cleared():
    assert "-flushdb" not in acl(CACHE, ["x"], ["y"]).splitlines()[0].split()


def test_passwords_are_digests_and_both_generations_are_accepted():
    words = acl(JOBS, ["new", "old"], ["keeper"]).splitlines()[0].split()
    assert [word for word in words if word.startswith("#")] == [f"#{hashlib.sha256(word).hexdigest()}" for word in (b"new", b"old")]
    assert not [word for word in words if word.startswith(">") or word == "nopass"]


def test_the_probes_account_reads_no_key_and_may_only_let_the_accounts_be_read_again():
    name, *words = acl(JOBS, ["app"], ["new", "old"]).splitlines()[1].split()[1:]
    assert name == "keeper" and [word for word in words if word[0] not in "#"] == ["on", "-@all", "+ping", "+acl|load"]
    assert len([word for word in words if word.startswith("#")]) == 2


@pytest.fixture(scope="module")
def rendered():
    said = {
        "tier": "staging",
        "cluster": NAMED,
        "redis": {"jobs": {"rotation": 2}, "cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}},
    }
    return {one.name: one for one in render("test", said) if one.kind == "StatefulSet"}


@pytest.mark.parametrize("instance", ["redis-jobs", "redis-cache"])
def test_no_password_is_in_the_pod(rendered, instance):
    assert SENTINEL not in json.dumps(rendered[instance].inputs)
    assert not rendered[instance].secret_paths


def test_only_jobs_have_a_claim(rendered):
    assert rendered["redis-jobs"].inputs["spec"].get("volumeClaimTemplates")
    assert not rendered["redis-cache"].inputs["spec"].get("volumeClaimTemplates")

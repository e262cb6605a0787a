"""Exporters: they know a server by its endpoint, verify it as the app does, and tell no password to whoever reads a pod."""

import hashlib
import json
import runpy
import shlex
import subprocess
import sys
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import yaml

from components.blackbox import Shown, blackbox
from components.endpoints import Endpoint
from components.exporters import FILES, MASKED, elasticsearch_command, postgres_uri, redis_address, with_password
from settings import SettingsError, resolve
from settings.gateway import proxies_service
from settings.watching import exporters, jobs_redis, sidekiq_queues
from tests.unit.rendering import SENTINEL
from tests.unit.test_contract import rendered, templates
from tests.unit.test_prometheus import pod_jobs

CA = "-----BEGIN CERTIFICATE-----"
SAID: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "c"}, "metrics": {"where": "cluster"}}
EXPORTERS = ("postgres-exporter", "redis-jobs-exporter", "elasticsearch-exporter")


def endpoint(**said: Any) -> Endpoint:
    return Endpoint(**{"service": "s", "host": "db.example.com", "port": 5432, "database": "d", "password": cast("Any", "x"), **said})


@pytest.mark.parametrize(
    ("tls", "ca", "wanted"),
    [
        ("prefer", None, "sslmode=disable"),
        ("disable", None, "sslmode=disable"),
        ("require", None, "sslmode=require"),
        ("verify-ca", CA, "sslmode=verify-ca&sslrootcert=/etc/exporter-ca/ca.pem"),
        ("verify-full", None, "sslmode=verify-full"),
    ],
)
def test_postgres_is_verified_as_far_as_its_settings_say(tls: str, ca: str | None, wanted: str) -> None:
    assert postgres_uri(endpoint(tls=tls, ca=ca)) == f"db.example.com:5432/d?{wanted}"


def test_redis_is_dialled_as_its_settings_say() -> None:
    assert redis_address(endpoint(tls="require", port=6380)) == "rediss://db.example.com:6380"
    assert redis_address(endpoint(tls="disable")) == "redis://db.example.com:5432"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    there = endpoint(host="fd00::5")
    assert postgres_uri(there).startswith("[fd00::5]:5432/d?")
    assert redis_address(there) == "redis://[fd00::5]:5432"
    assert "://[fd00::5]:5432/d" in elasticsearch_command(there)


def test_what_a_shell_would_take_for_its_own_reaches_the_program_as_it_stands() -> None:
    command = with_password("X", endpoint(password=None), ["printf", "%s", "-user=de fault$HOME;`id`"])
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert said.stdout == "-user=de fault$HOME;`id`"


def test_the_search_engine_s_password_is_read_from_a_file_by_the_shell() -> None:
    said = elasticsearch_command(endpoint(tls="verify-full", ca=CA, user="monitor"))
    assert said.startswith('export ES_PASSWORD="$(cat /run/secrets/exporter/password)"; exec prometheus-elasticsearch-exporter ')
    assert "--es.uri=https://db.example.com:5432/d " in said and "--es.ca=/etc/exporter-ca/ca.pem" in said
    assert "skip-verify" not in said and "--es.ssl-skip-verify" in elasticsearch_command(endpoint(tls="require"))


def test_a_path_is_written_as_an_address_has_it() -> None:
    said = shlex.split(elasticsearch_command(endpoint(database="a b/ä?", password=None)))
    assert "--es.uri=http://db.example.com:5432/a%20b/%C3%A4%3F" in said
    assert postgres_uri(endpoint(database="a b?x")) == "db.example.com:5432/a%20b%3Fx?sslmode=disable"
    assert "--collector.snapshots" not in said, "it leaves the path out"
    assert "--collector.snapshots" in elasticsearch_command(endpoint(database=""))


def test_certificates_are_verified_by_name_against_the_stacks_authority() -> None:
    [(name, module)] = yaml.safe_load(blackbox([Shown(component="mqtt", host="m", port=8883, server_name="mqtt.x.svc")]))["modules"].items()
    assert (name, module["tcp"]["tls_config"]) == ("mqtt", {"ca_file": "/etc/exporter/ca.pem", "server_name": "mqtt.x.svc"})


def blackbox_of(stack: str) -> dict[str, Any]:
    """The modules by which a stack's certificates are looked at."""
    [said] = [one.inputs["data"] for one in rendered(stack).of("ConfigMap") if "blackbox.yml" in one.inputs["data"]]
    return yaml.safe_load(said["blackbox.yml"])["modules"]


def test_the_service_of_a_gateways_proxies_is_called_as_its_controller_calls_it() -> None:
    # From Envoy Gateway's own tests.
    assert proxies_service("default", "eg") == "envoy-default-eg-e41e7b31"
    assert proxies_service("a" * 47, "edge").startswith(f"envoy-{'a' * 47}-") and len(proxies_service("a" * 60, "edge")) == 63


class TestWhichThereAre:
    def test_one_for_each_server_that_is_used_wherever_it_runs(self) -> None:
        for name in ("everything", "watched-outside"):
            made = {pod.component for pod in templates(rendered(name)) if pod.component.endswith(("-exporter", "-metrics"))}
            assert made == set(exporters(rendered(name).settings)) >= set(EXPORTERS)

    def test_certificates_are_looked_at_where_the_stack_shows_any(self) -> None:
        outside = rendered("watched-outside").settings
        for name, edge in (("everything", "gateway"), ("watched-outside", "gateway"), ("watched-outside", "none")):
            found = rendered(name).settings
            found = found.model_copy(update={"edge": found.edge.model_copy(update={"where": edge})})
            assert ("blackbox-exporter" in exporters(found)) is (edge == "gateway")
        assert outside.mqtt.where == outside.elasticsearch.where == "external"

    def test_what_people_are_shown_is_dialled_past_the_load_balancer_and_by_each_name_that_has_a_certificate(self) -> None:
        found = blackbox_of("everything")
        assert {name: module["tcp"]["tls_config"] for name, module in found.items() if name.startswith("edge")} == {
            "edge": {"insecure_skip_verify": True, "server_name": "everything.example"},
            "edge-2": {"insecure_skip_verify": True, "server_name": "admin.everything.example"},
            "edge-3": {"insecure_skip_verify": True, "server_name": "figures.everything.example"},
        }
        params = [one["params"] for one in pod_jobs(rendered("everything").resources) if one["job_name"].startswith("certificates/edge-2")]
        # As Envoy Gateway 1.9.1 calls the Service of that Gateway's proxies.
        digits = hashlib.sha256(b"lamp-everything/edge").hexdigest()[:8]
        assert params == [{"module": ["edge-2"], "target": [f"envoy-lamp-everything-edge-{digits}.switchyard-gateway.svc:443"]}]

    def test_what_the_stack_has_signed_is_verified_also_where_it_has_signed_nothing_else(self) -> None:
        for name in ("watched-outside", "sandbox"):
            assert blackbox_of(name)["edge"]["tcp"]["tls_config"] == {
                "ca_file": "/etc/exporter/ca.pem",
                "server_name": f"edge.lamp-{name}.svc",
            }

    def test_the_exporter_reaches_the_proxies_of_its_own_stack_alone(self) -> None:
        [policy] = [
            one.inputs["spec"] for one in rendered("everything").of("NetworkPolicy") if one.kube_name == "blackbox-exporter-dials-edge"
        ]
        [rule] = policy["egress"]
        assert rule["ports"] == [{"port": 10443, "protocol": "TCP"}]
        [peer] = rule["to"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "switchyard-gateway"}
        assert peer["podSelector"]["matchLabels"]["gateway.envoyproxy.io/owning-gateway-namespace"] == "lamp-everything"

    def test_sidekiqs_figures_are_read_where_it_keeps_its_jobs(self) -> None:
        pods = {pod.component: [one["name"] for one in pod.containers] for pod in templates(rendered("everything"))}
        assert pods["redis-jobs-exporter"] == ["redis-exporter", "sidekiq-exporter"]
        assert pods["redis-cache-exporter"] == ["redis-exporter"]

    def test_sidekiqs_redis_is_the_one_that_its_variable_names(self) -> None:
        other = {"redis": {"other": {"config_var": "JOBS_URL"}}, "app": {"config": {"REDIS_PROVIDER": "JOBS_URL"}}}
        assert jobs_redis(resolve("x", SAID)) == "jobs"
        assert jobs_redis(resolve("x", {**SAID, **other})) == "other"

    def test_an_app_that_names_its_redis_in_its_own_code_is_told_of_too(self) -> None:
        cache = {"config_var": "CACHE_URL", "policy": "allkeys-lru"}
        own = {"jobs": {"config_var": "SIDEKIQ_URL"}, "cache": cache}
        assert jobs_redis(resolve("x", {**SAID, "redis": own})) == "jobs"
        two = {**own, "more": {"config_var": "MORE_URL"}}
        assert jobs_redis(resolve("x", {**SAID, "redis": two})) is None
        elsewhere = {"redis": own, "app": {"secrets": ["REDIS_URL"]}}
        assert jobs_redis(resolve("x", {**SAID, **elsewhere})) is None

    @pytest.mark.parametrize("stack", ["everything", "watched-outside"])
    def test_what_keeps_jobs_is_known_wherever_it_runs_and_a_cache_does_not(self, stack: str) -> None:
        [said] = [one.inputs["data"] for one in rendered(stack).of("ConfigMap") if "expectations.yml" in one.inputs["data"]]
        facts = yaml.safe_load(said["expectations.yml"])["groups"][0]["rules"]
        assert [fact["labels"]["component"] for fact in facts if fact["record"] == "switchyard:keeps_jobs"] == ["redis-jobs"]

    def test_queues_are_told_without_their_weights(self) -> None:
        said = {**SAID, "sidekiq": {"alerts": {"queues": ["alerts,5", "default"]}, "slow": {"queues": ["default", "slow,1"]}}}
        assert sidekiq_queues(resolve("x", said)) == ["alerts", "default", "slow"]


class TestSecrets:
    @pytest.mark.parametrize("stack", ["everything", "watched-outside"])
    def test_no_password_is_in_a_pod_and_each_is_in_a_file(self, stack: str) -> None:
        for pod in templates(rendered(stack)):
            if pod.component in EXPORTERS:
                assert SENTINEL not in json.dumps(pod.spec), pod.component
                assert [volume for volume in pod.spec["volumes"] if "secret" in volume], pod.component

    def test_postgres_is_asked_by_an_account_of_its_own_where_it_is_ours(self) -> None:
        def user(stack: str) -> str:
            [pod] = [pod for pod in templates(rendered(stack)) if pod.component == "postgres-exporter"]
            return {one["name"]: one["value"] for one in pod.containers[0]["env"]}["DATA_SOURCE_USER"]

        assert (user("everything"), user("watched-outside")) == ("monitor", "u")

    def test_a_database_may_not_be_called_like_an_account_of_the_server(self) -> None:
        with pytest.raises(SettingsError, match=r"postgres\.database: 'monitor': the server has an account of that name for itself"):
            resolve("x", {**SAID, "postgres": {"database": "monitor"}})


def test_each_series_speaks_of_the_server_and_not_of_the_exporter() -> None:
    jobs = [one["job_name"].partition(":")[0] for one in pod_jobs(rendered("everything").resources)]
    assert {
        "postgres/postgres",
        "redis/redis-jobs",
        "redis/redis-cache",
        "sidekiq/sidekiq",
        "elasticsearch/elasticsearch",
        "certificates/mqtt",
        "certificates/elasticsearch",
    } <= set(jobs)


class TestSidekiqsQueues:
    @pytest.fixture
    def module(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        # What is only in the image is not needed to reckon.
        for name in ("redis", "prometheus_client", "prometheus_client.core"):
            monkeypatch.setitem(sys.modules, name, MagicMock())
        return runpy.run_path(str(FILES / "sidekiq.py"))

    @pytest.mark.parametrize(
        ("job", "seconds"),
        [
            ('{"enqueued_at": 1700000000.5}', 9.5),
            ('{"enqueued_at": 1700000000500}', 9.5),
            ('{"enqueued_at": 1800000000}', 0),
            ('{"jid": "a"}', 0),
            ("[1]", 0),
            ("no JSON", 0),
            (None, 0),
        ],
    )
    def test_the_oldest_job_has_waited_since_it_was_put_in(self, module: dict[str, Any], job: str | None, seconds: float) -> None:
        assert module["waited"](job, 1700000010.0) == seconds

    def test_threads_are_counted_where_sidekiq_of_either_age_writes_them(self, module: dict[str, Any]) -> None:
        assert [module["threads_of"](*said) for said in (('{"concurrency": 5}', None), ("{}", "7"), ("broken", None))] == [5, 7, 0]


def test_no_password_gets_into_the_log_of_a_program_that_would_write_it_there() -> None:
    words = (
        f"{{ echo 'failed to get https://monitor:Secr3t@search:9200/_snapshot: http://x'; echo https://u:Secr3t@x >&2; }} &> >({MASKED})"
    )
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True)
    assert "failed to get https://monitor:***@search:9200/_snapshot: http://x" in done.stdout
    assert "Secr3t" not in done.stdout + done.stderr

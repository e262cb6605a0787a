"""Metrics, on a whole stack that is up: everything is asked and answers, nothing of anybody else is kept, and history outlives restarts."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from settings.fixed import servers
from tests.cluster.asking import Asked, asked, eventually
from tests.cluster.trial import Trial

SIDEKIQ_SAYS = """
require "sidekiq/api"
stats = Sidekiq::Stats.new
queues = Sidekiq::Queue.all.to_h { |queue| [queue.name, [queue.size, queue.latency]] }
puts JSON.generate(processed: stats.processed, failed: stats.failed, dead: stats.dead_size, retry: stats.retry_size,
                   scheduled: stats.scheduled_size, processes: Sidekiq::ProcessSet.new.size, queues: queues)
"""
EXPECTED = {
    "patroni": {"patroni_primary", "patroni_postgres_running", "patroni_postgres_streaming", "patroni_xlog_location"},
    "postgres": {
        "pg_up",
        "pg_settings_max_connections",
        "pg_stat_activity_count",
        "pg_database_size_bytes",
        "pg_stat_archiver_failed_count",
    },
    "redis": {"redis_up", "redis_memory_used_bytes", "redis_memory_max_bytes", "redis_evicted_keys_total", "redis_connected_clients"},
    "sidekiq": {
        "sidekiq_up",
        "sidekiq_queue_latency_seconds",
        "sidekiq_enqueued_jobs",
        "sidekiq_dead_jobs",
        "sidekiq_retry_jobs",
        "sidekiq_scheduled_jobs",
        "sidekiq_processes",
        "sidekiq_busy",
        "sidekiq_processed_jobs_total",
        "sidekiq_failed_jobs_total",
    },
    "mqtt": {
        "rabbitmq_identity_info",
        "rabbitmq_alarms_memory_used_watermark",
        "rabbitmq_alarms_free_disk_space_watermark",
        "rabbitmq_global_messages_received_total",
        "rabbitmq_connections",
    },
    "mqtt-queues": {"rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_consumers"},
    "elasticsearch": {
        "elasticsearch_cluster_health_status",
        "elasticsearch_jvm_memory_used_bytes",
        "elasticsearch_jvm_memory_max_bytes",
        "elasticsearch_filesystem_data_available_bytes",
        "elasticsearch_filesystem_data_size_bytes",
    },
    "certificates": {"probe_success", "probe_ssl_earliest_cert_expiry"},
    "volumes": {"node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_filesystem_files_free"},
    "kube-state-metrics": {
        "kube_pod_container_status_restarts_total",
        "kube_pod_container_status_last_terminated_reason",
        "kube_deployment_status_replicas_available",
        "kube_deployment_spec_replicas",
        "kube_statefulset_status_replicas_ready",
        "kube_pod_container_resource_limits",
        "kube_pod_status_ready",
        "kube_persistentvolumeclaim_resource_requests_storage_bytes",
    },
    "collector": {"otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity", "otelcol_receiver_accepted_log_records"},
    "prometheus": {"prometheus_tsdb_head_series", "prometheus_rule_evaluation_failures_total"},
}
"""What each job must at least tell; but for what only a pod that ended once tells."""
ONLY_AFTER_A_DEATH = {"kube_pod_container_status_last_terminated_reason"}


@pytest.fixture(scope="module")
def prometheus(watched: Trial) -> Iterator[Asked]:
    with asked(watched) as made:
        # Every target is found within two rounds, and told of in the third.
        eventually(lambda: not down(made), 90, lambda: down(made))
        # The collector is looked up every 30 s, and has just begun to serve this stack.
        eventually(lambda: made.query("otelcol_exporter_queue_capacity"), 120, lambda: made.targets())
        yield made


def down(prometheus: Asked) -> list[str]:
    """Return what does not answer, or has not been asked yet."""
    found = prometheus.targets()
    return [f"{one['labels']}: {one['lastError']}" for one in found if one["health"] != "up"] if found else ["nothing is asked yet"]


def test_everything_that_is_asked_answers(prometheus: Asked) -> None:
    assert down(prometheus) == []


def test_every_job_is_asked_and_tells_what_rules_and_panels_are_made_of(prometheus: Asked) -> None:
    pools = {one["scrapePool"].partition("/")[0] for one in prometheus.targets()}
    assert set(EXPECTED) <= pools
    for job, wanted in EXPECTED.items():
        told = {one.labels["__name__"] for one in prometheus.query(f'{{job="{job}"}}')}
        assert wanted - told - ONLY_AFTER_A_DEATH == set(), job


def test_every_component_that_is_expected_is_there(prometheus: Asked) -> None:
    ready = 'sum by (component) (kube_pod_status_ready{condition="true"} == 1)'
    missing = prometheus.query(f"switchyard:members unless on (component) ({ready} >= on (component) switchyard:members)")
    assert [one.labels["component"] for one in missing] == []


def test_no_series_is_of_another_namespace(prometheus: Asked, watched: Trial) -> None:
    assert prometheus.values_of("namespace") == {watched.namespace}
    pods = {pod["metadata"]["name"] for pod in watched.installation.objects("pods")}
    assert {one.labels["pod"] for one in prometheus.query('up{pod!=""}')} <= pods


def test_each_volume_tells_how_much_of_it_is_free(prometheus: Asked, watched: Trial) -> None:
    told = {one.labels["component"]: one for one in prometheus.query('node_filesystem_avail_bytes{mountpoint="/volume"}')}
    assert set(told) == {server.name for server in servers(watched.settings) if server.volume}
    assert told["postgres"].labels["pod"] == "postgres-0"
    size = prometheus.value('node_filesystem_size_bytes{component="postgres"}')
    assert size and 0 < told["postgres"].value < size


def test_the_collector_tells_of_the_stacks_own_lines(prometheus: Asked) -> None:
    found = prometheus.query("otelcol_exporter_queue_capacity")
    assert {"web", "consumer", "mqtt", "postgres"} <= {one.labels["component"] for one in found}


def test_the_queue_of_falls_is_read_and_no_lamps_session_is_told(prometheus: Asked) -> None:
    consumers = 'max(rabbitmq_detailed_queue_consumers{queue="falls"})'
    # Both are at it soon after the stack is up, and the next round tells.
    eventually(lambda: prometheus.value(consumers) == 2, 60, lambda: prometheus.value(consumers))
    assert prometheus.query("switchyard:queue unless on(queue) (rabbitmq_detailed_queue_consumers > 0)") == []
    assert {one.labels["queue"] for one in prometheus.query("rabbitmq_detailed_queue_messages_ready")} == {"falls"}


def test_certificates_of_the_broker_and_the_search_engine_are_valid_for_a_year_at_least(prometheus: Asked) -> None:
    found = prometheus.query("(probe_ssl_earliest_cert_expiry - time()) / 86400")
    assert {one.labels["component"] for one in found} == {"mqtt", "elasticsearch"}
    assert all(365 < one.value < 1000 for one in found)


def test_sidekiqs_figures_are_those_that_sidekiq_itself_tells(prometheus: Asked, watched: Trial) -> None:
    def said() -> dict[str, float]:
        # The last line: before it Sidekiq says whom it connects to.
        printed = watched.installation.run("exec", "deployment/sidekiq-alerts", "--", "ruby", "-e", SIDEKIQ_SAYS)
        found = json.loads(printed.splitlines()[-1])
        return {f"queue {name}": size for name, (size, _) in found.pop("queues").items()} | found

    def told() -> dict[str, float | None]:
        jobs = {name: prometheus.value(f"sidekiq_{name}_jobs") for name in ("dead", "retry", "scheduled")}
        jobs |= {name: prometheus.value(f"sidekiq_{name}_jobs_total") for name in ("processed", "failed")}
        jobs |= {f"queue {one.labels['name']}": one.value for one in prometheus.query("sidekiq_enqueued_jobs")}
        return jobs | {"processes": prometheus.value("sidekiq_processes")}

    def between() -> bool:
        # Jobs run all the time: what Prometheus has read meanwhile lies between what Sidekiq says before and afterwards.
        before = said()
        time.sleep(11)
        found, after = told(), said()
        compared.update(before=before, found=found, after=after)
        return found.keys() == before.keys() and all(
            value is not None and min(before[name], after[name]) <= value <= max(before[name], after[name]) for name, value in found.items()
        )

    compared: dict[str, object] = {}
    eventually(between, 90, lambda: compared)


def test_prometheus_keeps_its_history_when_its_pod_is_lost(watched: Trial, prometheus: Asked) -> None:
    assert prometheus.value("up{job='prometheus'}") == 1
    before = time.time()
    watched.installation.run("delete", "pod", "prometheus-0", "--grace-period=30")
    watched.installation.wait_serving()
    with asked(watched) as again:
        found = again.value(f"count_over_time(up{{job='patroni'}}[{time.time() - before + 60:.0f}s] offset {time.time() - before:.0f}s)")
        assert found and found >= 1
        eventually(lambda: not down(again), 60, lambda: down(again))


def test_prometheus_may_list_pods_of_its_own_namespace_and_look_at_nothing_else(watched: Trial) -> None:
    def may(*words: str) -> str:
        argv = watched.kubectl.argv("auth", "can-i", *words, f"--as=system:serviceaccount:{watched.namespace}:prometheus")
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout.strip()

    assert may("list", "pods") == "yes"
    refused = [
        ("get", "nodes/metrics"),
        ("list", "nodes"),
        ("list", "secrets"),
        ("delete", "pods"),
        ("list", "pods", "--namespace=kube-system"),
    ]
    assert {words: may(*words) for words in refused} == dict.fromkeys(refused, "no")

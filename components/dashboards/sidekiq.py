"""Sidekiq: how long jobs wait, how many fail, and the Valkey that keeps them."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold
from components.dashboards.shown import Shown


def dashboard(shown: Shown) -> Dashboard:
    """Return Sidekiq's page. Its figures are read from Redis, so every app has them."""
    stores = (_store(),) if shown.redis else ()
    classes = (_classes(),) if set(shown.sidekiq) & set(shown.app_measured) else ()
    return Dashboard(
        name="sidekiq",
        title="Sidekiq",
        about="How long jobs wait and what becomes of them; the figures are those that Sidekiq itself keeps in Redis.",
        rows=(_now(), _queues(), _jobs(), *classes, *stores),
    )


def _now() -> Row:
    return Row(
        title="Now",
        panels=(
            Panel(
                title="Longest wait",
                kind="stat",
                about="Of the oldest job in any queue.",
                queries=(Query(expr="max(sidekiq_queue_latency_seconds)"),),
                unit="s",
                thresholds=(Threshold(value=10, colour="orange"), Threshold(value=60, colour="red")),
            ),
            Panel(title="Jobs waiting", kind="stat", queries=(Query(expr="sum(sidekiq_enqueued_jobs)"),)),
            Panel(
                title="Processes",
                kind="stat",
                queries=(Query(expr="max(sidekiq_processes)"),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            Panel(title="Threads at work", kind="stat", queries=(Query(expr="sum(sidekiq_busy)"),)),
            Panel(
                title="To be tried again",
                kind="stat",
                queries=(Query(expr="max(sidekiq_retry_jobs)"),),
                thresholds=(Threshold(value=1, colour="yellow"),),
            ),
            Panel(
                title="Dead",
                kind="stat",
                about="Jobs that Sidekiq has given up. Somebody must look at them.",
                queries=(Query(expr="max(sidekiq_dead_jobs)"),),
                thresholds=(Threshold(value=1, colour="red"),),
            ),
        ),
    )


def _queues() -> Row:
    return Row(
        title="Queues",
        panels=(
            Panel(
                title="How long the oldest job has waited",
                queries=(Query(expr="max by (name) (sidekiq_queue_latency_seconds)", legend="{{name}}"),),
                unit="s",
            ),
            Panel(
                title="Jobs waiting",
                queries=(Query(expr="max by (name) (sidekiq_enqueued_jobs)", legend="{{name}}"),),
                stacked=True,
            ),
            Panel(
                title="Threads",
                about="How many there are, and how many are at work. When all are for long, jobs wait.",
                queries=(
                    Query(expr="sum(sidekiq_concurrency)", legend="all"),
                    Query(expr="sum(sidekiq_busy)", legend="at work"),
                ),
            ),
        ),
    )


def _jobs() -> Row:
    return Row(
        title="Jobs",
        panels=(
            Panel(
                title="Done and failed, a second",
                queries=(
                    Query(expr="max(rate(sidekiq_processed_jobs_total[$__rate_interval]))", legend="done"),
                    Query(expr="max(rate(sidekiq_failed_jobs_total[$__rate_interval]))", legend="failed"),
                ),
                unit="ops",
            ),
            Panel(
                title="Put off",
                queries=(
                    Query(expr="max(sidekiq_scheduled_jobs)", legend="scheduled"),
                    Query(expr="max(sidekiq_retry_jobs)", legend="to be tried again"),
                ),
            ),
            Panel(title="Dead", queries=(Query(expr="max(sidekiq_dead_jobs)", legend="dead"),)),
        ),
    )


def _classes() -> Row:
    # The label `job` of the app's own is kept beside Prometheus' as exported_job.
    slow = "histogram_quantile(0.95, sum by (le, exported_job) (rate(app_job_duration_seconds_bucket[$__rate_interval])))"
    return Row(
        title="Jobs by class",
        panels=(
            Panel(
                title="Ran a second",
                queries=(Query(expr="sum by (exported_job) (rate(app_jobs_total[$__rate_interval]))", legend="{{exported_job}}"),),
                unit="ops",
            ),
            Panel(
                title="Failed a second",
                queries=(
                    Query(
                        expr='sum by (exported_job) (rate(app_jobs_total{result="failed"}[$__rate_interval]))',
                        legend="{{exported_job}}",
                        may_be_empty="no job has failed",
                    ),
                ),
                unit="ops",
            ),
            Panel(title="95 of 100 done within", queries=(Query(expr=slow, legend="{{exported_job}}"),), unit="s"),
        ),
    )


def _store() -> Row:
    return Row(
        title="Valkey",
        panels=(
            Panel(
                title="Memory, of what data may take",
                about="Full, a store of jobs refuses new ones, and a cache forgets.",
                queries=(
                    Query(
                        expr="max by (component) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))",
                        legend="{{component}}",
                    ),
                ),
                unit="percentunit",
                thresholds=(Threshold(value=0.75, colour="orange"), Threshold(value=0.9, colour="red")),
                most=1,
            ),
            Panel(
                title="Commands a second",
                queries=(
                    Query(expr="sum by (component) (rate(redis_commands_processed_total[$__rate_interval]))", legend="{{component}}"),
                ),
                unit="ops",
            ),
            Panel(
                title="Clients",
                queries=(Query(expr="max by (component) (redis_connected_clients)", legend="{{component}}"),),
            ),
        ),
    )

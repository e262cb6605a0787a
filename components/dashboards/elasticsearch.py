"""The search engine: its health, its memory, its disk, and what is indexed and searched."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold
from components.dashboards.shown import Shown

RATE = "$__rate_interval"


def dashboard(shown: Shown) -> Dashboard:
    """Return the search engine's page, which is the same for an external one."""
    app = (_app(),) if "indexer" in shown.app_measured else ()
    return Dashboard(
        name="elasticsearch",
        title="Elasticsearch",
        about="Whether it is whole, how full its memory and disks are, and what is indexed and searched.",
        rows=(_now(), _room(), _work(), *app),
    )


def _health(colour: str) -> Query:
    return Query(expr=f'max(elasticsearch_cluster_health_status{{color="{colour}"}})', legend=colour)


def _now() -> Row:
    return Row(
        title="Now",
        panels=(
            Panel(
                title="Red",
                kind="stat",
                about="1: a primary shard is missing, and part of the data can not be read.",
                queries=(_health("red"),),
                thresholds=(Threshold(value=1, colour="red"),),
            ),
            Panel(
                title="Yellow",
                kind="stat",
                about="1: a copy is missing; on one node that is so for any index that wants copies.",
                queries=(_health("yellow"),),
                thresholds=(Threshold(value=1, colour="yellow"),),
            ),
            Panel(
                title="Nodes",
                kind="stat",
                queries=(Query(expr="max(elasticsearch_cluster_health_number_of_nodes)"),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            Panel(title="Shards", kind="stat", queries=(Query(expr="max(elasticsearch_cluster_health_active_shards)"),)),
            Panel(
                title="Shards without a node",
                kind="stat",
                queries=(Query(expr="max(elasticsearch_cluster_health_unassigned_shards)"),),
                thresholds=(Threshold(value=1, colour="yellow"),),
            ),
            Panel(title="Documents", kind="stat", queries=(Query(expr="sum(elasticsearch_indices_docs)"),)),
        ),
    )


def _room() -> Row:
    used, most = (f'elasticsearch_jvm_memory_{what}_bytes{{area="heap"}}' for what in ("used", "max"))
    free = "elasticsearch_filesystem_data_available_bytes / elasticsearch_filesystem_data_size_bytes"
    return Row(
        title="Room",
        panels=(
            Panel(
                title="Heap, of what it may take",
                about="It rises and falls with each collection; its lowest points are what is really used.",
                queries=(
                    Query(
                        expr=f"max by (name) ({used} / {most})",
                        legend="{{name}}",
                    ),
                ),
                unit="percentunit",
                thresholds=(Threshold(value=0.75, colour="orange"), Threshold(value=0.9, colour="red")),
                most=1,
            ),
            Panel(
                title="Time spent collecting garbage",
                about="Seconds of each second; from a tenth on it answers slowly.",
                queries=(
                    Query(expr=f"sum by (name, gc) (rate(elasticsearch_jvm_gc_collection_seconds_sum[{RATE}]))", legend="{{name}} {{gc}}"),
                ),
                unit="percentunit",
            ),
            Panel(
                title="Free space",
                about="Below 0.15 (of huge volumes: 200 GB) no shard is put on the node; below 0.05 (100 GB) indices become read-only.",
                queries=(Query(expr=f"min by (name) ({free})", legend="{{name}}"),),
                unit="percentunit",
                thresholds=(Threshold(value=0.05, colour="orange"), Threshold(value=0.15, colour="green")),
                falling=True,
                most=1,
            ),
            Panel(
                title="Breakers tripped",
                about="Requests that were refused because they would not have fitted into memory.",
                queries=(Query(expr=f"sum by (breaker) (increase(elasticsearch_breakers_tripped[{RATE}]))", legend="{{breaker}}"),),
                unit="none",
            ),
            Panel(
                title="Tasks waiting for the elected node",
                queries=(Query(expr="max(elasticsearch_cluster_health_number_of_pending_tasks)", legend="tasks"),),
            ),
            Panel(
                title="Indices on disk",
                queries=(Query(expr="sum by (name) (elasticsearch_indices_store_size_bytes)", legend="{{name}}"),),
                unit="bytes",
            ),
        ),
    )


def _work() -> Row:
    indexed, searched = "elasticsearch_indices_indexing_index", "elasticsearch_indices_search_query"
    rejected = 'elasticsearch_thread_pool_rejected_count{type=~"write|search|get"}'
    return Row(
        title="Work",
        panels=(
            Panel(
                title="Indexed and searched a second",
                queries=(
                    Query(expr=f"sum(rate({indexed}_total[{RATE}]))", legend="indexed"),
                    Query(expr=f"sum(rate({searched}_total[{RATE}]))", legend="searched"),
                ),
                unit="ops",
            ),
            Panel(
                title="Time for each",
                queries=(
                    Query(
                        expr=f"sum(rate({indexed}_time_seconds_total[{RATE}])) / sum(rate({indexed}_total[{RATE}]))",
                        legend="to index one document",
                        may_be_empty="nothing was indexed",
                    ),
                    Query(
                        expr=f"sum(rate({searched}_time_seconds[{RATE}])) / sum(rate({searched}_total[{RATE}]))",
                        legend="to search one shard",
                        may_be_empty="nothing was searched",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Refused because a queue was full",
                queries=(Query(expr=f"sum by (type) (rate({rejected}[{RATE}]))", legend="{{type}}"),),
                unit="ops",
            ),
        ),
    )


def _app() -> Row:
    return Row(
        title="The app's indexer",
        panels=(
            Panel(
                title="Behind",
                about="Age of the oldest event that is not in the index. No alert of a fall waits for it.",
                queries=(Query(expr="max(app_index_lag_seconds)", legend="seconds"),),
                unit="s",
            ),
            Panel(
                title="Indexed a second",
                queries=(Query(expr=f"sum(rate(app_index_indexed_total[{RATE}]))", legend="events"),),
                unit="ops",
            ),
            Panel(
                title="Not taken, a second",
                queries=(Query(expr=f"sum by (reason) (rate(app_index_failures_total[{RATE}]))", legend="{{reason}}"),),
                unit="ops",
            ),
        ),
    )

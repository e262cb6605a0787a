"""The database: who is primary, how far behind the others are, and what the app does to it."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold
from components.dashboards.shown import Shown

USED = (Threshold(value=0.7, colour="orange"), Threshold(value=0.85, colour="red"))
RATE = "$__rate_interval"


def dashboard(shown: Shown) -> Dashboard:
    """Return the database's page; that of an external one lacks what only Patroni tells."""
    members = (_members(shown.members["postgres"]),) if shown.has("postgres") else ()
    return Dashboard(
        name="postgres",
        title="Postgres",
        about="Who is primary, how far behind the others are, how many connections there are, and what the app does.",
        rows=(_now(shown), *members, _work(), _waits()),
    )


def _now(shown: Shown) -> Row:
    patroni = (
        Panel(
            title="Primaries",
            kind="stat",
            about="Exactly one.",
            queries=(Query(expr="sum(patroni_primary)"),),
            thresholds=(Threshold(value=1, colour="green"), Threshold(value=2, colour="red")),
            falling=True,
        ),
        Panel(
            title="Members that run",
            kind="stat",
            queries=(Query(expr="sum(patroni_postgres_running)"),),
            thresholds=(Threshold(value=1, colour="green"),),
            falling=True,
        ),
    )
    return Row(
        title="Now",
        panels=(
            Panel(
                title="The exporter gets in",
                kind="stat",
                queries=(Query(expr="max(pg_up)"),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            *(patroni if shown.has("postgres") else ()),
            Panel(
                title="Connections, of those allowed",
                kind="stat",
                queries=(Query(expr="sum(pg_stat_activity_count) / max(pg_settings_max_connections)"),),
                unit="percentunit",
                thresholds=USED,
            ),
            Panel(
                title="Longest transaction",
                kind="stat",
                about="One that is open for long keeps the dead rows of all tables.",
                queries=(Query(expr="max(pg_stat_activity_max_tx_duration)"),),
                unit="s",
                thresholds=(Threshold(value=60, colour="orange"), Threshold(value=600, colour="red")),
            ),
            Panel(title="Size of the databases", kind="stat", queries=(Query(expr="sum(pg_database_size_bytes)"),), unit="bytes"),
        ),
    )


def _members(count: int) -> Row:
    alone = "there is one member" if count == 1 else ""
    return Row(
        title="Members",
        panels=(
            Panel(
                title="Primary",
                about="1 for the member that writes; a step is a failover.",
                queries=(Query(expr="max by (pod) (patroni_primary)", legend="{{pod}}"),),
                unit="none",
            ),
            Panel(
                title="Behind the primary",
                about="Bytes of log that a standby has not replayed.",
                queries=(
                    Query(
                        expr="scalar(max(patroni_xlog_location)) - max by (pod) "
                        "(patroni_xlog_replayed_location and on(pod) (patroni_replica == 1))",
                        legend="{{pod}}",
                        may_be_empty=alone,
                    ),
                ),
                unit="bytes",
            ),
            Panel(
                title="Standbys that stream, and those that the primary waits for",
                queries=(
                    Query(expr="sum(patroni_postgres_streaming)", legend="stream"),
                    Query(expr="sum(patroni_sync_standby) + sum(patroni_quorum_standby)", legend="the primary waits for them"),
                ),
                unit="none",
            ),
        ),
    )


def _work() -> Row:
    def rows(what: str) -> Query:
        return Query(expr=f"sum(rate(pg_stat_database_tup_{what}[{RATE}]))", legend=what)

    return Row(
        title="Work",
        panels=(
            Panel(
                title="Transactions a second",
                queries=(
                    Query(expr=f"sum(rate(pg_stat_database_xact_commit[{RATE}]))", legend="committed"),
                    Query(expr=f"sum(rate(pg_stat_database_xact_rollback[{RATE}]))", legend="rolled back"),
                ),
                unit="ops",
            ),
            Panel(
                title="Rows a second",
                queries=tuple(map(rows, ("fetched", "inserted", "updated", "deleted"))),
                unit="ops",
            ),
            Panel(
                title="Blocks found in memory",
                about="As a share of those read; well below 0.99 for long: more memory would help.",
                queries=(
                    Query(
                        expr=f"sum(rate(pg_stat_database_blks_hit[{RATE}])) / "
                        f"(sum(rate(pg_stat_database_blks_hit[{RATE}])) + sum(rate(pg_stat_database_blks_read[{RATE}])))",
                        legend="share",
                    ),
                ),
                unit="percentunit",
                most=1,
            ),
        ),
    )


def _waits() -> Row:
    return Row(
        title="Waits and sizes",
        panels=(
            Panel(
                title="Connections, by state",
                queries=(
                    Query(expr="sum by (state) (pg_stat_activity_count)", legend="{{state}}"),
                    Query(expr="max(pg_settings_max_connections)", legend="allowed"),
                ),
            ),
            Panel(title="Locks, by mode", queries=(Query(expr="sum by (mode) (pg_locks_count)", legend="{{mode}}"),)),
            Panel(
                title="Size of each database",
                queries=(Query(expr="max by (datname) (pg_database_size_bytes)", legend="{{datname}}"),),
                unit="bytes",
            ),
            Panel(
                title="Deadlocks and conflicts a second",
                queries=(
                    Query(expr=f"sum(rate(pg_stat_database_deadlocks[{RATE}]))", legend="deadlocks"),
                    Query(expr=f"sum(rate(pg_stat_database_conflicts[{RATE}]))", legend="conflicts"),
                ),
                unit="ops",
            ),
            Panel(
                title="Written to disk for sorting, a second",
                about="Queries whose sorts do not fit into work_mem.",
                queries=(Query(expr=f"sum(rate(pg_stat_database_temp_bytes[{RATE}]))", legend="bytes"),),
                unit="Bps",
            ),
        ),
    )

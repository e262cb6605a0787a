"""The broker and those who read from it: no fall may wait."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold
from components.dashboards.shown import Shown


def dashboard(shown: Shown) -> Dashboard:
    """Return the broker's page."""
    consumer = (_consumer(),) if "consumer" in shown.app_measured else ()
    canary = (_canary(),) if shown.has("canary") else ()
    return Dashboard(
        name="mqtt",
        title="MQTT",
        about="What devices publish, what waits in the queues, who reads them, and how the broker is.",
        rows=(_now(), _queues(), _traffic(), *consumer, _members(), *canary),
    )


def _now() -> Row:
    return Row(
        title="Now",
        panels=(
            Panel(
                title="Messages waiting",
                kind="stat",
                queries=(Query(expr="sum(rabbitmq_detailed_queue_messages_ready)"),),
                thresholds=(Threshold(value=100, colour="orange"), Threshold(value=1000, colour="red")),
            ),
            Panel(
                title="Delivered, not acknowledged",
                kind="stat",
                about="What readers are working on.",
                queries=(Query(expr="sum(rabbitmq_detailed_queue_messages_unacked)"),),
            ),
            Panel(
                title="Readers",
                kind="stat",
                about="Over all queues. 0: what devices publish is kept, and nobody is told.",
                queries=(Query(expr="sum(rabbitmq_detailed_queue_consumers)"),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            Panel(title="Connections", kind="stat", queries=(Query(expr="sum(rabbitmq_connections)"),)),
            Panel(
                title="Members that answer",
                kind="stat",
                queries=(Query(expr='count(up{job="mqtt"} == 1)'),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            Panel(
                title="Alarms",
                kind="stat",
                about="Above the memory mark, or below the disk's: the broker then takes no message.",
                queries=(Query(expr="sum(rabbitmq_alarms_memory_used_watermark) + sum(rabbitmq_alarms_free_disk_space_watermark)"),),
                thresholds=(Threshold(value=1, colour="red"),),
            ),
        ),
    )


def _queues() -> Row:
    return Row(
        title="Queues",
        panels=(
            Panel(
                title="Messages waiting",
                queries=(Query(expr="sum by (queue) (rabbitmq_detailed_queue_messages_ready)", legend="{{queue}}"),),
            ),
            Panel(
                title="Delivered, not acknowledged",
                queries=(Query(expr="sum by (queue) (rabbitmq_detailed_queue_messages_unacked)", legend="{{queue}}"),),
            ),
            Panel(
                title="Readers",
                queries=(Query(expr="sum by (queue) (rabbitmq_detailed_queue_consumers)", legend="{{queue}}"),),
                unit="none",
            ),
        ),
    )


def _traffic() -> Row:
    received, confirmed = "rabbitmq_global_messages_received_total", "rabbitmq_global_messages_confirmed_total"
    delivered = "rabbitmq_global_messages_delivered_total"
    return Row(
        title="Traffic",
        panels=(
            Panel(
                title="Messages received a second",
                queries=(Query(expr=f"sum by (protocol) (rate({received}[$__rate_interval]))", legend="{{protocol}}"),),
                unit="cps",
            ),
            Panel(
                title="Acknowledged to devices, and delivered to readers, a second",
                queries=(
                    Query(expr=f"sum(rate({confirmed}[$__rate_interval]))", legend="acknowledged"),
                    Query(expr=f"sum(rate({delivered}[$__rate_interval]))", legend="delivered"),
                ),
                unit="cps",
            ),
            Panel(
                title="Connections opened and closed a second",
                about="Devices that come and go without end have a wrong password, or a second device has their name.",
                queries=(
                    Query(expr="sum(rate(rabbitmq_connections_opened_total[$__rate_interval]))", legend="opened"),
                    Query(expr="sum(rate(rabbitmq_connections_closed_total[$__rate_interval]))", legend="closed"),
                ),
                unit="cps",
            ),
        ),
    )


def _consumer() -> Row:
    done = "app_mqtt_messages_processed_total"
    return Row(
        title="Consumer",
        panels=(
            Panel(
                title="Messages committed a second",
                about="By whose they are; the synthetic falls are the canary's.",
                queries=(Query(expr=f"sum by (account) (rate({done}[$__rate_interval]))", legend="{{account}}"),),
                unit="cps",
            ),
            Panel(
                title="Tries to store that failed, a second",
                about="The messages stay with the broker, and are tried again.",
                queries=(Query(expr="sum by (pod) (rate(app_mqtt_store_failures_total[$__rate_interval]))", legend="{{pod}}"),),
                unit="cps",
            ),
            Panel(
                title="Linked to the broker",
                queries=(Query(expr="sum by (pod) (app_mqtt_connected)", legend="{{pod}}"),),
                unit="none",
            ),
        ),
    )


def _members() -> Row:
    return Row(
        title="Members",
        panels=(
            Panel(
                title="Memory, of what the broker allows itself",
                queries=(
                    Query(
                        expr="max by (pod) (rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                        legend="{{pod}}",
                    ),
                ),
                unit="percentunit",
                thresholds=(Threshold(value=0.8, colour="orange"), Threshold(value=1, colour="red")),
            ),
            Panel(
                title="Free space",
                queries=(
                    Query(expr="min by (pod) (rabbitmq_disk_space_available_bytes)", legend="{{pod}}"),
                    Query(expr="max(rabbitmq_disk_space_available_limit_bytes)", legend="takes no message below"),
                ),
                unit="bytes",
            ),
            Panel(
                title="Files that are open, of those allowed",
                about="Each connection needs one.",
                queries=(Query(expr="max by (pod) (rabbitmq_process_open_fds / rabbitmq_process_max_fds)", legend="{{pod}}"),),
                unit="percentunit",
                most=1,
            ),
        ),
    )


def _canary() -> Row:
    return Row(
        title="The synthetic fall",
        panels=(
            Panel(
                title="From the fall to its alert",
                about="Published over TLS as a lamp does, and read back as the app's users do.",
                queries=(Query(expr="max(canary_last_alert_latency_seconds)", legend="seconds"),),
                unit="s",
            ),
            Panel(
                title="Since the last alert was read",
                queries=(Query(expr="time() - max(canary_last_alert_seen_timestamp_seconds)", legend="seconds"),),
                unit="s",
            ),
        ),
    )

"""The first page: whether all is well, what is short of room, and what the logs say."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold, Variable
from components.dashboards.shown import Shown

RED_FROM_ONE = (Threshold(value=1, colour="red"),)
SHARE = (Threshold(value=0.8, colour="orange"), Threshold(value=0.9, colour="red"))
FREE = (Threshold(value=0.1, colour="orange"), Threshold(value=0.2, colour="green"))


def dashboard(shown: Shown) -> Dashboard:
    """Return the overview."""
    measured = [_now(), _pods(), _room(), *([_containers()] if shown.kubelet else [])] if shown.metrics else []
    rows = [*measured, *([_logs()] if shown.logs else [])]
    return Dashboard(
        name="overview",
        title="Overview",
        about="The whole stack: what fires, what runs, what is short of room, and what is logged.",
        rows=tuple(rows),
        variables=_choices(shown) if shown.logs else (),
    )


def _now() -> Row:
    fires = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
    return Row(
        title="Now",
        panels=(
            Panel(
                title="Critical alerts",
                kind="stat",
                queries=(Query(expr='count(ALERTS{alertstate="firing",severity="critical",alertname!="Watchdog"}) or vector(0)'),),
                thresholds=RED_FROM_ONE,
            ),
            Panel(
                title="Warnings",
                kind="stat",
                queries=(Query(expr='count(ALERTS{alertstate="firing",severity="warning"}) or vector(0)'),),
                thresholds=(Threshold(value=1, colour="orange"),),
            ),
            Panel(
                title="Targets down",
                kind="stat",
                about="Ports that Prometheus asks for metrics and that do not answer.",
                queries=(Query(expr="sum(up == bool 0)"),),
                thresholds=RED_FROM_ONE,
            ),
            Panel(
                title="Pods not ready",
                kind="stat",
                about="Those of finished Jobs are not counted.",
                queries=(
                    Query(
                        expr='sum(kube_pod_status_ready{condition="false"} and on(namespace, pod) '
                        '(kube_pod_status_phase{phase=~"Pending|Running|Unknown"} == 1)) or vector(0)'
                    ),
                ),
                thresholds=RED_FROM_ONE,
            ),
            Panel(
                title="Restarts in the last hour",
                kind="stat",
                queries=(Query(expr="sum(increase(kube_pod_container_status_restarts_total[1h]))"),),
                thresholds=RED_FROM_ONE,
            ),
            Panel(
                title="Watchdog",
                kind="stat",
                about="The alert that must always fire: 0 means that rules are not evaluated.",
                queries=(Query(expr='count(ALERTS{alertname="Watchdog",alertstate="firing"}) or vector(0)'),),
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
            ),
            Panel(
                title="What fires",
                kind="table",
                queries=(Query(expr=f"max by (alertname, severity, component) ({fires})", may_be_empty="nothing fires"),),
            ),
        ),
    )


def _pods() -> Row:
    return Row(
        title="Pods",
        panels=(
            Panel(
                title="Pods that are ready",
                queries=(Query(expr='sum by (pod) (kube_pod_status_ready{condition="true"})', legend="{{pod}}"),),
                stacked=True,
            ),
            Panel(
                title="Restarts",
                queries=(
                    Query(
                        expr="sum by (pod, container) (increase(kube_pod_container_status_restarts_total[10m]))",
                        legend="{{pod}} {{container}}",
                    ),
                ),
                unit="none",
            ),
            Panel(
                title="Scrapes that fail",
                queries=(Query(expr="sum by (job) (up == bool 0)", legend="{{job}}"),),
                unit="none",
            ),
        ),
    )


def _room() -> Row:
    return Row(
        title="Room",
        panels=(
            Panel(
                title="Free space of each volume",
                about="As a share of its size. Below a tenth its server will soon refuse to write.",
                queries=(
                    Query(
                        expr="min by (pod, mountpoint) (node_filesystem_avail_bytes / node_filesystem_size_bytes)",
                        legend="{{pod}} {{mountpoint}}",
                    ),
                ),
                unit="percentunit",
                thresholds=FREE,
                falling=True,
                most=1,
            ),
            Panel(
                title="Memory of each process",
                about="Resident, of those that tell.",
                queries=(Query(expr="sum by (pod, job) (process_resident_memory_bytes)", legend="{{pod}} {{job}}"),),
                unit="bytes",
            ),
            Panel(
                title="Processor time of each process",
                about="In cores, of those that tell.",
                queries=(Query(expr="sum by (pod, job) (rate(process_cpu_seconds_total[$__rate_interval]))", legend="{{pod}} {{job}}"),),
                unit="none",
            ),
        ),
    )


def _containers() -> Row:
    of = "/ on(pod, container) max by (pod, container)"
    limit = 'kube_pod_container_resource_limits{resource="memory"}'
    asked = 'kube_pod_container_resource_requests{resource="cpu"}'
    return Row(
        title="Containers",
        panels=(
            Panel(
                title="Memory, of what each may have",
                about="At 1 the kernel ends its largest process.",
                queries=(
                    Query(
                        expr=f"max by (pod, container) (container_memory_working_set_bytes) {of} ({limit})",
                        legend="{{pod}} {{container}}",
                    ),
                ),
                unit="percentunit",
                thresholds=SHARE,
                most=1,
            ),
            Panel(
                title="Processor time, of what each asked for",
                about="Above 1 it lives on what others leave over.",
                queries=(
                    Query(
                        expr=f"sum by (pod, container) (rate(container_cpu_usage_seconds_total[$__rate_interval])) {of} ({asked})",
                        legend="{{pod}} {{container}}",
                    ),
                ),
                unit="percentunit",
            ),
        ),
    )


def _logs() -> Row:
    chosen = '{component=~"$component"}'
    return Row(
        title="Logs",
        panels=(
            Panel(
                title="Lines a second, by component",
                queries=(Query(source="loki", expr=f"sum by (component) (rate({chosen}[$__auto]))", legend="{{component}}"),),
                unit="cps",
            ),
            Panel(
                title="Errors a second, by component",
                queries=(
                    Query(
                        source="loki",
                        expr='sum by (component) (rate({component=~"$component", level=~"(?i)error|fatal|critical"}[$__auto]))',
                        legend="{{component}}",
                        may_be_empty="nothing was logged as an error",
                    ),
                ),
                unit="cps",
            ),
            Panel(
                title="Lines",
                kind="logs",
                about="Of the components chosen above; `search` is a regular expression.",
                queries=(Query(source="loki", expr=f"{chosen} |~ `$search`"),),
            ),
        ),
    )


def _choices(shown: Shown) -> tuple[Variable, ...]:
    components = Variable(name="component", label="Component", choices=tuple(shown.members))
    return (components, Variable(name="search", label="Search"))

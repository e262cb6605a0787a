"""The app: what people ask of it, how fast it answers, and how its processes are."""

from components.dashboards.panels import Dashboard, Panel, Query, Row, Threshold
from components.dashboards.shown import Shown

RATE = "$__rate_interval"
REQUESTS, SECONDS = "rails_requests_total", "rails_request_duration_seconds_bucket"


def dashboard(shown: Shown) -> Dashboard:
    """Return the app's page. Requests and Puma are there where a web process tells its own metrics; the rest is for every app."""
    measured = (_now(), _requests(), _puma()) if shown.web_measured else ()
    processes = (_processes(shown),) if shown.app_measured else ()
    return Dashboard(
        name="rails",
        title="Rails",
        about="What people ask of the app, how fast it answers, and how its processes are.",
        rows=(*measured, _pods(shown), *processes),
    )


def _quantile(share: float, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate({SECONDS}[{RATE}])))"


def _failed() -> str:
    # Without the zero there would be no answer as long as nothing fails.
    return f'(sum(rate({REQUESTS}{{status=~"5.."}}[{RATE}])) or vector(0))'


QUIET = "nobody asked for anything"


def _now() -> Row:
    return Row(
        title="Now",
        panels=(
            Panel(title="Requests a second", kind="stat", queries=(Query(expr=f"sum(rate({REQUESTS}[{RATE}]))"),), unit="reqps"),
            Panel(
                title="Failed, of all",
                kind="stat",
                about="Answers of 500 and above.",
                queries=(Query(expr=f"{_failed()} / (sum(rate({REQUESTS}[{RATE}])) > 0)", may_be_empty=QUIET),),
                unit="percentunit",
                thresholds=(Threshold(value=0.01, colour="orange"), Threshold(value=0.05, colour="red")),
            ),
            Panel(
                title="95 of 100 answered within",
                kind="stat",
                queries=(Query(expr=_quantile(0.95)),),
                unit="s",
                thresholds=(Threshold(value=0.5, colour="orange"), Threshold(value=2, colour="red")),
            ),
            Panel(
                title="Waiting for a thread",
                kind="stat",
                about="Connections that Puma has accepted and nobody works on. Above 0 for long: more threads or more pods.",
                queries=(Query(expr="sum(puma_backlog)"),),
                thresholds=(Threshold(value=1, colour="orange"), Threshold(value=10, colour="red")),
            ),
            Panel(
                title="Threads at work, of all",
                kind="stat",
                queries=(Query(expr="sum(puma_busy_threads) / sum(puma_max_threads)"),),
                unit="percentunit",
                thresholds=(Threshold(value=0.8, colour="orange"), Threshold(value=1, colour="red")),
            ),
        ),
    )


def _requests() -> Row:
    return Row(
        title="Requests",
        panels=(
            Panel(
                title="Answers a second, by status",
                queries=(Query(expr=f"sum by (status) (rate({REQUESTS}[{RATE}]))", legend="{{status}}"),),
                unit="reqps",
                stacked=True,
            ),
            Panel(
                title="Time to answer",
                queries=(
                    Query(expr=_quantile(0.5), legend="half within"),
                    Query(expr=_quantile(0.95), legend="95 of 100 within"),
                    Query(expr=_quantile(0.99), legend="99 of 100 within"),
                ),
                unit="s",
            ),
            Panel(
                title="95 of 100 within, by controller",
                queries=(Query(expr=_quantile(0.95, ", controller"), legend="{{controller}}"),),
                unit="s",
            ),
        ),
    )


def _puma() -> Row:
    return Row(
        title="Puma",
        panels=(
            Panel(
                title="Threads",
                queries=(
                    Query(expr="sum by (component) (puma_max_threads)", legend="{{component}}: may be"),
                    Query(expr="sum by (component) (puma_busy_threads)", legend="{{component}}: at work"),
                ),
            ),
            Panel(
                title="Waiting for a thread",
                queries=(Query(expr="sum by (pod) (puma_backlog)", legend="{{pod}}"),),
            ),
            Panel(title="Server processes", queries=(Query(expr="sum by (pod) (puma_workers)", legend="{{pod}}"),), unit="none"),
        ),
    )


def _pods(shown: Shown) -> Row:
    app = "|".join(shown.app)
    return Row(
        title="Pods",
        panels=(
            Panel(
                title="Pods that serve, of those wanted",
                queries=(
                    Query(
                        expr=f'kube_deployment_status_replicas_available{{deployment=~"{app}"}} '
                        f'/ on(deployment) (kube_deployment_spec_replicas{{deployment=~"{app}"}} > 0)',
                        legend="{{deployment}}",
                    ),
                ),
                unit="percentunit",
                thresholds=(Threshold(value=1, colour="green"),),
                falling=True,
                most=1,
            ),
            Panel(
                title="Restarts",
                queries=(
                    Query(
                        expr=f'sum by (pod) (increase(kube_pod_container_status_restarts_total{{component=~"{app}"}}[10m]))',
                        legend="{{pod}}",
                    ),
                ),
                unit="none",
            ),
            Panel(
                title="Ended for want of memory",
                about="1: the last end of a container's life was the kernel's doing.",
                queries=(
                    Query(
                        expr=f'max by (pod) (kube_pod_container_status_last_terminated_reason{{reason="OOMKilled",component=~"{app}"}})',
                        legend="{{pod}}",
                        may_be_empty="no container has ever been short of memory",
                    ),
                ),
                unit="none",
            ),
        ),
    )


def _processes(shown: Shown) -> Row:
    app = "|".join(shown.app_measured)
    return Row(
        title="Processes",
        panels=(
            Panel(
                title="Memory, of what they may have",
                about="Near 1 for long: the kernel will end the process.",
                queries=(
                    Query(
                        expr=f'max by (pod) (process_resident_memory_bytes{{job=~"{app}"}}) / on(pod) '
                        'max by (pod) (kube_pod_container_resource_limits{resource="memory"})',
                        legend="{{pod}}",
                    ),
                ),
                unit="percentunit",
                thresholds=(Threshold(value=0.8, colour="orange"), Threshold(value=0.95, colour="red")),
                most=1,
            ),
            Panel(
                title="Processor time",
                about="In cores.",
                queries=(Query(expr=f'sum by (pod) (rate(process_cpu_seconds_total{{job=~"{app}"}}[{RATE}]))', legend="{{pod}}"),),
                unit="none",
            ),
            Panel(
                title="Threads",
                queries=(Query(expr=f'sum by (pod) (process_threads{{job=~"{app}"}})', legend="{{pod}}"),),
                unit="none",
            ),
        ),
    )

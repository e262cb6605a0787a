"""kube-state-metrics: the state of the namespace's objects as metrics."""

import pulumi

from components.kube import network, probes
from components.kube.rights import account, rule
from components.kube.workload import Pod, container, deployment
from components.prometheus_configuration import COMPONENT_OF_OBJECT
from components.site import Site
from components.watch import Scrape, Watch, members
from settings.metrics import Metrics
from settings.types import bytes_of

COMPONENT = "kube-state-metrics"
PORT, OWN_PORT = 8080, 8081
START_WITHIN_SECONDS = 60
RESOURCES = {
    "": ("pods", "persistentvolumeclaims"),
    "apps": ("deployments", "replicasets", "statefulsets"),
    "batch": ("cronjobs", "jobs"),
    "policy": ("poddisruptionbudgets",),
}
"""What it tells of, by API group. Not of Secrets or ConfigMaps: it would hold them in memory, and nobody asks."""
LEFT_OUT = (
    "kube_.*_(annotations|labels|metadata_generation|metadata_resource_version|created)",
    "kube_pod_(tolerations|ips|service_account|scheduler|spec_volumes_.*|status_qos_class|status_scheduled.*|status_container_ready_time)",
    "kube_replicaset_.*",
    # It ends itself over a CronJob whose time zone its image does not know.
    "kube_cronjob_next_schedule_time",
)
"""Series that no rule and no panel uses, and that would be a third of all: of ReplicaSets only the owner is read from pods."""


class KubeStateMetrics(pulumi.ComponentResource):
    """The Deployment `kube-state-metrics`, with rights to list the objects of its own namespace and no others."""

    watch: Watch

    def __init__(self, name: str, args: Metrics, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make it at `site`."""
        super().__init__("switchyard:index:KubeStateMetrics", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        listed = [rule(group, kinds, ["list", "watch"]) for group, kinds in RESOURCES.items()]
        rights = account(name, COMPONENT, site, listed, child)
        network.to_api_server(name, COMPONENT, site, child)
        opts = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[rights]))
        # Never two at once: every sum over pods would be twice as large.
        deployment(name, _pod(args, site), site, opts, replicas=1, start_seconds=START_WITHIN_SECONDS, singleton=True)
        self.watch = watch()
        self.register_outputs({})


def watch() -> Watch:
    """Return where its metrics are. What it tells of a pod carries that pod's labels, not its own."""
    scrape = Scrape(job=COMPONENT, component=COMPONENT, port=PORT, honor_labels=True, relabel=COMPONENT_OF_OBJECT)
    return Watch(scrapes=(scrape,), expectations=(members(COMPONENT, 1),))


def _pod(args: Metrics, site: Site) -> Pod:
    kinds = sorted(kind for listed in RESOURCES.values() for kind in listed)
    process = container(
        COMPONENT,
        site.image("kube-state-metrics"),
        site,
        args.kube_state_metrics,
        command=[
            "/kube-state-metrics",
            f"--port={PORT}",
            f"--telemetry-port={OWN_PORT}",
            f"--namespaces={site.namespace}",
            f"--resources={','.join(kinds)}",
            f"--metric-denylist={','.join(f'^{pattern}$' for pattern in LEFT_OUT)}",
        ],
        env={"GOMEMLIMIT": str(bytes_of(args.kube_state_metrics.memory) * 4 // 5)},
        ports={"metrics": PORT, "telemetry": OWN_PORT},
        probes={
            "startup_probe": probes.http("/readyz", OWN_PORT, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/livez", PORT),
            "readiness_probe": probes.http("/readyz", OWN_PORT),
        },
    )
    return Pod(component=COMPONENT, containers=[process], service_account=COMPONENT, token=True, placement=args.placement)

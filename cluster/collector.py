"""The collector: one pod on each node that reads all containers' log files and sends each stack's lines to that stack's Loki."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import apps, core, meta

from cluster.configuration import FEATURES, HEALTH, LOKI, STATE, configuration
from components.kube import network, probes, workload
from components.kube.configuration import config_map
from components.kube.security import container_security
from components.site import Site
from settings.clusters import ClusterSettings, Route
from settings.logs import COLLECTOR, COLLECTOR_METRICS
from settings.types import bytes_of

DIRECTORY = "/etc/collector"
NAMESPACES_ANNOTATION = "switchyard.dev/namespaces"
"""Annotation of the DaemonSet: the namespaces whose lines it sends, separated by commas."""
GRACE_SECONDS = 30
START_WITHIN_SECONDS = 120
"""It looks through the files with its queues first, and packs them."""
TIMEOUT = pulumi.CustomTimeouts(create="10m", update="10m", delete="5m")


class Collector(pulumi.ComponentResource):
    """The DaemonSet `collector`: an OpenTelemetry Collector on every node, whatever taints that has.

    - It runs as root, because the kubelet's log files are root's, and has nothing else of root's rights: no capability, a read-only root,
      no token. Of the node it sees the log files, to read, and a folder of its own, where its queues and offsets outlive it.
    - Each component of each stack has files, queue and connection of its own; a Loki that is away, or a pod that writes too much, holds up
      nobody else. What can not be sent waits: in the queue, then in the files, which the kubelet turns over one day.
    - It dials the Lokis of its routes, and nothing else. Nobody dials it but the kubelet, and who asks for its metrics on 8888.
    """

    def __init__(
        self, name: str, args: ClusterSettings, routes: Sequence[Route], site: Site, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the collector of `routes`."""
        super().__init__("switchyard:index:Collector", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = config_map(COLLECTOR, COLLECTOR, site, {"collector.yaml": configuration(args, routes)}, child)
        apps.v1.DaemonSet(
            name,
            metadata=_metadata(routes, site),
            spec=apps.v1.DaemonSetSpecArgs(
                selector=meta.v1.LabelSelectorArgs(match_labels=site.selector(COLLECTOR)),
                # Nothing is lost while one is away, so nodes need not wait for each other for long.
                update_strategy=apps.v1.DaemonSetUpdateStrategyArgs(
                    type="RollingUpdate", rolling_update=apps.v1.RollingUpdateDaemonSetArgs(max_unavailable="50%")
                ),
                revision_history_limit=3,
                template=_template(args, site, config),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(custom_timeouts=TIMEOUT)),
        )
        keepers = sorted({route.loki for route in routes if route.loki})
        lokis = [network.pods_of_namespace(namespace, {"app.kubernetes.io/component": "loki"}) for namespace in keepers]
        network.allow_out(f"{name}-lokis-out", COLLECTOR, site, site.selector(COLLECTOR), lokis, [LOKI], child)
        watchers = [
            network.pods_of_namespace(route.namespace, {"app.kubernetes.io/component": "prometheus"})
            for route in sorted(routes, key=lambda route: route.namespace)
        ]
        network.allow_in(f"{name}-metrics-in", COLLECTOR, site, watchers, [COLLECTOR_METRICS], child)
        # Without an address of its own: whoever asks for metrics gets those of every node.
        workload.service(name, COLLECTOR, COLLECTOR, site, {"metrics": (COLLECTOR_METRICS, COLLECTOR_METRICS)}, child, headless=True)
        self.register_outputs({})


def _metadata(routes: Sequence[Route], site: Site) -> meta.v1.ObjectMetaArgs:
    made = workload.metadata(COLLECTOR, site)
    made.annotations = {NAMESPACES_ANNOTATION: ",".join(sorted(route.namespace for route in routes))}
    return made


def _template(args: ClusterSettings, site: Site, config: str) -> core.v1.PodTemplateSpecArgs:
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels=site.labels(COLLECTOR)),
        spec=core.v1.PodSpecArgs(
            containers=[_container(args, site)],
            volumes=[
                workload.from_config("config", config),
                _on_node("pods", args.pod_logs, "Directory"),
                _on_node("state", args.state, "DirectoryOrCreate"),
            ],
            security_context=core.v1.PodSecurityContextArgs(
                run_as_user=0, run_as_group=0, seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault")
            ),
            automount_service_account_token=False,
            enable_service_links=False,
            image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=name) for name in site.pull_secrets] or None,
            termination_grace_period_seconds=GRACE_SECONDS,
            # Every node's containers write lines, whatever else may not run there.
            tolerations=[core.v1.TolerationArgs(operator="Exists")],
            priority_class_name="system-node-critical",
        ),
    )


def _container(args: ClusterSettings, site: Site) -> core.v1.ContainerArgs:
    made = workload.container(
        COLLECTOR,
        site.image("otel-collector"),
        site,
        args.resources,
        command=["/otelcol-contrib"],
        args=[f"--config={DIRECTORY}/collector.yaml", f"--feature-gates={FEATURES}"],
        # Go gives memory back before the limit ends the process.
        env={"GOMEMLIMIT": str(bytes_of(args.resources.memory) * 80 // 100)},
        env_fields={"NODE_NAME": "spec.nodeName"},
        ports={"health": HEALTH, "metrics": COLLECTOR_METRICS},
        # The files are where the node has them: paths in the configuration are the node's.
        mounts={DIRECTORY: "config", args.pod_logs: "pods", STATE: "state"},
        read_only=[DIRECTORY, args.pod_logs],
        probes={
            "startup_probe": probes.http("/", HEALTH, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/", HEALTH, patient=True),
            "readiness_probe": probes.http("/", HEALTH),
        },
    )
    made.security_context = container_security()
    return made


def _on_node(name: str, path: str, kind: str) -> core.v1.VolumeArgs:
    return core.v1.VolumeArgs(name=name, host_path=core.v1.HostPathVolumeSourceArgs(path=path, type=kind))

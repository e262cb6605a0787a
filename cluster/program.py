"""All of one cluster: its namespace, refused everything, the collector, and the right to read the kubelets' figures."""

from collections.abc import Sequence
from dataclasses import replace

import pulumi
import pulumi_random
from pulumi_kubernetes import core, meta, rbac

from cluster.collector import Collector
from components import ownership
from components.kube import network
from components.site import Site
from settings.clusters import ClusterSettings, Route
from settings.logs import CLUSTER_NAMESPACE
from settings.ownership import INSTALLATION_LABEL, STACK_LABEL
from settings.stack import Cluster, Images

KUBELET_METRICS = "switchyard-kubelet-metrics"
PROMETHEUS = "prometheus"
"""The ServiceAccount of a stack's Prometheus."""


def site_of(identifier: str, cluster: Cluster, args: ClusterSettings) -> Site:
    """Return where everything of the cluster called `identifier` stands."""
    return Site(
        product="switchyard",
        stack=identifier,
        tier="cluster",
        namespace=CLUSTER_NAMESPACE,
        owner=f"switchyard.{identifier}",
        images=Images(pinned={"otel-collector": args.image}, pull_secrets=args.pull_secrets),
        cluster=cluster,
        pull_secrets=tuple(args.pull_secrets),
        # What is here keeps no data but what waits to be sent.
        protect=False,
    )


class ClusterWide(pulumi.ComponentResource):
    """What a cluster has once, whichever stacks are on it."""

    def __init__(
        self, name: str, args: ClusterSettings, routes: Sequence[Route], site: Site, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make it for the stacks of `routes`."""
        super().__init__("switchyard:index:ClusterWide", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        site = _namespace(site, child)
        if lines := [route for route in routes if route.loki]:
            Collector("collector", args, lines, site, child)
        if readers := [route.namespace for route in routes if route.kubelet]:
            _kubelet_metrics(readers, site, child)
        self.register_outputs({})


def _namespace(site: Site, opts: pulumi.ResourceOptions) -> Site:
    # Volumes of the node's own folders are more than any profile but this one admits; the pod itself gives up all else.
    levels = {"enforce": "privileged", "warn": "privileged", "audit": "restricted"}
    installation = pulumi_random.RandomId("installation", byte_length=8, opts=opts).hex
    owned = {STACK_LABEL: site.owner, INSTALLATION_LABEL: ownership.confirmed(installation, site)}
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in levels.items()}
    made = core.v1.Namespace(
        site.namespace,
        metadata=meta.v1.ObjectMetaArgs(name=site.namespace, labels={**site.labels("namespace"), **owned, **labels}),
        opts=opts,
    )
    site = replace(site, home=made.metadata.name)
    network.default_deny("network", site, opts)
    return site


def _kubelet_metrics(namespaces: Sequence[str], site: Site, opts: pulumi.ResourceOptions) -> None:
    """Let the Prometheus of each of these namespaces read the figures of the kubelets: processor, memory and volumes of all pods.

    Kubernetes knows no smaller right; what a Prometheus keeps of it is in its own configuration.
    """
    labels = site.labels("kubelet-metrics")
    rbac.v1.ClusterRole(
        KUBELET_METRICS,
        metadata=meta.v1.ObjectMetaArgs(name=KUBELET_METRICS, labels=labels),
        rules=[rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["nodes/metrics"], verbs=["get"])],
        opts=opts,
    )
    rbac.v1.ClusterRoleBinding(
        KUBELET_METRICS,
        metadata=meta.v1.ObjectMetaArgs(name=KUBELET_METRICS, labels=labels),
        role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=KUBELET_METRICS),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=PROMETHEUS, namespace=namespace) for namespace in sorted(namespaces)],
        opts=opts,
    )

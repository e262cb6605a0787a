"""All of one cluster: its namespaces, refused everything, the collector, the gateway, and the right to read the kubelets' figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
import pulumi_random
from pulumi_kubernetes import core, meta, rbac

from cluster.collector import Collector
from cluster.gateway import GatewayController
from components import ownership
from components.kube import network
from components.kube.workload import metadata
from components.site import Site
from settings.clusters import ClusterSettings, Route
from settings.gateway import GATEWAY_CLASS, GATEWAY_LABEL, GATEWAY_NAMESPACE
from settings.logs import CLUSTER_NAMESPACE, RECORD
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
        images=Images(
            pinned={"otel-collector": args.image, "envoy-gateway": args.gateway.image, "envoy": args.gateway.proxy},
            pull_secrets=args.pull_secrets,
        ),
        cluster=cluster,
        pull_secrets=tuple(args.pull_secrets),
        # What is here keeps no data but what waits to be sent.
        protect=False,
    )


class ClusterWide(pulumi.ComponentResource):
    """What a cluster has once, whichever stacks are on it."""

    def __init__(
        self,
        name: str,
        args: ClusterSettings,
        routes: Sequence[Route],
        site: Site,
        opts: pulumi.ResourceOptions | None = None,
        *,
        gateway_installed: str | None = None,
    ) -> None:
        """Make it for the stacks of `routes`; `gateway_installed` is the installation that the gateway's namespace carries there."""
        super().__init__("switchyard:index:ClusterWide", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        gateway_site = replace(site, namespace=GATEWAY_NAMESPACE, installed=gateway_installed)
        # Volumes of the node's own folders are more than any profile but this one admits; the pod itself gives up all else.
        levels = {"enforce": "privileged", "warn": "privileged", "audit": "restricted"}
        installation = pulumi_random.RandomId("installation", byte_length=8, opts=child).hex
        site = _namespace("network", site, installation, levels, {}, child)
        made: list[pulumi.Resource] = []
        if lines := [route for route in routes if route.loki]:
            made.append(Collector("collector", args, lines, site, child))
        if readers := [route.namespace for route in routes if route.kubelet]:
            _kubelet_metrics(readers, site, child)
        if args.serves(routes):
            strict = {"enforce": "restricted", "warn": "restricted", "audit": "restricted"}
            # The controller looks for what its class refers to in namespaces that it serves.
            served = {GATEWAY_LABEL: GATEWAY_CLASS}
            gateway_site = _namespace("gateway-network", gateway_site, installation, strict, served, child)
            made.append(GatewayController("gateway", args.gateway, gateway_site, child))
        if args.digest:
            # The last, so that what failed is not taken for made.
            after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=made))
            core.v1.ConfigMap("record", metadata=metadata("record", site, RECORD), data={"digest": args.digest}, opts=after)
        self.register_outputs({})


def _namespace(
    name: str,
    site: Site,
    installation: pulumi.Output[str],
    levels: Mapping[str, str],
    labels: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> Site:
    """Make the site's namespace with these Pod Security levels, and refuse everything in it; return the site in the made one."""
    owned = {STACK_LABEL: site.owner, INSTALLATION_LABEL: ownership.confirmed(installation, site)}
    secured = {f"pod-security.kubernetes.io/{mode}": level for mode, level in levels.items()}
    made = core.v1.Namespace(
        site.namespace,
        metadata=meta.v1.ObjectMetaArgs(name=site.namespace, labels={**site.labels("namespace"), **owned, **secured, **labels}),
        opts=opts,
    )
    site = replace(site, home=made.metadata.name)
    network.default_deny(name, site, opts)
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

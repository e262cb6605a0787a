"""What Envoy Gateway may do: read what stacks say of their Gateways anywhere, and make Envoys in its own namespace alone."""

import pulumi
from pulumi_kubernetes import core, meta, rbac

from cluster.definitions import KINDS, OWNED
from components.kube.rights import rule
from components.kube.workload import metadata
from components.site import Site
from settings.gateway import CONTROLLER

READ = ("get", "list", "watch")
MAKE = (*READ, "create", "patch", "delete", "deletecollection")
"""It writes by server-side apply, and cleans up by label."""
CLASSES = "gatewayclasses"
NAME = "switchyard-gateway"


def controller_account(site: Site, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Make the controller's ServiceAccount and its rights, and return what binds them.

    It reads Secrets of all namespaces, because the certificates of Gateways are Secrets, and a watch can not be narrowed to those: see
    docs/decisions/23-gateway.md.
    """
    made = core.v1.ServiceAccount(CONTROLLER, metadata=metadata(CONTROLLER, site), automount_service_account_token=False, opts=opts)
    subject = rbac.v1.SubjectArgs(kind="ServiceAccount", name=made.metadata["name"], namespace=site.namespace)
    labels = site.labels(CONTROLLER)
    everywhere = rbac.v1.ClusterRole(NAME, metadata=meta.v1.ObjectMetaArgs(name=NAME, labels=labels), rules=_everywhere(), opts=opts)
    inside = rbac.v1.Role(CONTROLLER, metadata=metadata(CONTROLLER, site), rules=_inside(), opts=opts)
    return [
        rbac.v1.ClusterRoleBinding(
            NAME,
            metadata=meta.v1.ObjectMetaArgs(name=NAME, labels=labels),
            role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=everywhere.metadata["name"]),
            subjects=[subject],
            opts=opts,
        ),
        rbac.v1.RoleBinding(
            CONTROLLER,
            metadata=metadata(CONTROLLER, site),
            role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=inside.metadata["name"]),
            subjects=[subject],
            opts=opts,
        ),
    ]


def _everywhere() -> list[rbac.v1.PolicyRuleArgs]:
    """Reading, and writing down in the status of Gateways and routes what has become of them."""
    read = [rule(group, kinds, READ) for group, kinds in KINDS.items()]
    told = [rule(group, [f"{kind}/status" for kind in kinds if kind in OWNED], ["update"]) for group, kinds in KINDS.items()]
    return [
        rule("", ["configmaps", "namespaces", "nodes", "secrets", "services"], READ),
        rule("discovery.k8s.io", ["endpointslices"], READ),
        *read,
        *told,
        # A finalizer, so that no class goes before its Gateways.
        rule("gateway.networking.k8s.io", [CLASSES], ["patch", "update"]),
    ]


def _inside() -> list[rbac.v1.PolicyRuleArgs]:
    """An Envoy for each Gateway, and which of the controllers works."""
    return [
        rule("", ["configmaps", "serviceaccounts", "services"], MAKE),
        rule("apps", ["daemonsets", "deployments"], MAKE),
        rule("autoscaling", ["horizontalpodautoscalers"], MAKE),
        rule("policy", ["poddisruptionbudgets"], MAKE),
        rule("coordination.k8s.io", ["leases"], ["create"]),
        rule("coordination.k8s.io", ["leases"], ["get", "update", "patch"], ["5b9825d2.gateway.envoyproxy.io"]),
        rule("", ["events"], ["create", "patch"]),
    ]

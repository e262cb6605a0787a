"""ServiceAccounts with rights in their own namespace alone."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core, rbac

from components.kube.workload import metadata
from components.site import Site


def rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] | None = None) -> rbac.v1.PolicyRuleArgs:
    """Return a rule: `verbs` on `resources` of an API group, all of them or those of these `names`."""
    return rbac.v1.PolicyRuleArgs(
        api_groups=[group], resources=list(resources), verbs=list(verbs), resource_names=list(names) if names else None
    )


def account(
    name: str, component: str, site: Site, rules: Sequence[rbac.v1.PolicyRuleArgs], opts: pulumi.ResourceOptions
) -> rbac.v1.RoleBinding:
    """Make the ServiceAccount called after the component, a Role with `rules`, and what binds them, which is returned."""
    made = core.v1.ServiceAccount(name, metadata=metadata(component, site), automount_service_account_token=False, opts=opts)
    role = rbac.v1.Role(name, metadata=metadata(component, site), rules=list(rules), opts=opts)
    return rbac.v1.RoleBinding(
        name,
        metadata=metadata(component, site),
        role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata["name"]),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=made.metadata["name"], namespace=site.namespace)],
        opts=opts,
    )

"""What a stack may say of its own Envoys: they run beside everybody else's, so not what would let it into those."""

import pulumi
from pulumi_kubernetes import admissionregistration, meta

from components.site import Site
from settings.gateway import CONTROLLER

NAME = "switchyard-gateway-parameters"
_KUBERNETES = "object.spec.provider.kubernetes"
_REFUSED = {
    "object.spec": ("bootstrap", "extraArgs", "dynamicModules", "mergeGateways", "backendTLS"),
    _KUBERNETES: ("envoyDaemonSet", "envoyServiceAccount"),
    f"{_KUBERNETES}.envoyDeployment": ("patch", "initContainers", "name"),
    f"{_KUBERNETES}.envoyDeployment.pod": ("volumes", "priorityClassName", "labels"),
    f"{_KUBERNETES}.envoyDeployment.container": ("env", "volumeMounts", "securityContext"),
    f"{_KUBERNETES}.envoyService": ("patch", "name", "labels"),
}
"""Where an EnvoyProxy says it -> what is refused there: programs, files, accounts and names of its own.

What a pod may do on its node is the namespace's Pod Security level, which is the restricted one."""


def guard(site: Site, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Make the admission policy and what puts it into force: for all namespaces but the gateway's own."""
    labels = site.labels(CONTROLLER)
    validations = [
        admissionregistration.v1.ValidationArgs(expression=rule(where, key), message=f"{short(where)}{key} is the cluster's to say")
        for where, keys in _REFUSED.items()
        for key in keys
    ]
    policy = admissionregistration.v1.ValidatingAdmissionPolicy(
        NAME,
        metadata=meta.v1.ObjectMetaArgs(name=NAME, labels=labels),
        spec=admissionregistration.v1.ValidatingAdmissionPolicySpecArgs(
            failure_policy="Fail",
            match_constraints=admissionregistration.v1.MatchResourcesArgs(
                resource_rules=[
                    admissionregistration.v1.NamedRuleWithOperationsArgs(
                        api_groups=["gateway.envoyproxy.io"],
                        api_versions=["*"],
                        operations=["CREATE", "UPDATE"],
                        resources=["envoyproxies"],
                    )
                ]
            ),
            match_conditions=[
                admissionregistration.v1.MatchConditionArgs(name="of-a-stack", expression=f"request.namespace != '{site.namespace}'")
            ],
            validations=validations,
        ),
        opts=opts,
    )
    binding = admissionregistration.v1.ValidatingAdmissionPolicyBinding(
        NAME,
        metadata=meta.v1.ObjectMetaArgs(name=NAME, labels=labels),
        spec=admissionregistration.v1.ValidatingAdmissionPolicyBindingSpecArgs(
            policy_name=policy.metadata["name"], validation_actions=["Deny"]
        ),
        opts=opts,
    )
    return [policy, binding]


def rule(where: str, key: str) -> str:
    """Return a condition that holds unless `key` is said at `where`; what leads there may be left out."""
    steps = where.split(".")[1:]
    there = [f"has({'.'.join(['object', *steps[: number + 1]])})" for number in range(len(steps))]
    return f"!({' && '.join([*there, f'has({where}.{key})'])})"


def short(where: str) -> str:
    """Return the place as the object's author knows it."""
    return where.removeprefix("object.") + "."

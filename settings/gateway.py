"""The gateway that a cluster has once: the names that stacks and the cluster's program agree on, and what the controller is told."""

import hashlib

from settings.types import Count, Image, Model, Resources

GATEWAY_NAMESPACE = "switchyard-gateway"
"""The namespace of the controller and of all Envoys that it makes: the program in cluster/ makes it."""
GATEWAY_CLASS = "switchyard"
"""The GatewayClass that the controller serves. A stack's Gateway names it."""
CONTROLLER_NAME = "gateway.envoyproxy.io/gatewayclass-controller"
"""What a GatewayClass names the controller by."""
ENVOY_GATEWAY = f"{CONTROLLER_NAME.partition('/')[0]}/"
"""How the names of all Envoy Gateways' controllers begin."""
CONTROLLER = "envoy-gateway"
"""The controller's Deployment, Service and ServiceAccount. Envoys look for the Service by this name, which is not to be chosen."""
GATEWAY_LABEL = "switchyard.dev/gateway"
"""Label of a stack's namespace with the class that serves its Gateway: the controller passes over Gateways and routes anywhere else."""
PROXY_LABELS = {"app.kubernetes.io/name": "envoy", "app.kubernetes.io/component": "proxy"}
"""Labels of every Envoy that the controller makes."""
LISTENERS = (10080, 10443)
"""Where an Envoy listens for a Gateway's ports 80 and 443: below 1024 it adds 10000."""
METRICS = 19001
"""Where each controller tells its own metrics."""
EDGE = "edge"
"""What every stack calls its Gateway."""
OWNING_NAMESPACE = "gateway.envoyproxy.io/owning-gateway-namespace"
"""Label of an Envoy: the namespace of the Gateway that it serves."""


def foreign(controller: str) -> str | None:
    """Return why the controller of a GatewayClass does not do; None: it is an Envoy Gateway.

    A stack's limits, and whom it believes about addresses, are said in Envoy Gateway's own words: another one would pass them over.
    """
    if controller.startswith(ENVOY_GATEWAY):
        return None
    return f"is served by {controller}, which does not know what the stack says of limits and addresses"


def proxies_service(namespace: str, gateway: str) -> str:
    """Return the Service of the proxies of a stack's Gateway, as Envoy Gateway calls it: in its own namespace, and not to be chosen."""
    owner = f"{namespace}/{gateway}"
    return f"envoy-{owner.replace('/', '-')[:48].removesuffix('-')}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


class Gateway(Model):
    """Envoy Gateway, which makes an Envoy of its own for each stack's Gateway."""

    image: Image = "envoy-gateway"
    """The controller's image, with a digest; `up` refuses one without."""
    proxy: Image = "envoy"
    """The image of an Envoy whose stack names none, with a digest."""
    replicas: Count = 2
    """Controllers: one works, the other takes over within 15 s. Without any, Envoys go on with what they know."""
    resources: Resources = Resources(cpu="100m", memory="256Mi", scratch="64Mi")
    """What each controller asks for; 60 MiB were seen with one stack."""
    node_ports: bool = True
    """Whether each load balancer has a port on every node as well: most clouds' balancers dial it. False where yours do not."""
    always: bool = False
    """Whether it is there also while no stack has a Gateway. The sandbox keeps it from one stack to the next."""
    definitions: bool = True
    """Whether the kinds of the Gateway API and of Envoy Gateway are installed; false where the cluster's provider does it."""

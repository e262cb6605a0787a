"""Where a component stands: the namespace, labels and images of its stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from settings.stack import Cluster, Images, Settings
from settings.types import Placement, Resources

CLIENT_LABEL = "switchyard.dev/client-of-"
"""Prefix of the label that a pod carries for each service it may reach; network policies select by it."""


@dataclass(frozen=True)
class Site:
    """What a component must know of the stack it stands in, and nothing else of it."""

    product: str
    stack: str
    tier: str
    namespace: str
    owner: str
    """The value of STACK_LABEL on this stack's namespace."""
    images: Images
    cluster: Cluster
    """Where its API server, DNS and volumes are."""
    placement: Placement = field(default_factory=Placement)
    """Onto which nodes pods go whose component does not say."""
    pull_secrets: tuple[pulumi.Input[str], ...] = ()
    """Names of the Secrets that images are pulled with."""
    installed: str | None = None
    """The installation that the namespace carries in the cluster, as it was found before anything was registered."""
    protect: bool = True
    """Whether the engine refuses to delete or replace what keeps data."""
    unprotected: tuple[str, ...] = ()
    """Resources that may be deleted or replaced all the same, by their Pulumi name."""
    volume_exporter: Resources | None = None
    """What the container asks for that tells the free space of a pod's volume; None: nobody would ask it."""
    home: pulumi.Input[str] = ""
    """The namespace's name again, as the made Namespace tells it: what takes it is made after the namespace."""

    @classmethod
    def of(cls, settings: Settings, stack: str) -> "Site":
        """Return the site that `settings` describe for the stack called `stack`."""
        return cls(
            product=settings.product,
            stack=stack,
            tier=settings.tier,
            namespace=settings.namespace_of(stack),
            owner=settings.owner_of(stack),
            images=settings.images,
            cluster=settings.cluster,
            pull_secrets=tuple(settings.images.pull_secrets),
            placement=settings.placement,
            protect=settings.protect,
            unprotected=tuple(settings.unprotected),
            volume_exporter=settings.metrics.volumes if settings.metrics.where == "cluster" else None,
        )

    def selector(self, component: str) -> dict[str, str]:
        """Return the labels that pods of `component` are selected by; they never change."""
        return {"app.kubernetes.io/name": self.product, "app.kubernetes.io/component": component}

    def labels(self, component: str) -> dict[str, str]:
        """Return the labels of every object of `component`."""
        own = {"app.kubernetes.io/instance": self.stack, "app.kubernetes.io/managed-by": "pulumi"}
        return self.selector(component) | own

    def keeping(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
        """Return `opts` for the resource called `name`, which keeps data or can not be made again: the engine refuses to delete it."""
        protect = self.protect and name not in self.unprotected
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=protect))

    def image(self, name: str) -> str:
        """Return the reference of the image called `name`."""
        return self.images.reference(name)


@dataclass(frozen=True)
class Secrets:
    """The secrets that a human set, by name."""

    values: Mapping[str, pulumi.Output[str]]
    fingerprints: Mapping[str, str]
    """For each, a short digest that changes with the value and does not tell it."""

    def value(self, name: str) -> pulumi.Output[str]:
        """Return a secret; a preview without it goes on with a placeholder, because `up` refuses earlier."""
        return self.values.get(name) or pulumi.Output.secret("missing")

    def fingerprint(self, name: str) -> str:
        """Return the digest of a secret."""
        return self.fingerprints.get(name, "missing")

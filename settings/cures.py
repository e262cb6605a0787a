"""The commands that give a stack what it lacks, each worded in one place: the engine's program says them, and `sy`."""

from dataclasses import dataclass

DEMO = "lamp"
"""The demo product's image: ours, as those of the backing services are. Any other image of an app is made by somebody else."""


@dataclass(frozen=True)
class Cures:
    """What a human runs for one stack."""

    stack: str
    app: str
    """The name of its app's image, as `app.image` says it."""
    program: str = "pulumi"
    """What sets its secrets; of a stack on the sandbox only `./sy pulumi` knows where they are kept."""

    def no_cluster(self) -> str:
        """Return a sentence for a stack that does not say how its cluster is reached."""
        trial = f"./sy fork {self.stack} trial --domain HOST --cluster sandbox"
        return f"cluster.context is not set: name the kubeconfig context of its cluster; or try it on this machine: `{trial}`"

    def set_secret(self, name: str) -> str:
        """Return the command that sets a secret."""
        return f"{self.program} -s {self.stack} config set --secret {name}"

    def missing(self, name: str) -> str:
        """Return a sentence for a secret that is not set."""
        return f"secret {name} is missing: set it with `{self.set_secret(name)}`"

    def nobody_told(self) -> str:
        """Return a sentence for a production stack whose critical alerts would reach nobody."""
        example = "alerts: {receivers: {on-call: {webhook: {url_secret: ALERTS_WEBHOOK_URL}}}, critical: [on-call]}"
        return (
            "alerts.critical names no receiver, and nobody would be told when the product is away: say who is in "
            f"Pulumi.{self.stack}.yaml, such as `switchyard:{example}`, then run `{self.set_secret('ALERTS_WEBHOOK_URL')}`"
        )

    def unknown_authority(self) -> str:
        """Return a sentence for a production stack that shows browsers a certificate of its own authority."""
        return (
            "edge.certificate is signed by the stack's own authority, and no browser knows that one: name the cluster's issuer in "
            f"Pulumi.{self.stack}.yaml, such as `switchyard:edge: {{certificate: {{by: issuer, annotations: "
            "{cert-manager.io/cluster-issuer: letsencrypt}}}`, or give a certificate (docs/components/edge.md)"
        )

    def is_own(self, image: str) -> bool:
        """Say whether an image is the app's own, which `./sy images` neither builds nor copies."""
        return image == self.app and image != DEMO

    def pin(self, image: str) -> str:
        """Return the command that gives an image its digest."""
        if not self.is_own(image):
            return f"./sy images pin {image} -s {self.stack}"
        if "/" in image:
            # A reference that stands for itself: what is pinned is known by a name.
            return f"./sy deploy {self.stack} {_reference(image)}"
        return f"./sy images pin {image}={_reference(image)} -s {self.stack}"

    def loose(self, image: str) -> str:
        """Return a sentence for an image without a digest."""
        return f"image {image} has no digest: pin it with `{self.pin(image)}`"

    def copy(self, image: str) -> str:
        """Return what to do about an image that its registry does not have."""
        if not self.is_own(image):
            return f"copy it there with `./sy images push {image} -s {self.stack}`"
        return f"push it there as your app is built, or name one that is there: `./sy deploy {self.stack} {_reference(image)}`"


def _reference(image: str) -> str:
    """Return what an app's image is pinned to, with its digest and perhaps its registry left to be filled in."""
    folder, _, name = image.partition("@")[0].rpartition("/")
    return f"{folder or 'REGISTRY'}/{name.partition(':')[0]}@sha256:…"

"""Generated passwords, by generation: the next one is made while the one before it is still accepted."""

import pulumi
import pulumi_random

from settings.backing import Backing


def password(name: str, generation: int, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Make the password of one generation: 32 letters and digits, which need no quoting in an address or a file.

    Each generation is a resource of its own, so that the one before stays known while its clients move on.
    """
    made = pulumi_random.RandomPassword(f"{name}-{generation}", length=32, special=False, keepers={"rotation": str(generation)}, opts=opts)
    return pulumi.Output.secret(made.result)


def of_generation(name: str, generation: int) -> str:
    """Return the name of something that each generation has of its own, the first without a number; of resources the Pulumi name.

    A replaced resource would not come back: after a failed update that is taken back, the objects named after the first generation
    would get another value, and pods that never restarted would not know it.
    """
    return name if generation == 1 else f"{name}-{generation}"


def account(role: str, generation: int) -> str:
    """Return the user name of a role, where each generation of passwords has users of its own: app, then app-2.

    So whoever still knows the generation before gets in as well, at a server that keeps one password for a user.
    """
    return of_generation(role, generation)


def accepted(name: str, args: Backing, opts: pulumi.ResourceOptions) -> list[pulumi.Output[str]]:
    """Make the passwords that a server lets in: the current one, then the one before it, unless it is revoked."""
    return [password(name, generation, opts) for generation in args.accepted]

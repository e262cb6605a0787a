"""Whose a namespace is: the labels that say so, and what is said when it is somebody else's."""

from collections.abc import Mapping

STACK_LABEL = "switchyard.dev/stack"
"""Label of the namespace that says whose it is: `<product>.<stack>`."""
INSTALLATION_LABEL = "switchyard.dev/installation"
"""Label of the namespace with a random number out of the stack's state: two states can not both own a namespace."""


def foreign(labels: Mapping[str, str] | None, owner: str, namespace: str, cluster: str) -> str | None:
    """Return why `owner`, `<product>.<stack>`, can not have a namespace with these labels on the cluster of that identifier.

    None: it can. No labels at all, None, is no namespace yet.
    """
    if labels is None or labels.get(STACK_LABEL) == owner:
        return None
    holder = labels.get(STACK_LABEL)
    whose = f"belongs to the stack {holder}" if holder else "was made by somebody else"
    stack = owner.partition(".")[2]
    return f"namespace {namespace} on cluster {cluster} {whose}: name another one as switchyard:namespace in Pulumi.{stack}.yaml"


def other_state(holder: str | None, installation: str, namespace: str, cluster: str) -> str | None:
    """Return why the state with the number `installation` can not have a namespace that carries `holder`'s; None: it can.

    Two states of one stack's name are two people who do not see each other's resources, or one who has lost a state.
    """
    if holder is None or holder == installation:
        return None
    return (
        f"namespace {namespace} on cluster {cluster} was made out of another state of this stack (installation {holder}, "
        f"and this state is {installation}): log in to the backend that has that state, with `pulumi login`. "
        "If it is lost, bring it back from a copy of the backend: this one knows none of its passwords"
    )

"""Why a fork can not be made: a name or a domain that does not do, or that somebody has. Each reason is a sentence."""

import re
from collections.abc import Iterator
from pathlib import Path

from cli import kubectl, machine, sandbox
from cli.engine import Engine, state_file
from cli.environment import Workspace, local_workspace, logged_in, own_workspace
from cli.errors import FailedError
from cli.fork_file import Wish, host_names
from cli.kubectl import Kubectl
from cli.stack import names
from settings import SettingsError
from settings.loader import read_stack_file
from settings.stack import Cluster
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL = 63
"""Characters that a namespace's name and the value of a label may have."""
COMMON_NAME = 64
"""Characters that a name in a certificate may have; that of the stack's authority is `<product>.<stack> devices`."""
HOST_NAME = 253
"""Characters that a host name may have."""


def of_name(wish: Wish, root: Path = ROOT) -> Iterator[str]:
    """Yield what speaks against the name as such."""
    if not NAME.fullmatch(wish.name):
        yield f"{wish.name!r} is no DNS label: a stack's name is in its namespace's; take a-z, 0-9 and '-', beginning with a letter"
        return
    if wish.name in names(root):
        yield f"stack {wish.name} is there already: Pulumi.{wish.name}.yaml"
    room = min(LABEL - len(wish.namespace), COMMON_NAME - len(f"{wish.owner} devices"))
    if room < 0:
        yield (
            f"{wish.name!r} is {-room} characters too long: namespace {wish.namespace} may have {LABEL}, "
            f"and {wish.owner} devices, whose certificate lamps trust, {COMMON_NAME}"
        )


def of_domain(wish: Wish, root: Path = ROOT) -> Iterator[str]:
    """Yield what speaks against the domain, other stacks' host names among it."""
    if not HOST.fullmatch(wish.domain):
        yield f"{wish.domain!r} is no host name: take one such as lamps.bright-homes.example, without scheme and path"
        return
    mqtt = f"mqtt.{wish.domain}"
    if len(mqtt) > HOST_NAME:
        yield f"{wish.domain} is too long: devices dial mqtt.{wish.domain[:20]}…, which may have {HOST_NAME} characters"
    for other in names(root):
        # A stack whose settings are wrong has its host names all the same.
        try:
            said, _ = read_stack_file(root / f"Pulumi.{other}.yaml")
        except SettingsError:
            continue
        if shared := sorted({wish.domain, mqtt} & host_names(said)):
            yield f"{shared[0]} is stack {other}'s: no two stacks share a host name; choose another --domain"


def taken(wish: Wish, progress: Progress) -> list[str]:
    """Return who has the name already: a state, or a namespace on the cluster, as far as these can be asked."""
    return [*_in_a_state(wish, progress), *_on_the_cluster(wish, progress)]


def _in_a_state(wish: Wish, progress: Progress) -> Iterator[str]:
    local = local_workspace()
    undo = f"remove what is left of it: ./sy fork --remove {wish.name}"
    if wish.on_sandbox:
        left = state_file(local.backend, wish.name).is_file() or (local.stacks / f"Pulumi.{wish.name}.yaml").is_file()
        if left:
            yield f"the sandbox's state on this machine has a stack {wish.name}, whose file is gone: {undo}"
    elif not logged_in():
        progress.say(f"Pulumi is not logged in: no backend was asked whether it has a stack {wish.name}")
    elif engine_of(wish.name, own_workspace(), progress).exists():
        yield f"your backend has a stack {wish.name}, whose file is not here: get it from who made it, or {undo}"


def engine_of(name: str, workspace: Workspace, progress: Progress) -> Engine:
    """Return the engine for a stack of which there may be nothing but its state."""
    workspace.prepare()
    programs = machine.ensure(machine.ENGINE, progress)
    folder = workspace.stacks if workspace.local else ROOT
    return Engine(programs.engine, name, folder / f"Pulumi.{name}.yaml", workspace, workspace.variables(programs.toolchain))


def _on_the_cluster(wish: Wish, progress: Progress) -> Iterator[str]:
    cluster = _cluster(wish)
    if cluster is None:
        return
    try:
        labels = Kubectl(kubectl.find(machine.find_built("kubectl")), cluster, wish.namespace).namespace_labels()
    except (UserError, FailedError) as error:
        progress.say(f"cluster {cluster.identifier} could not be asked whether it has a namespace {wish.namespace}: {error}")
        return
    if labels is not None:
        owner = labels.get("switchyard.dev/stack")
        whose = f"it belongs to stack {owner}" if owner else "somebody else made it"
        yield f"cluster {cluster.identifier} has a namespace {wish.namespace} already ({whose}): choose another name"


def _cluster(wish: Wish) -> Cluster | None:
    """Return the cluster that the fork will stand on, if it can be asked."""
    if not wish.on_sandbox:
        return wish.source.settings.cluster if wish.source.settings.cluster.context else None
    there = sandbox.opened()
    if not there.kubeconfig.is_file():
        return None
    return wish.source.settings.cluster.model_copy(update={"kubeconfig": str(there.kubeconfig), "context": there.context})

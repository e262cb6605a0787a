"""`sy cluster`: what belongs to a cluster and not to a stack: the collector of lines, the gateway, who reads the kubelets' figures."""

import click

from cli import cluster_target, console
from cli.cluster_target import ClusterTarget
from cli.errors import FAILED
from cli.kubectl import Kubectl
from cli.stack import Stack
from cli.target import stack_option
from settings.clusters import has_gateway, outage_seconds
from settings.gateway import GATEWAY_CLASS
from tools.errors import UserError
from tools.progress import Progress

AGAIN = "Mend that and run the same command again: ./sy cluster up"
RATES = (1, 10, 100)
"""KiB a second that a container may write, for which `status` says how long its lines can wait."""


@click.group()
def cluster() -> None:
    r"""What belongs to a cluster and not to a stack: the collector that sends each stack's lines to its Loki, and the gateway's controller.

    A cluster is named by any of its stacks. Which stacks it serves is in their files: those whose cluster.identifier is the same, and who
    keep logs or have a Gateway. Run `up` before the first Gateway, after a fork, or when a stack is gone. On the sandbox that is a part of
    bringing a stack up and destroying it.

    \b
    ./sy cluster preview -s production
    ./sy cluster up -s production
    ./sy cluster status -s production     whose lines are sent, and how long a Loki may be away
    """


@cluster.command()
@stack_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def up(name: str, yes: bool) -> None:
    """Bring it up, or change what differs, after showing what that is."""
    progress = Progress()
    target = reached(name, progress)
    if target.on_sandbox:
        refresh(target.kubectl, progress, required=True)
    else:
        progress.close()
        target.engine.ensure_stack()
        if not yes:
            if target.engine.run(target.engine.preview_argv(), to_stdout=True):
                raise UserError("the preview failed, so nothing was changed: the reason is above")
            console.confirm(f"Change what cluster {target.identifier} has once?", yes)
        progress = Progress()
        change(target, progress)
    progress.close()
    console.result(f"cluster {target.identifier} sends the lines of {_listed(target.standing().namespaces)}{_served(target)}")


@cluster.command()
@stack_option
def preview(name: str) -> None:
    """Show what `up` would do."""
    progress = Progress()
    target = cluster_target.opened(name, progress)
    target.engine.ensure_stack()
    progress.close()
    raise SystemExit(target.engine.run(target.engine.preview_argv(), to_stdout=True))


@cluster.command()
@stack_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(name: str, yes: bool) -> None:
    """Remove it: lines stay in the nodes' files from then on, and are lost as the kubelets turn those over.

    Refused while a stack has a Gateway that would serve nobody afterwards.
    """
    progress = Progress()
    target = reached(name, progress)
    progress.close()
    if not target.engine.exists() or not target.engine.held():
        raise UserError(f"cluster {target.identifier} has nothing to destroy: ./sy cluster up -s {name} has not been run")
    found = target.standing()
    if found.controller and (served := cluster_target.with_gateways(target.kubectl)):
        raise UserError(
            f"{_listed(served)} would be cut off: the gateway of cluster {target.identifier} serves their Gateways. Destroy these stacks "
            "first, or bring them up with edge: {where: none}"
        )
    console.confirm(f"Stop sending the lines of {_listed(found.namespaces)} on cluster {target.identifier}?", yes)
    target.engine.recover()
    target.engine.must(target.engine.destroy_argv(), "Mend that and run the same command again.")
    console.result(f"what cluster {target.identifier} had once is destroyed; queues and offsets are left in a folder of each node")


@cluster.command()
@stack_option
def status(name: str) -> None:
    """Say whose lines are sent, how long a Loki may be away, and whether Gateways are served; exit code 0 when all is as it should be."""
    progress = Progress()
    target = reached(name, progress)
    found, files = target.standing(), target.log_files()
    progress.close()
    unserved = target.settings.serves(target.routes) and not found.serves
    if found.controller or unserved:
        state = (
            f"has no controller that is ready: ./sy cluster up -s {name}" if unserved else "serves the Gateways of every stack that asks"
        )
        console.heading(f"The gateway of cluster {target.identifier} {state}.")
    if found.collector is None:
        if not any(route.loki for route in target.routes):
            raise SystemExit(FAILED if unserved else 0)
        console.result(f"cluster {target.identifier} has no log collector: ./sy cluster up -s {name}")
        raise SystemExit(FAILED)
    ready, wanted = found.nodes
    console.heading(f"The log collector of cluster {target.identifier} is ready on {ready} of {wanted} nodes.")
    away = cluster_target.missing(target, found)
    gone = sorted(set(found.namespaces) - {route.namespace for route in target.routes})
    rows = [(route.namespace, f"to the Loki of {route.loki}") for route in target.routes if route.namespace in found.namespaces]
    rows += [(namespace, f"is not sent yet: ./sy cluster up -s {name}") for namespace in away]
    console.table([*rows, *((namespace, f"has no stack any more: ./sy cluster up -s {name}") for namespace in gone)])
    console.heading("A Loki may be away before lines are lost for, when a container writes")
    queue = target.settings.queue
    console.table([(f"{rate} KiB/s", _duration(outage_seconds(files, queue, rate * 1024))) for rate in RATES])
    console.result(
        f"  ({queue} wait in a queue on the node, for each component; then the kubelet's {files.count} files of {files.size} a container)"
    )
    if away or gone or unserved or not found.ready:
        raise SystemExit(FAILED)


def reached(name: str, progress: Progress) -> ClusterTarget:
    """Return the cluster of a stack; UserError when it does not answer."""
    target = cluster_target.opened(name, progress)
    target.kubectl.check_reachable()
    return target


def change(target: ClusterTarget, progress: Progress) -> None:
    """Let the engine create and change what differs, and wait until every node has its collector."""
    engine = target.engine
    engine.ensure_stack()
    if engine.recover():
        engine.must(engine.forget_pending_argv(), AGAIN)
    with progress.step(f"bringing up what cluster {target.identifier} has once"):
        engine.must(engine.up_argv(skip_preview=True), AGAIN)
    target.wait_ready(progress)


def refresh(client: Kubectl, progress: Progress, *, required: bool, gateway: bool = False) -> None:
    """Let the sandbox's collector send the lines of all stacks that stand there now; nothing is run when it does already.

    Unless `required`, nothing is done either where there is no collector, or no image for it on this machine. `gateway`: also have the
    controller there that a Gateway needs, before the first is made.
    """
    with cluster_target.locked():
        if not (required or gateway) and not (_stands(client) and cluster_target.sandbox_image(cluster_target.IMAGE)):
            return
        target = cluster_target.on_sandbox(client, progress, gateway=gateway)
        if target.standing().digest != target.settings.digest:
            change(target, progress)
        else:
            target.wait_ready(progress)


def command_for(stack: Stack) -> str | None:
    """Return the command that brings the routes of a stack's cluster into step; None where there is nothing to do."""
    if stack.on_sandbox:
        return None
    said = stack.settings
    wanted = said.logs.where != "none" or (said.metrics.where == "cluster" and said.metrics.kubelet) or has_gateway(said)
    return f"./sy cluster up -s {stack.name}" if wanted else None


def remind(stack: Stack) -> None:
    """Say the command after a stack elsewhere was brought up."""
    if command := command_for(stack):
        console.note(f"what the cluster has once must know the stack, or nobody sends its lines to Loki: {command}")


def _stands(client: Kubectl) -> bool:
    found = client.get("daemonsets", "--all-namespaces", "--selector", "app.kubernetes.io/component=collector")
    return bool(found.get("items"))


def _served(target: ClusterTarget) -> str:
    return f", and serves Gateways of the class {GATEWAY_CLASS}" if target.settings.serves(target.routes) else ""


def _listed(namespaces: list[str]) -> str:
    return ", ".join(namespaces) or "no stack"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"

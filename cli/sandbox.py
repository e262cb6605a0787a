"""`sy sandbox`: the embedded cluster."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import click

from cli import checks, console, images, machine
from cli.environment import local_workspace
from cli.machine import AlreadyBuilt, Programs
from cli.stack import Embedded
from sandbox import layout
from sandbox.cluster import Sandbox
from tools import toolchain
from tools.paths import state_dir
from tools.progress import Progress

OWN_IMAGES = ("pause", "coredns")
"""Images that the cluster itself runs."""
MIB = 1 << 20

nodes_option = click.option(
    "--nodes",
    type=click.IntRange(1, layout.MAX_NODES),
    help="How many nodes the sandbox has; as many as last time, at first 1.",
)


@dataclass(frozen=True)
class Started:
    """A sandbox that is up, with the programs and images it was started with."""

    sandbox: Sandbox
    programs: Programs
    references: Mapping[str, str]
    """Image name -> reference with digest in the sandbox's registry."""

    def embedded(self, names: Iterable[str]) -> Embedded:
        """Return what the sandbox adds to the settings of a stack that runs the images `names`."""
        return Embedded(
            kubeconfig=self.sandbox.kubeconfig,
            context=self.sandbox.context,
            api_server=(f"{layout.HOST}/32",),
            ranges=(layout.NETWORK,),
            registry=images.SANDBOX_REGISTRY,
            pinned={name: self.references[name] for name in sorted(names) if name in self.references},
        )


def opened() -> Sandbox:
    """Return the sandbox of this machine, to look at it or to stop it; nothing is built for that."""
    return Sandbox(state_dir(), AlreadyBuilt())


def start(nodes: int | None, names: Iterable[str], progress: Progress) -> Started:
    """Build what is missing, then bring up registry and sandbox; `names` are the images that will run on it."""
    checks.require_root()
    wanted = [*OWN_IMAGES, *names]
    checks.require_room(room_gib(wanted))
    programs, built = images.build_all(wanted, progress)
    sandbox = Sandbox(state_dir(), programs.built)
    sandbox.registry_up(progress)
    references = images.push_all(built, images.sandbox_registry(programs), progress)
    sandbox.up(nodes, progress, layout.Images(pause=references["pause"], coredns=references["coredns"]))
    return Started(sandbox, programs, references)


def room_gib(names: Iterable[str]) -> float:
    """Return the room in GiB that is needed on the disk for what is not built yet."""
    return toolchain.room_gib(machine.EVERYTHING) + (checks.IMAGES_GIB if images.missing(names) else 0.5)


@click.group()
def sandbox() -> None:
    """The embedded cluster: a real Kubernetes of one to three nodes on this machine. Needs root."""


@sandbox.command()
@nodes_option
def up(nodes: int | None) -> None:
    """Start it, without a stack on it."""
    progress = Progress()
    started = start(nodes, [], progress)
    progress.close()
    console.result(f"the sandbox is up: kubectl --kubeconfig {started.sandbox.kubeconfig} get nodes")


@sandbox.command()
def down() -> None:
    """Stop it; all that is on it stays on the disk, and `sy up` starts it again."""
    checks.require_root()
    progress = Progress()
    opened().down(progress)
    progress.close()
    console.result("the sandbox is stopped; its data is kept: `./sy up` goes on with it, `./sy sandbox reset` deletes it")


@sandbox.command()
def status() -> None:
    """Say what runs; exit code 0 when all of it does."""
    found = opened().status()
    if not found.exists:
        console.result("there is no sandbox yet: `./sy up` makes one")
        raise SystemExit(1)
    console.heading(f"the sandbox is {'up' if found.up else 'partly up' if found.running else 'stopped'}")
    console.table([(node.name, node.address, "ready" if node.ready else "not ready") for node in found.nodes])
    console.table(
        [
            (process.name, str(process.pid or "-"), f"{process.memory / MIB:.0f} MiB" if process.pid else "ended")
            for process in found.processes
        ]
    )
    if not found.up:
        raise SystemExit(1)


@sandbox.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop it and delete it: its objects, volumes and images, and the state of all stacks on it."""
    checks.require_root()
    console.confirm(f"This deletes the sandbox in {state_dir()} with all data of all stacks on it.", yes)
    progress = Progress()
    # The stacks' state first: with it but without the cluster, the engine would look for objects that are gone.
    remove_stacks()
    opened().reset(progress)
    progress.close()
    console.result("the sandbox is deleted; what was built for it is kept: `./sy up` makes a new one")


def remove_stacks() -> None:
    """Delete the state of all stacks on the sandbox."""
    workspace = local_workspace()
    for folder in (workspace.backend, workspace.stacks):
        shutil.rmtree(folder, ignore_errors=True)

"""`sy images`: what the stacks run, built once and copied to where clusters pull from."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from cli import checks, console, machine
from cli.engine import Engine
from cli.machine import Programs
from cli.stack import Stack
from cli.target import existing, stack_option
from images import catalog, pin, push
from images.build import Builder
from images.catalog import Built
from images.push import Registry
from sandbox import layout
from settings.loader import PROJECT
from tools.errors import UserError
from tools.progress import Progress

IMAGES = ("images",)
"""The group of programs that images are made of and pushed with."""
MIB = 1 << 20
SANDBOX_REGISTRY = f"{layout.REGISTRY}/switchyard"
"""The folder of the sandbox's registry that our images are in."""

names_argument = click.argument("names", nargs=-1, metavar="[NAMES]")


def build_all(names: Iterable[str], progress: Progress, groups: Sequence[str] = machine.EVERYTHING) -> tuple[Programs, dict[str, Built]]:
    """Build the toolchain and, beside it, the images; those that carry programs of the toolchain come last."""
    known = [name for name in dict.fromkeys(names) if name in catalog.names()]
    late = [name for name in known if catalog.spec(name).programs]
    builder = Builder(None, progress)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(builder.build, [name for name in known if name not in late])
        try:
            programs = machine.ensure(groups, progress)
            built = early.result()
        except BaseException:
            # Ctrl-C comes to this thread alone; the images' builds have to be told.
            builder.stop()
            raise
    return programs, built | Builder(programs.built, progress).build(late)


def push_all(built: Mapping[str, Built], registry: Registry, progress: Progress) -> dict[str, str]:
    """Copy images to a registry, side by side; return name -> reference with digest."""
    with progress.step(f"pushing {len(built)} images"), ThreadPoolExecutor(4) as pool:
        return dict(zip(built, pool.map(registry.push, built.values()), strict=True))


def missing(names: Iterable[str]) -> list[str]:
    """Return the images that are not built yet as described now."""
    return [name for name in names if name in catalog.names() and not found(name)]


def found(name: str) -> Built | None:
    """Return an image if it is built as described now; one that carries programs is not before those are."""
    try:
        return catalog.built(name, machine.AlreadyBuilt())
    except UserError:
        return None


def sandbox_registry(programs: Programs) -> Registry:
    """Return the sandbox's registry."""
    return Registry(SANDBOX_REGISTRY, programs.built, plain_http=True)


def registry_of(stack: Stack, programs: Programs) -> Registry:
    """Return the registry that a stack's cluster pulls from; UserError while it is still the example."""
    if stack.on_sandbox:
        return sandbox_registry(programs)
    said = stack.settings.images.registry
    if "example.com" in said:
        raise UserError(f"Pulumi.{stack.name}.yaml: name your registry as switchyard:images.registry, such as ghcr.io/company/switchyard")
    return Registry(said, programs.built)


def wanted(names: Sequence[str], stack: Stack | None = None) -> list[str]:
    """Return the images that are meant: those named, or all of ours that the stack runs, or all there are.

    Where upstream publishes an image, ours is for the sandbox, and for whoever names it.
    """
    unknown = sorted(set(names) - set(catalog.names()))
    if foreign := [name for name in unknown if name in pin.upstream()]:
        raise UserError(f"upstream alone publishes {', '.join(foreign)}: pin it, ./sy images pin {foreign[0]} -s STACK")
    if unknown:
        raise UserError(
            f"there is no image {', '.join(unknown)} of ours; there are {', '.join(catalog.names())}. "
            f"Your own app's is pinned with its reference: ./sy images pin {unknown[0]}=ghcr.io/company/{unknown[0]}:v12 -s STACK"
        )
    ours = [name for name in catalog.names() if name not in pin.upstream()]
    every = [name for name in stack.settings.image_names() if name in ours] if stack else catalog.names()
    return list(names) or every


def pin_argv(engine: Engine, name: str, reference: str) -> list[str]:
    """Return the command line that writes an image's digest into the stack's file."""
    return [str(engine.program), "config", "set", "--path", f"{PROJECT}:images.pinned.{name}", reference, "--stack", engine.stack]


@click.group()
def images() -> None:
    """What the stacks run: built from Debian packages, the same everywhere."""


@images.command()
@names_argument
@click.option("--refresh", is_flag=True, help="Take today's versions of all Debian packages.")
def build(names: tuple[str, ...], refresh: bool) -> None:
    """Build images that are not built as described now; all of them, or those named."""
    checks.require_root()
    progress = Progress()
    chosen = wanted(names)
    programs, built = build_all([] if refresh else chosen, progress, IMAGES)
    if refresh:
        built = Builder(programs.built, progress).build(chosen, refresh=True)
    progress.close()
    console.table([(image.name, f"{image.compressed / MIB:.0f} MiB", image.digest) for image in built.values()])


@images.command("push")
@names_argument
@stack_option
def push_command(names: tuple[str, ...], name: str) -> None:
    """Copy built images to the registry of a stack. Log in to it first: crane auth login REGISTRY."""
    stack = Stack.open(name)
    chosen = wanted(names, stack)
    progress = Progress()
    programs = machine.ensure(IMAGES, progress)
    references = push.push(chosen, registry_of(stack, programs), programs.built, progress)
    progress.close()
    console.table(references.items())


@images.command("pin")
@names_argument
@stack_option
def pin_command(names: tuple[str, ...], name: str) -> None:
    """Write the digests of images into a stack's file: ours and upstream's by name, your own app's as NAME=REFERENCE.

    ./sy images pin -s staging; ./sy images pin app=ghcr.io/company/app:v12 -s staging
    """
    progress = Progress()
    target = existing(name, progress)
    if target.stack.on_sandbox:
        raise UserError(f"stack {name} is on the sandbox: `./sy up` pins its images outside the tracked files")
    own = dict(word.split("=", 1) for word in names if "=" in word)
    table = pin.upstream()
    upstream = [name for name in names or target.stack.settings.image_names() if pin.tagged(name, table)]
    named = [word for word in names if "=" not in word and word not in upstream]
    ours = wanted(named, target.stack) if named or not names else []
    programs = machine.ensure(IMAGES, progress)
    pinned = pin.pins(ours, registry_of(target.stack, programs), programs.built) if ours else {}
    pinned |= pin.upstream_pins(upstream, Registry("", programs.built)) if upstream else {}
    pinned |= {image: with_digest(reference, programs) for image, reference in own.items()}
    progress.close()
    for image, reference in pinned.items():
        target.engine.must(pin_argv(target.engine, image, reference), "Then run the same command again.")
    console.table(pinned.items())


def with_digest(reference: str, programs: Programs) -> str:
    """Return a reference with the digest that its registry has for it now."""
    if "@sha256:" in reference:
        return reference
    digest = Registry(reference.rpartition("/")[0], programs.built).digest(reference)
    if digest is None:
        raise UserError(f"{reference}: its registry does not have it")
    return f"{reference}@{digest}"


@images.command("list")
@click.option("--stack", "-s", "name", metavar="STACK", help="Show what this stack runs.")
def list_command(name: str | None) -> None:
    """List the images: what is in them and whether they are built, or what a stack runs."""
    if name:
        said = Stack.open(name).settings
        console.table([(image, said.images.reference(image)) for image in said.image_names()])
        return
    console.table([(image, _state(image), catalog.spec(image).description) for image in catalog.names()])


def _state(name: str) -> str:
    built = found(name)
    return f"{built.compressed / MIB:.0f} MiB" if built else "not built"

"""`sy doctor`: what this machine has, what will be built, and what stands in the way."""

import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from cli import checks, console, images, machine, sandbox
from cli.errors import MENDABLE
from images import artefacts, catalog, rootfs
from sandbox import host
from tools import golang, pulumi_home, toolchain
from tools.errors import UserError
from tools.paths import cache_dir, state_dir
from tools.progress import Progress

MEMORY_GIB = 5.0
"""Resident memory of control plane, one node and the whole demo stack."""
IMAGE_MINUTES = 1.0
"""One image on two cores, packages fetched from a mirror nearby."""


@dataclass
class Finding:
    """One line of the report; `blocks` is the sentence that says what to do about it, empty when nothing is wrong."""

    what: str
    found: str
    blocks: str = ""
    warns: str = ""


@dataclass
class Report:
    """All that was found."""

    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def blocks(self) -> list[str]:
        """What stands in the way of `up`, one sentence each."""
        return [finding.blocks for finding in self.findings if finding.blocks]

    @property
    def warns(self) -> list[str]:
        """What may get in the way."""
        return [finding.warns for finding in self.findings if finding.warns]


@click.command()
@click.option("--stack", "-s", "name", metavar="STACK", help="Ask this stack's cluster instead of this machine.")
@click.option("--json", "as_json", is_flag=True, help="With --stack: print the findings as JSON.")
def doctor(name: str | None, as_json: bool) -> None:
    """Say what would stand in the way of `./sy up`. Exit code 2 when something does, 0 otherwise.

    Without a stack: what this machine has, what will be built, how long that takes, and what is missing. Changes nothing.

    With one: everything about its cluster that would make `up` fail or wait, within a minute, a line each: right, wrong with
    the cure, or why it can not be known. Rights, quotas and nodes are read. Image pulls, a volume, network policies (with
    packets) and a load balancer are tried in a temporary namespace, which is deleted again, also after Ctrl-C.

    Example: ./sy doctor -s staging
    """
    if name is not None:
        about_cluster(name, as_json)
    elif as_json:
        raise UserError("--json says what a stack's cluster answered: name one with -s STACK")
    else:
        about_machine()


def about_cluster(name: str, as_json: bool) -> None:
    """Print what a stack's cluster answers."""
    from cli import preflight

    progress = Progress()
    found = preflight.report(name, progress)
    progress.close()
    if as_json:
        console.result(found.as_json())
    else:
        found.write()
    raise SystemExit(found.code)


def about_machine() -> None:
    """Print what this machine has and what it lacks."""
    report = Report([*system(), go(), disk(), packages(), own_pulumi()])
    console.heading("This machine")
    console.table([(_mark(finding), finding.what, finding.found) for finding in report.findings])
    to_build()
    where()
    for sentence in report.warns:
        console.result(f"note: {sentence}")
    if report.blocks:
        console.heading("In the way of ./sy up")
        for sentence in report.blocks:
            console.result(f"  - {sentence}")
        raise SystemExit(MENDABLE)
    console.result("Nothing is in the way: ./sy up")


def system() -> list[Finding]:
    """Look at the operating system, the user, Python, processors and memory."""
    linux = os.uname().sysname == "Linux"
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if linux else platform.platform()
    root = os.geteuid() == 0
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / checks.GIB
    little = f"the demo needs about {MEMORY_GIB:.0f} GiB of memory and this machine has {memory:.1f}" if memory < MEMORY_GIB + 1 else ""
    return [
        Finding("system", f"{name}, {os.uname().machine}", "" if linux else "the sandbox needs Linux: use a Linux virtual machine"),
        Finding("root", "yes" if root else "no", "" if root else "the sandbox needs root: run ./sy with sudo (previews need none)"),
        Finding("python", f"{platform.python_version()} ({sys.prefix})"),
        Finding("processors", str(os.cpu_count())),
        Finding("memory", f"{memory:.1f} GiB", warns=little),
    ]


def go() -> Finding:
    """Look for the Go that builds the tools; without need of it when all is built."""
    try:
        return Finding("go", golang.go_version())
    except UserError as error:
        return Finding("go", "not found or too old", blocks=str(error))


def disk() -> Finding:
    """Compare the free disk with what is needed."""
    needed, free = sandbox.room_gib(catalog.names()), checks.free_gib(cache_dir())
    short = f"{cache_dir()} needs {needed:.1f} GiB and {free:.1f} are free: make room, or set SWITCHYARD_CACHE to another disk"
    return Finding("disk", f"{free:.0f} GiB free, {needed:.1f} GiB needed at the peak", short if free < needed else "")


def packages() -> Finding:
    """Look for Debian's packages; apt-get installs what is missing during `up`."""
    missing = sorted({*host.missing_packages(), *rootfs.missing_packages(others=artefacts.HOST_PACKAGES)})
    if not missing:
        return Finding("packages", "all there")
    apt = Path("/usr/bin/apt-get").exists()
    return Finding(
        "packages",
        f"missing: {', '.join(missing)}" + ("; `up` installs them" if apt else ""),
        "" if apt else f"install {', '.join(missing)}: there is no apt-get here to do it",
        f"apt-get install {' '.join(missing)}  (`up` does it)" if apt else "",
    )


def own_pulumi() -> Finding:
    """Look for a Pulumi on PATH that can be used."""
    found = pulumi_home.inspect_pulumi()
    if found is None:
        return Finding("pulumi", "none on PATH: ours is used")
    lacks = f"lacks {', '.join(found.lacks)}: ours is used" if found.lacks else "is used"
    return Finding("pulumi", f"{found.version} at {found.path} {lacks}")


def to_build() -> None:
    """Print what is built and what will be."""
    console.heading("Programs")
    plans = toolchain.plan(machine.EVERYTHING)
    rows = [
        (", ".join(plan.programs), "built" if plan.built else f"about {plan.minutes:g} min, {plan.gib:g} GiB meanwhile") for plan in plans
    ]
    console.table(rows)
    console.heading("Images")
    missing = images.missing(catalog.names())
    console.table([(name, f"about {IMAGE_MINUTES:g} min" if name in missing else "built") for name in catalog.names()])
    minutes = sum(plan.minutes for plan in plans if not plan.built) + IMAGE_MINUTES * len(missing) / 2
    console.result(f"To build: about {minutes:.0f} min on two cores." if minutes else "Everything is built.")


def where() -> None:
    """Print the folders."""
    console.heading("Folders")
    console.table([("cache", f"{cache_dir()}  (can be deleted at any time)"), ("state", f"{state_dir()}  (deleted by ./sy sandbox reset)")])


def _mark(finding: Finding) -> str:
    return "x" if finding.blocks else "!" if finding.warns else "+"

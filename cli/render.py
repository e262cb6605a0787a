"""`sy render`: every Kubernetes object of a stack as a plain manifest, without engine and cluster."""

from pathlib import Path

import click
import yaml

from cli import console
from cli.environment import local_workspace
from cli.stack import Stack
from rendering import Rendered, render
from rendering.resources import Manifest
from tools.errors import UserError
from tools.paths import ROOT

MARK = ".rendered-by-switchyard"
"""A folder that holds this file was written by an earlier `sy render`, and may be written anew; the file lists what that wrote."""


@click.command("render")
@click.argument("name", metavar="STACK")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a file an object; default: all to stdout.",
)
def command(name: str, output: Path | None) -> None:
    r"""Print every Kubernetes object of a stack as a manifest. Needs no engine, no cluster and no passphrase.

    Secret values are replaced by <secret>, and what the stack generates is the same in every run. A stack on the sandbox is rendered
    as it was brought up last, with its images' digests.

    \b
    ./sy render production | kubectl diff -f -      what a cluster has that differs
    ./sy render production -o manifests             a file an object, for scanners
    """
    made = rendered(name)
    if output is None:
        console.result("---\n".join(text(one) for one in made.objects()).rstrip())
        return
    write(made, output)
    console.note(f"{len(made.objects())} objects of stack {name} in {output}")


def rendered(name: str) -> Rendered:
    """Return a stack rendered from the file that the engine would read; one that was never brought up from its tracked file."""
    stack = Stack.load(name)
    effective = local_workspace().stacks / stack.file.name
    return render(name, ROOT, effective if stack.on_sandbox and effective.is_file() else None)


def write(made: Rendered, folder: Path) -> None:
    """Write a file an object into `folder`, called `<kind>-<name>.yaml`, in place of what an earlier run wrote there.

    UserError when the folder has anything else in it.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise UserError(f"{folder}: there is something else in it; name an empty folder, or one that an earlier `sy render` wrote")
        # By name: somebody may have laid files of their own beside them.
        for name in (folder / MARK).read_text().split():
            (folder / Path(name).name).unlink(missing_ok=True)
    files = {f"{one['kind'].lower()}-{one['metadata']['name']}.yaml": text(one) for one in made.objects()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("".join(f"{name}\n" for name in files))
    for name, manifest in files.items():
        (folder / name).write_text(manifest)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, so that scripts and configuration files stay readable."""


def _lines(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _lines)


def text(manifest: Manifest) -> str:
    """Return a manifest as YAML."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=140)

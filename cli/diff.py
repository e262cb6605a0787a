"""`sy diff`: what differs between two stacks, whether or not it may."""

from pathlib import Path

import click

from cli import console
from cli.compared import paint, subjects
from cli.fork_file import forked_from
from cli.stack import names
from reports import text
from reports.compare import compare
from tools.errors import UserError
from tools.paths import ROOT

PRODUCTION = "production"


@click.command("diff")
@click.argument("stack", metavar="STACK")
@click.option(
    "--against", "base", metavar="BASE_STACK", help="The stack to compare with; default: what it was forked from, else production."
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def command(stack: str, base: str | None, as_json: bool) -> None:
    r"""Say what differs between two stacks, field by field. Nothing is judged: that is what `parity` does.

    Both are rendered without engine, cluster and passphrase. Names, namespaces and hosts count as the same; secret values are not compared.

    \b
    ./sy diff bright-homes                        what the fork says otherwise than its source
    ./sy diff staging --against production        what is larger where
    """
    against = base or source_of(stack)
    if against == stack:
        raise UserError(f"{stack} can not differ from itself: name another stack with --against")
    ours, theirs = subjects([against, stack])
    made = compare(ours, theirs)
    console.result(text.difference_json(made) if as_json else "\n".join(text.difference(made, paint)))


def source_of(stack: str, root: Path = ROOT) -> str:
    """Return the stack that a stack was forked from, as its file says; production when it does not, or when that is gone."""
    file = root / f"Pulumi.{stack}.yaml"
    source = forked_from(file.read_text()) if file.is_file() else ""
    return source if source in names(root) else PRODUCTION

"""`sy budget`: what stacks ask their clusters for, and what a lost node would leave."""

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

import settings
from cli import console
from cli.compared import paint
from cli.errors import FAILED
from cli.stack import config_of, names, read
from rendering import Rendered, render
from reports import budget_text
from reports.budget import shares
from reports.budget_text import Asked, Cluster
from reports.nodes import Node
from settings import SettingsError
from settings.layers import PROJECT, layers_of, merged
from settings.loader import read_stack_file
from settings.quantities import bytes_of, cores_of
from settings.stack import Budget
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

QUIET = 3
"""So many stacks are rendered within two seconds, and without a word."""
_Type: Any = click.ParamType


class Quantity(_Type):
    """A Kubernetes quantity."""

    def __init__(self, name: str, read: Any) -> None:
        """Make a type called `name` that is read by `read`."""
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; says what was expected when it is none."""
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command("budget")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option("--nodes", type=click.IntRange(1, 1000), default=3, metavar="N", help="How many equal nodes the cluster has; default 3.")
@click.option("--node-cpu", type=Quantity("cores", cores_of), metavar="CORES", help="What one node has for pods: 4 or 3800m.")
@click.option("--node-memory", type=Quantity("bytes", bytes_of), metavar="SIZE", help="What one node has for pods: 15Gi.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, in cores and bytes.")
def command(stacks: tuple[str, ...], nodes: int, node_cpu: Decimal | None, node_memory: int | None, as_json: bool) -> None:
    r"""Say what stacks ask for: requests, limits and volumes, by component and in total; all stacks by default.

    `2+1` pods are two, and one more while a release is rolled out; `(1)` is a job. `at the most` is everything rolled out at once with
    every job running, which is what `budget:` in a stack's settings is compared with.

    \b
    ./sy budget production
    ./sy budget production --nodes 3 --node-memory 15Gi --node-cpu 4     whether it survives the loss of one
    ./sy budget --json                                                   all stacks, for a script

    Exit code 1: a stack is over its budget. 2: a stack's settings can not be used; the others are told of all the same.
    """
    wanted = stacks or names()
    progress = Progress()
    with progress.step(f"rendering {len(wanted)} stacks") if len(wanted) > QUIET else nullcontext():
        told, broken = asked(wanted)
    progress.close()
    if told:
        tell(told, Cluster(nodes, Node(node_cpu, node_memory)), as_json=as_json)
    if broken:
        raise SettingsError(broken)
    if any(one.over for one in told):
        raise SystemExit(FAILED)


def tell(told: Sequence[Asked], cluster: Cluster, *, as_json: bool) -> None:
    """Print what stacks ask for, one by one and together."""
    if as_json:
        console.result(json.dumps(budget_text.as_json(told, cluster), indent=2))
    else:
        reports = [budget_text.table(one, cluster, paint) for one in told]
        reports += [budget_text.together(told)] if len(told) > 1 else []
        console.result("\n\n".join("\n".join(report) for report in reports))


def asked(stacks: Sequence[str], root: Path = ROOT) -> tuple[list[Asked], list[str]]:
    """Return what stacks ask for, and what is wrong with those that can not be used, for any reason but their budget."""
    unknown = [stack for stack in stacks if stack not in names(root)]
    if unknown:
        raise UserError(f"there is no stack {unknown[0]!r}; there is {', '.join(names(root)) or 'none'}")
    wanted = list(dict.fromkeys(stacks))
    with tempfile.TemporaryDirectory(prefix="switchyard-budget-") as folder, ThreadPoolExecutor() as pool:
        made = list(pool.map(_asked, wanted, [root] * len(wanted), [Path(folder)] * len(wanted)))
    broken = [problem for one in made if isinstance(one, SettingsError) for problem in one.problems]
    return [one for one in made if isinstance(one, Asked)], broken


def _asked(stack: str, root: Path, folder: Path) -> Asked | SettingsError:
    try:
        budget = declared(stack, root)
        objects = _rendered(stack, root, folder).objects()
    except SettingsError as error:
        return error
    return Asked(stack, shares(objects), budget, placed="nodeSelector" in json.dumps(objects))


def declared(stack: str, root: Path = ROOT) -> Budget | None:
    """Return the budget that a stack declares, whether or not it keeps it."""
    said, others = read_stack_file(root / f"Pulumi.{stack}.yaml")
    found = merged(layers_of(stack, said, root)).get("budget")
    try:
        return None if found is None else Budget.model_validate(found)
    except ValidationError:
        # It says where and what is wrong.
        settings.resolve(stack, said, others, root)
        raise


def _rendered(stack: str, root: Path, folder: Path) -> Rendered:
    """Render a stack without its budget: settings refuse one that is exceeded, and then nobody could see by what."""
    document = read(root / f"Pulumi.{stack}.yaml")
    file = folder / f"Pulumi.{stack}.yaml"
    document["config"] = {**config_of(document), f"{PROJECT}:budget": None}
    file.write_text(yaml.safe_dump(document))
    return render(stack, root, file)

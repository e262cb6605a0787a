"""`sy maintenance`: everybody is shown a page instead of the app, which is not touched."""

from typing import cast

import click

from cli import console
from cli.stack import Stack
from cli.stack_file import with_value
from cli.target import Target, existing, stack_option
from settings.loader import PROJECT
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

AGAIN = "The stack's file says again what it said before. Mend that and run the same command again."
REDIRECT = "edge-redirect"
ROUTE = ":HTTPRoute"


@click.command("maintenance")
@click.argument("state", type=click.Choice(["on", "off"]))
@stack_option
def command(state: str, name: str) -> None:
    r"""Show everybody a page (503) instead of the app, or the app again.

    Writes edge.maintenance into Pulumi.STACK.yaml and changes the routes of the stack's Gateway, nothing else: pods, their Services and the
    database stay as they are, devices go on reporting, and what else the file says waits for the next `up`. It takes seconds. Commit the
    file if it is to stay so: the next `up` does as it says. The page is edge.maintenance_page, an HTML file of this repository.

    Without sy: `pulumi config set --path switchyard:edge.maintenance true`, then `pulumi up`.

    \b
    ./sy maintenance on -s production
    ./sy maintenance off -s production
    """
    progress = Progress()
    stack = Stack.open(name)
    refuse_without_gateway(stack)
    wanted = state == "on"
    tracked = ROOT / f"Pulumi.{stack.name}.yaml"
    before = tracked.read_text()
    said = stack.settings.edge.maintenance
    if said != wanted:
        tracked.write_text(with_value(before, ["config", f"{PROJECT}:edge", "maintenance"], wanted))
    try:
        target = existing(name, progress)
        change(target, progress, state)
    except (Exception, KeyboardInterrupt):
        tracked.write_text(before)
        raise
    progress.close()
    if wanted:
        console.result(
            f"stack {name}: everybody is shown the maintenance page; the app runs on. Take it away: ./sy maintenance off -s {name}"
        )
    else:
        console.result(f"stack {name}: requests go to the app")
    if said != wanted:
        console.note(f"{tracked.name} says so now: commit it if this is to stay")


def refuse_without_gateway(stack: Stack) -> None:
    """Raise UserError for a stack that has no Gateway to answer in the app's place."""
    where = stack.settings.edge.where
    if where != "gateway":
        how = "let the Ingress controller show a page" if where == "ingress" else "whoever leads requests to it must show a page"
        raise UserError(f"stack {stack.name} has no Gateway of its own (edge.where: {where}): {how}")


def change(target: Target, progress: Progress, state: str) -> None:
    """Let the engine change the stack's routes, and only those."""
    routes = urns(cast("list[dict[str, object]]", target.engine.standing()))
    if not routes:
        raise UserError(f"stack {target.stack.name} has not been brought up with its Gateway yet: ./sy up -s {target.stack.name}")
    target.resume()
    chosen = [word for route in routes for word in ("--target", route)]
    with progress.step(f"switching maintenance of stack {target.stack.name} {state}"):
        target.engine.must([*target.engine.up_argv(skip_preview=True), *chosen], AGAIN)


def urns(standing: list[dict[str, object]]) -> list[str]:
    """Return the resources of a state that lead requests to the app."""
    found = [str(one["urn"]) for one in standing if str(one.get("type", "")).endswith(ROUTE)]
    return [urn for urn in found if not urn.rpartition("::")[2].startswith(REDIRECT)]

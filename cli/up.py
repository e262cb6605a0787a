"""`sy up`: from whatever is there to a stack that serves, and the demo's fall as the proof."""

from typing import cast

import click

from cli import checks, cluster, console, data_loss, demo, machine, queries, sandbox
from cli.cluster_target import GATEWAY_IMAGES
from cli.cluster_target import IMAGE as COLLECTOR_IMAGE
from cli.environment import local_workspace, own_workspace
from cli.errors import FailedError
from cli.stack import Stack, write_effective
from cli.target import Target, open_target, stack_option
from images import catalog
from settings.clusters import has_gateway
from settings.references import is_address
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

AGAIN = "Mend that and run the same command again: it goes on from there. Look with: ./sy kubectl get pods,events"


@click.command()
@stack_option
@sandbox.nodes_option
@click.option("--yes", is_flag=True, help="Do not ask before a stack outside the sandbox is changed.")
@data_loss.allow_option
def up(name: str, nodes: int | None, yes: bool, allowed: str | None) -> None:
    """Bring a stack up: set up what is missing, create or change it, and wait until it serves.

    Without -s that is the sandbox: the whole demo product on this machine, ending with a fall sent over MQTT and its
    alert read back. Other stacks are previewed first, and changed when you agree.

    A change that would delete or replace a namespace, a StatefulSet or a volume, or that drops a queue with messages in
    it, is refused unless --allow-data-loss names the stack: ./sy up -s staging --allow-data-loss staging
    """
    data_loss.refuse_other(name, allowed)
    progress = Progress()
    stack = Stack.open(name)
    if nodes and not stack.on_sandbox:
        raise UserError(f"--nodes is for the sandbox, and stack {name} names a cluster of its own or is no sandbox stack")
    target = opened(stack, nodes, progress)
    guarded(target, progress, yes=yes, allowed=allowed)
    if stack.on_sandbox:
        cluster.refresh(target.reached(), progress, required=stack.settings.logs.where != "none")
    target.reached().wait_ready(progress)
    outputs = target.openable()
    told = None
    if demo.applies(stack) and stack.on_sandbox:
        told = demo.fall(demo.of_outputs(outputs, target.config_values()), progress)
    progress.close()
    summary(target, outputs, told)
    cluster.remind(stack)


def opened(stack: Stack, nodes: int | None, progress: Progress) -> Target:
    """Check and set up everything that a stack needs before it is changed, and return it."""
    queries.refuse_unparsed(stack.settings, progress)
    return on_sandbox(stack, nodes, progress) if stack.on_sandbox else on_own_cluster(stack, progress)


def on_sandbox(stack: Stack, nodes: int | None, progress: Progress) -> Target:
    """Start the sandbox with the images of the stack, and return the stack with its effective file."""
    checks.refuse_missing_secrets(stack)
    checks.refuse_far_images(stack)
    wanted = [name for name in stack.settings.image_names() if name in catalog.names()]
    collector = [COLLECTOR_IMAGE] if stack.settings.logs.where != "none" else []
    gateway = list(GATEWAY_IMAGES.values()) if has_gateway(stack.settings) else []
    started = sandbox.start(nodes, [*wanted, *collector, *gateway], progress)
    workspace = local_workspace()
    workspace.prepare()
    path = write_effective(stack, workspace.stacks, started.embedded(wanted).config())
    stack = Stack.load(stack.name, path)
    checks.refuse_lacks(stack)
    target = open_target(stack, started.programs, workspace)
    _reachable(target, stack)
    if gateway:
        # A Gateway is ready once a controller has given it an address.
        cluster.refresh(target.reached(), progress, required=False, gateway=True)
    return target


def on_own_cluster(stack: Stack, progress: Progress) -> Target:
    """Check everything that a stack on a cluster of its own needs, and return it."""
    checks.refuse_lacks(stack)
    checks.require_login(stack)
    target = open_target(stack, machine.ensure(machine.ENGINE, progress), own_workspace())
    with progress.step("checking the cluster and the images"):
        _reachable(target, stack)
    return target


def _reachable(target: Target, stack: Stack) -> None:
    """Raise UserError when the cluster does not answer, the namespace is somebody else's or an image can not be pulled."""
    checks.all_of(
        lambda: checks.check_cluster(target.reached(), stack),
        lambda: checks.check_images(stack, machine.find("crane")),
    )


def guarded(target: Target, progress: Progress, *, yes: bool, allowed: str | None = None) -> None:
    """Change the stack, unless that would lose data that `allowed` does not give up; outside the sandbox a person agrees to it first."""
    target.engine.ensure_stack()
    target.resume()
    found = data_loss.guard(target, allowed, yes, progress)
    # Losses have been agreed to by name; the engine would refuse to preview them before they are let go.
    if not (found or target.stack.on_sandbox or yes):
        agree(target)
    with data_loss.allowing(target, found) as let:
        change(let, progress)


def agree(target: Target) -> None:
    """Show what would change, and ask."""
    if target.engine.run(target.engine.preview_argv(), to_stdout=True):
        raise UserError("the preview failed, so nothing was changed: the reason is above")
    console.confirm(f"Change stack {target.stack.name} on cluster {target.stack.settings.cluster.identifier}?", False)


def change(target: Target, progress: Progress) -> None:
    """Let the engine create and change what differs."""
    engine = target.engine
    # The guard has seen a preview of it.
    with progress.step(f"bringing stack {target.stack.name} up"):
        engine.must(engine.up_argv(skip_preview=True), AGAIN)
    if "namespace" not in engine.outputs():
        raise FailedError(f"pulumi brought stack {target.stack.name} up, but it has no outputs. {AGAIN}")


def summary(target: Target, outputs: dict[str, object], told: demo.Told | None) -> None:
    """Say where everything is, who may log in, where the passwords are, and what to try next."""
    stack = target.stack
    if told:
        console.result(
            f"A lamp fell, and its owner was told: alert {told.alert} could be read {told.readable_ms:.0f} ms after the fall was published "
            f"(acknowledged by the broker after {told.acknowledged_ms:.0f} ms)."
        )
    console.heading(f"Stack {stack.name} is up in namespace {outputs['namespace']}.")
    console.table(addresses(outputs, demo.applies(stack)))
    if records := dns_records(outputs):
        console.heading("DNS records to set")
        console.table(records)
    if demo.applies(stack):
        console.heading("Accounts (each command prints one password)")
        console.table(accounts(stack))
    console.heading("Next")
    console.table(next_steps(stack, bool(told)))


def addresses(outputs: dict[str, object], is_demo: bool) -> list[tuple[str, str]]:
    """Return the addresses of a stack as rows."""
    urls = cast("dict[str, str]", outputs.get("urls") or {})
    rows = [(name, f"{url}/admin" if is_demo and name == "web" else url) for name, url in urls.items()]
    if mqtt := cast("dict[str, object]", outputs.get("mqtt") or {}):
        rows.append(("mqtt", f"mqtts://{mqtt['host']}:{mqtt['port']}"))
    if edge := cast("dict[str, object]", outputs.get("edge") or {}):
        rows.append(("edge", f"https://{edge['host'] or 'has no address yet'}  (its certificate is for {edge['server_name']})"))
    return rows


def dns_records(outputs: dict[str, object]) -> list[tuple[str, str, str]]:
    """Return the records that lead people and devices here, as rows: name, type, value."""
    records = cast("dict[str, str]", outputs.get("dns") or {})
    return [(name, record_type(value), value or "no address yet: run the same command again") for name, value in sorted(records.items())]


def record_type(value: str) -> str:
    """Return the type of the DNS record for an address or a name."""
    if not is_address(value):
        return "CNAME" if value else "A"
    return "AAAA" if ":" in value else "A"


def accounts(stack: Stack) -> list[tuple[str, str, str]]:
    """Return the demo's accounts as rows: who, login, the command that prints the password."""
    where = "" if stack.on_sandbox and stack.name == "sandbox" else f" -s {stack.name}"
    return [
        ("admin page", "admin", f"./sy secret ADMIN_PASSWORD{where}"),
        ("mobile API", "Authorization: Bearer …", f"./sy secret DEMO_API_TOKEN{where}"),
        ("lamp", demo.SERIAL, f"./sy secret DEMO_LAMP_PASSWORD{where}"),
    ]


def next_steps(stack: Stack, told: bool) -> list[tuple[str, str]]:
    """Return what to try next as rows."""
    where = "" if stack.name == "sandbox" else f" -s {stack.name}"
    steps = [(f"./sy fall{where}", "let the lamp fall again")] if told else []
    steps += [(f"./sy kubectl{where} get pods", "what runs")]
    if stack.on_sandbox:
        steps += [("./sy test", "every test"), ("./sy sandbox down", "stop it all; `./sy up` goes on with it")]
    own = ROOT / "docs" / "your-own-app.md"
    return [*steps, (str(own.relative_to(ROOT)), "put your own Rails app in the lamp's place")]

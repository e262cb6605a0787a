"""`sy test`: every test, fast ones first, and the machine as it was."""

import sys
from collections.abc import Sequence

import click

from cli import checks, console, images, machine, process
from cli.environment import users
from cli.errors import FAILED, MENDABLE, OK
from images import catalog
from tools import pulumi_home, toolchain
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

LAYERS = {
    "lint": "ruff and pyright",
    "unit": "no engine, no cluster; two minutes",
    "rules": "alert rules and dashboards by promtool; half a minute",
    "engine": "real previews, no cluster; five minutes",
    "lamp": "the demo app's own tests",
    "cluster": "the real thing; needs root",
    "long": "those of `cluster` that wait for minutes; only when asked for",
}
"""In the order they run. Each is a folder of tests/, but for `long`, which is what is marked so in tests/cluster."""

RULES = "rules"
"""The layer, and what of the toolchain it needs: promtool and amtool."""
WITH_SANDBOX = ("lamp", "cluster", "long")
STOP_SANDBOX = "SWITCHYARD_STOP_SANDBOX"
"""Set for pytest when the sandbox was stopped before, so that it is stopped again; see cli/restore.py."""

PYTEST_USAGE_ERROR = 4


HELP = "Run the tests, all of them or one layer, setting up what they need.\n\n\b\n" + "\n".join(
    f"{name:8} {what}" for name, what in LAYERS.items()
)


@click.command("test", help=HELP, context_settings={"ignore_unknown_options": True})
@click.argument("layer", type=click.Choice([*LAYERS, "all"]), default="all")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST OPTIONS]")
def test(layer: str, words: tuple[str, ...]) -> None:
    """Run the tests, all of them or one layer."""
    layers = chosen(layer)
    progress = Progress()
    env = set_up(layers, progress)
    progress.close()
    was_running = _sandbox_runs()
    if not was_running and set(layers) & set(WITH_SANDBOX):
        env[STOP_SANDBOX] = "1"
    try:
        code = process.run(pytest_argv(layers, words), env, ROOT, to_stdout=True)
    finally:
        if STOP_SANDBOX in env:
            stop_sandbox()
    raise SystemExit({0: OK, PYTEST_USAGE_ERROR: MENDABLE}.get(code, FAILED))


def chosen(layer: str) -> list[str]:
    """Return the layers to run, fast ones first."""
    there = [name for name in LAYERS if (ROOT / "tests" / name).is_dir()]
    if layer == "all":
        return there
    if layer not in (*there, "long"):
        raise UserError(f"there is no folder tests/{layer}")
    return [layer]


def pytest_argv(layers: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return pytest's command line: one run, so that its last line counts everything."""
    folders = ["tests/cluster", "-m", "long"] if "long" in layers else [f"tests/{layer}" for layer in layers]
    options = [word for word in words if word != "--"]
    return [sys.executable, "-m", "pytest", "-p", "cli.restore", *folders, *options]


def set_up(layers: Sequence[str], progress: Progress) -> dict[str, str]:
    """Build what the layers need and return the environment they run in."""
    programs: machine.Programs | None = None
    if set(layers) & set(WITH_SANDBOX):
        from cli.sandbox import room_gib

        # Before half an hour of building, not after it.
        checks.require_root()
        checks.require_room(room_gib(catalog.names()))
        programs, _ = images.build_all(catalog.names(), progress)
    elif "engine" in layers:
        programs = machine.ensure(machine.ENGINE, progress)
    if RULES in layers and not (machine.find("promtool") and machine.find("amtool")):
        # Rules, dashboards and Alertmanager's configuration are read by the programs that will read them.
        toolchain.ensure([RULES], progress)
    return pulumi_home.environment(programs.toolchain, users()) if programs else users()


def stop_sandbox() -> None:
    """Stop the sandbox if anything of it runs."""
    if not _sandbox_runs():
        return
    from cli.sandbox import opened

    progress = Progress()
    with progress.step("stopping the sandbox, as it was before"):
        opened().down(progress)
    progress.close()


def _sandbox_runs() -> bool:
    from cli.sandbox import opened

    try:
        return opened().status().running
    except OSError as error:
        console.warning(f"can not tell whether the sandbox runs: {error}")
        return True

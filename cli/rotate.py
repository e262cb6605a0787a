"""`sy rotate`: other passwords for a stack's own servers, while they and the app go on."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from cli import console, deploy, logins
from cli.errors import FailedError
from cli.kubectl import Kubectl
from cli.stack import Stack
from cli.stack_file import with_value
from cli.target import Target, existing, stack_option
from cli.up import guarded, opened
from settings import rotation
from settings.loader import PROJECT
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

Service = tuple[str, ...]
GONE_SECONDS = 300
"""A web pod that is told to stop answers what it has begun; the longest grace period of the defaults is a third of it."""
POLL_SECONDS = 1.0


@click.command("rotate")
@click.argument("services", nargs=-1, metavar="[SERVICE]…")
@stack_option
@deploy.yes_option
def command(services: tuple[str, ...], name: str, yes: bool) -> None:
    r"""Give servers that the stack runs itself other passwords, without an outage.

    SERVICE is postgres, mqtt, elasticsearch, redis.NAME, or all. Without one it lists which generation of passwords each has.

    In two steps, both written into Pulumi.STACK.yaml. First the running servers take the next generation beside the one before
    (`rotation`), and the app and all others are given it. Once no pod is left that has the one before, that is refused (`revoked`); what
    is still logged in with it is cut off by Postgres and the broker. Interrupted or failed, the same command goes on from there, and
    until then both generations are let in. Devices' accounts are not touched.

    \b
    ./sy rotate                                what there is
    ./sy rotate postgres redis.jobs            on the sandbox
    ./sy rotate all -s production --yes        for a schedule
    """
    progress = Progress()
    stack = Stack.open(name)
    known = {".".join(path): path for path in rotation.services(stack.settings)}
    chosen = [known[one] for one in _named(services, known)]
    if not chosen:
        progress.close()
        console.table([("service", "generation", "also let in"), *_rows(stack)])
        return
    before = existing(name, progress).config_values()
    with _saying(name):
        raise_rotation(stack, chosen)
        target = _bring(name, progress, yes=yes)
    wait_gone(target.reached(), progress)
    with _saying(name):
        revoke(Stack.open(name), chosen)
        target = _bring(name, progress, yes=True)
    old = [logins.of_config(stack.settings, service, before) for service in chosen]
    now = target.config_values()
    # Taken up again after the app had been given the next generation, there is nothing left to try.
    changed = [login for service, login in zip(chosen, old, strict=True) if logins.of_config(stack.settings, service, now) != login]
    logins.wait_refused(changed, target.reached(), progress)
    progress.close()
    console.heading(f"Stack {name} uses other passwords, and those before are refused")
    console.table(row for row in _rows(Stack.open(name)) if row[0] in {".".join(service) for service in chosen})
    console.note(f"commit Pulumi.{name}.yaml")


def raise_rotation(stack: Stack, services: list[Service]) -> None:
    """Have the stack's file say the next generation of each service; one that a rotation before was left at is gone on with."""
    for service in services:
        said = rotation.services(stack.settings)[service]
        if len(said.accepted) == 1:
            _write(stack.name, (*service, "rotation"), said.rotation + 1)


def revoke(stack: Stack, services: list[Service]) -> None:
    """Have the stack's file say that all generations before the current one are revoked."""
    for service in services:
        _write(stack.name, (*service, "revoked"), rotation.services(stack.settings)[service].rotation - 1)


def wait_gone(kubectl: Kubectl, progress: Progress) -> None:
    """Wait until no pod is left that is being ended, and may still need the login of before."""
    deadline = time.monotonic() + GONE_SECONDS
    while leaving := [str(pod["metadata"]["name"]) for pod in kubectl.get("pods")["items"] if pod["metadata"].get("deletionTimestamp")]:
        with progress.step(f"waiting for {', '.join(leaving[:3])} to end"):
            if time.monotonic() > deadline:
                raise FailedError(
                    f"after {GONE_SECONDS} s {', '.join(leaving)} have not ended, and may use the old passwords: nothing was revoked. "
                    "Look with ./sy kubectl get pods, and run the same command again"
                )
            time.sleep(POLL_SECONDS)


def _named(services: tuple[str, ...], known: dict[str, Service]) -> list[str]:
    if services == ("all",):
        return list(known)
    for one in services:
        if one not in known:
            there = ", ".join(known) or "none"
            raise UserError(f"{one}: this stack runs no such server; it runs {there}, and `all` means all of them")
    return list(dict.fromkeys(services))


def _rows(stack: Stack) -> list[tuple[str, str, str]]:
    return [
        (".".join(path), str(said.rotation), ", ".join(map(str, said.accepted[1:])) or "-")
        for path, said in rotation.services(stack.settings).items()
    ]


def _bring(name: str, progress: Progress, *, yes: bool) -> Target:
    target = opened(Stack.open(name), None, progress)
    guarded(target, progress, yes=yes, allowed=None)
    target.reached().wait_ready(progress)
    return target


@contextmanager
def _saying(name: str) -> Generator[None]:
    """Have the stack's file say what the block writes. Where nothing was changed after all, it says again what it said before."""
    tracked = _file(name)
    before = tracked.read_text()
    try:
        yield
    except (UserError, click.Abort):
        tracked.write_text(before)
        raise
    except (Exception, KeyboardInterrupt):
        console.warning(
            f"{tracked.name} says what was begun, and until it is done both generations of passwords are let in: mend what is said below, "
            "and run the same command again"
        )
        raise


def _file(name: str) -> Path:
    return ROOT / f"Pulumi.{name}.yaml"


def _write(stack: str, path: tuple[str, ...], value: int) -> None:
    tracked = _file(stack)
    first, *rest = path
    tracked.write_text(with_value(tracked.read_text(), ["config", f"{PROJECT}:{first}", *rest], value))

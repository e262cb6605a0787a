"""`sy rotate`: other passwords for a stack's own servers, while they and the app go on."""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    until then both generations are let in; what it says at the end tells a rotation that was only ended from one that made other
    passwords. Devices' accounts are not touched.

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
    old = logins_of(stack, chosen, existing(name, progress).config_values())
    with _saying(name):
        raise_rotation(stack, chosen)
        target = _bring(name, progress, yes=yes)
    wait_gone(target.reached(), str(target.outputs()["config_secret"]), progress)
    with _saying(name):
        revoke(Stack.open(name), chosen)
        target = _bring(name, progress, yes=True)
    now = logins_of(stack, chosen, target.config_values())
    changed = {service: login for service, login in old.items() if now[service] != login}
    logins.wait_refused(list(changed.values()), target.reached(), progress)
    progress.close()
    console.heading(f"Stack {name}: the passwords of before are revoked")
    console.table(row for row in _rows(Stack.open(name)) if row[0] in {".".join(service) for service in chosen})
    if ended := [".".join(service) for service in chosen if service not in changed]:
        console.warning(unchanged(ended, name))
    console.note(f"commit Pulumi.{name}.yaml, and push it before anything else brings the stack up: else that takes the rotation back")


def logins_of(stack: Stack, services: list[Service], config: Mapping[str, str]) -> dict[Service, logins.Login]:
    """Return the app's login at each service; UserError where the app was never given one."""
    return {service: logins.of_config(stack.settings, service, config) for service in services}


def unchanged(services: list[str], stack: str) -> str:
    """Return what is to be said of services whose next generation was in use before the command began: an earlier one was ended."""
    names = " ".join(services)
    return (
        f"{', '.join(services)}: the app has the passwords that it had when this began. A rotation that was begun earlier was ended, and "
        f"nobody tried whether the ones before that are refused. For passwords that nobody has seen: ./sy rotate {names} -s {stack}"
    )


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


def wait_gone(kubectl: Kubectl, config: str, progress: Progress) -> None:
    """Wait until no pod is left that may still need the login of before; the app's of now are in the Secret `config`."""
    deadline = time.monotonic() + GONE_SECONDS
    current = [
        config,
        *(name for job in kubectl.get("cronjobs")["items"] for name in _mounted(job["spec"]["jobTemplate"]["spec"]["template"])),
    ]
    while leaving := holding(kubectl.get("pods")["items"], current):
        with progress.step(f"waiting for {', '.join(leaving[:3])} to end"):
            if time.monotonic() > deadline:
                raise FailedError(
                    f"after {GONE_SECONDS} s {', '.join(leaving)} have not ended, and may use the old passwords: nothing was revoked. "
                    "Look with ./sy kubectl get pods, and run the same command again"
                )
            time.sleep(POLL_SECONDS)


def holding(pods: Iterable[Mapping[str, Any]], current: Sequence[str]) -> list[str]:
    """Return the pods that may still use the login of before.

    Those are the ones that are being ended, and those that run with an earlier form of one of the Secrets `current`, which are named by
    their content: a Job that began before does, be it a schedule of the app's or a snapshot of Elasticsearch.
    """
    kept = {name.rpartition("-")[0] for name in current}

    def before(pod: Mapping[str, Any]) -> bool:
        if pod["metadata"].get("deletionTimestamp"):
            return True
        found: list[list[dict[str, Any]]] = [part.get("envFrom") or [] for part in pod["spec"]["containers"]]
        names = [str(one["secretRef"]["name"]) for sources in found for one in sources if "secretRef" in one]
        ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        return not ended and any(name.rpartition("-")[0] in kept and name not in current for name in [*names, *_mounted(pod)])

    return [str(pod["metadata"]["name"]) for pod in pods if before(pod)]


def _mounted(pod: Mapping[str, Any]) -> list[str]:
    """Return the Secrets whose files a pod, or a template of one, has."""
    volumes: list[dict[str, Any]] = pod["spec"].get("volumes") or []
    return [str(one["secret"]["secretName"]) for one in volumes if "secret" in one]


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

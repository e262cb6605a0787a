"""`sy open`: a page of the stack in a browser, through a forwarded port."""

import shlex
import socket
import subprocess
from dataclasses import dataclass
from typing import cast

import click

from cli import console, demo
from cli.errors import FailedError
from cli.kubectl import Kubectl, Object, part
from cli.stack import DEFAULT, Stack
from cli.target import existing, stack_option
from tools.errors import UserError
from tools.progress import Progress

ADMIN = "account admin, with the password that this prints"
LOOK = "Look with: ./sy kubectl get pods"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What can be opened: a Service with a port, and who may log in."""

    service: str
    port: int
    about: str
    """What is seen there."""
    path: str = "/"
    login: str = ""
    """How one logs in, up to the command that prints the password; empty: nobody is asked."""
    password: tuple[str, ...] = ()
    """The words after ./sy that print the password."""


@click.command("open")
@click.argument("what", metavar="WHAT")
@stack_option
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The port on this machine; without it any that is free.")
def command(what: str, name: str, port: int | None) -> None:
    r"""Forward a port of this machine to a page of a stack, and print its address, until Ctrl-C.

    \b
    WHAT is one of
      grafana        dashboards of metrics and logs
      prometheus     metrics, as they are asked for, and which alerts fire
      alertmanager   who was told, and silences
      rabbitmq       the broker's queues, connections and accounts
      web            the app; another web process by its own name

    Only this machine reaches the port, and no network policy has to be opened for it. Passwords are not printed: beside the
    account stands the command that prints one. Example: ./sy open grafana -s production --port 3000
    """
    progress = Progress()
    stack = Stack.open(name)
    page = page_of(what, stack)
    refuse_taken(port)
    kubectl = existing(name, progress).reached()
    login = _login(page, kubectl)
    progress.close()
    open_page(page, login, kubectl, stack, port)


def open_page(page: Page, login: tuple[str, ...], kubectl: Kubectl, stack: Stack, port: int | None) -> None:
    """Forward the port and say where, until Ctrl-C; FailedError when the pod at the other end goes away."""
    console.command(kubectl.argv("port-forward", f"service/{page.service}", f"{port or ''}:{page.port}"))
    with kubectl.forwarding(page.service, page.port, port or 0) as (url, running):
        console.result(f"{url}{page.path}")
        if page.login:
            console.result(f"{page.login}: {_said(login, stack.name)}")
        console.note(f"{page.about}. Ctrl-C ends it.")
        _wait(running, page)


def page_of(what: str, stack: Stack) -> Page:
    """Return what is to be opened; UserError says why it can not be, and what can."""
    pages, absent = pages_of(stack)
    if what in pages:
        return pages[what]
    there = f"`./sy open` knows {', '.join(pages) or 'nothing'} of stack {stack.name}"
    if what in absent:
        raise UserError(f"stack {stack.name} has no {what}: {absent[what]}; {there}")
    raise UserError(f"there is nothing called {what!r} to open; {there}")


def pages_of(stack: Stack) -> tuple[dict[str, Page], dict[str, str]]:
    """Return what can be opened, by name, and for everything else the reason why it can not."""
    said = stack.settings
    absent: dict[str, str] = {}
    pages: dict[str, Page] = {}
    for name, made, where in (
        ("grafana", Page(service="grafana", port=3000, about="Dashboards", login=ADMIN), said.grafana.where),
        ("prometheus", Page(service="prometheus", port=9090, about="Metrics, and which alerts fire", path="/graph"), said.metrics.where),
        ("alertmanager", Page(service="alertmanager", port=9093, about="Who was told, and silences"), said.metrics.where),
        ("rabbitmq", _rabbitmq(stack), said.mqtt.where),
    ):
        setting = {"rabbitmq": "mqtt", "prometheus": "metrics", "alertmanager": "metrics"}.get(name, name)
        if where == "cluster":
            pages[name] = made
        else:
            absent[name] = f"{setting}.where is {where}" + (", and it is not ours to open" if where == "external" else "")
    pages |= {name: _web(name, stack) for name in said.web}
    if "web" not in said.web:
        absent["web"] = "no process under `web` is called so" if said.web else "nothing under `web` serves HTTP"
    return pages, absent


def refuse_taken(port: int | None) -> None:
    """Raise UserError when another program listens on the port."""
    if port is None:
        return
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} of this machine can not be had ({error.strerror}): say another one, or none for any") from None


def mounted_secret(deployment: Object, volume: str) -> str:
    """Return the name of the Secret that a Deployment's pods have as `volume`: it changes with each rotation."""
    spec = part(part(part(deployment, "spec"), "template"), "spec")
    volumes = cast("list[Object]", spec.get("volumes") or [])
    return next((str(one["secret"]["secretName"]) for one in volumes if one["name"] == volume and "secret" in one), "")


def _rabbitmq(stack: Stack) -> Page:
    var = stack.settings.mqtt.management_var
    login = "account and password are in the address that this prints"
    return Page(service="mqtt", port=15672, about="The broker's queues, connections and accounts", login=login, password=("secret", var))


def _web(name: str, stack: Stack) -> Page:
    if name == "web" and demo.applies(stack):
        return Page(service=name, port=80, about="The app", path="/admin", login=ADMIN, password=("secret", "ADMIN_PASSWORD"))
    return Page(service=name, port=80, about="The app")


def _login(page: Page, kubectl: Kubectl) -> tuple[str, ...]:
    """Return the words that print the page's password; Grafana's is in a Secret that another name is given to with each rotation."""
    if page.password or not page.login:
        return page.password
    secret = mounted_secret(kubectl.get("deployment", page.service), "keys")
    return ("kubectl", "get", "secret", secret, "-o", 'go-template={{index .data "admin-password" | base64decode}}')


def _said(words: tuple[str, ...], stack: str) -> str:
    where = [] if stack == DEFAULT else ["-s", stack]
    return shlex.join(["./sy", words[0], *where, *words[1:]])


def _wait(running: "subprocess.Popen[str]", page: Page) -> None:
    code = running.wait()
    said = running.stderr.read().strip() if running.stderr else ""
    reason = said.splitlines()[-1] if said else f"exit code {code}"
    raise FailedError(f"the way to {page.service} has ended: {reason}. Its pod may have been replaced: run the same command again. {LOOK}")

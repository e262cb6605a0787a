"""What a new stack needs before somebody may depend on it, each point with its present state. Asks, and changes nothing."""

import base64
import contextlib
import socket
import urllib.request
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import click

from cli import checks, cluster_target, console, demo, machine
from cli.demo import NamedContext
from cli.environment import local_workspace, logged_in
from cli.errors import FailedError
from cli.stack import KEPT_KEYS, Stack, names, read
from cli.target import Target
from settings import SettingsError
from settings.backing import NOWHERE
from tools.errors import UserError
from tools.progress import Progress

State = Literal["done", "open", "later", "unknown"]
"""open: somebody must do something; later: it waits for what is open before it; unknown: only a human can say, and nothing waits for it."""

SECONDS = 8
"""How long a name server, a broker or a web process may take to answer."""

MARKS = {
    state: click.style(f"{state:7}", fg=colour)
    for state, colour in (("done", "green"), ("open", "red"), ("later", "yellow"), ("unknown", "white"))
}

Resolve = Callable[[str], set[str]]
"""Returns the addresses of a host name; none when nobody knows it."""


@dataclass(frozen=True)
class Point:
    """One thing that must be so."""

    what: str
    state: State
    says: str
    """How it is, and when it is open what to do."""


def show(points: Iterable[Point]) -> None:
    """Write a line a point to standard output."""
    console.table([(MARKS[point.state], point.what, point.says) for point in points])


def resolve(host: str) -> set[str]:
    """Return the addresses that this machine's name server has for a host name or an address."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def points(stack: Stack, target: Target | None, progress: Progress, resolver: Resolve = resolve) -> list[Point]:
    """Return everything that a stack needs; `target` is None for one that can not have been brought up."""
    # On the sandbox that is the file with cluster and digests, as `up` wrote it last.
    stack = target.stack if target else stack
    outputs = target.engine.outputs() if target else {}
    up = _brought_up(stack, target, outputs)
    made = [
        *_services_outside(stack),
        *_secrets(stack),
        _backend(stack),
        _images(stack),
        _cluster(stack, target),
        up,
        *_lines(stack, target, up),
        *_names(stack, outputs, resolver),
        _certificate(stack, outputs),
    ]
    if up.state != "done" or target is None:
        return [*made, Point("first account", "later", "after the first `up`"), Point("fall", "later", "when all else is done")]
    with _web_opened(target, outputs) as opened:
        made.append(_first_account(stack, target, opened))
        return [*made, _fall(stack, target, opened, made, progress)]


def _services_outside(stack: Stack) -> Iterator[Point]:
    said = stack.settings
    services = {"postgres": said.postgres, "mqtt": said.mqtt, "elasticsearch": said.elasticsearch}
    services |= {f"redis.{name}": redis for name, redis in said.redis.items()}
    for name, service in services.items():
        if service.where == "external" and service.external:
            host = service.external.host
            if host.endswith(NOWHERE):
                yield Point(
                    name, "open", f"is outside, and its host is not known: say {name}.external.host in {stack.file.name}, or where: cluster"
                )
            else:
                yield Point(name, "done", f"is outside, at {host}")


def _secrets(stack: Stack) -> Iterator[Point]:
    wanted, missing = stack.settings.secret_names(), stack.missing_secrets()
    if not wanted:
        yield Point("secrets", "done", "a human sets none: the stack makes all of its own when it is brought up")
    for name in wanted:
        if name in missing:
            yield Point(f"secret {name}", "open", f"is not set: {stack.cures.set_secret(name)}")
        else:
            yield Point(f"secret {name}", "done", "is set")


def _backend(stack: Stack) -> Point:
    """Say where the state is kept, and with which key: one for each stack, so that who has one key has one stack."""
    what = "state and key"
    if stack.on_sandbox:
        workspace = local_workspace()
        return Point(what, "done", f"kept on this machine in {workspace.backend}, encrypted with {workspace.passphrase_file}")
    if not logged_in():
        return Point(what, "open", "Pulumi is not logged in: ./sy pulumi login s3://…, or export PULUMI_BACKEND_URL")
    document = read(stack.file)
    if not any(key in document for key in KEPT_KEYS):
        return Point(
            what,
            "open",
            f"the stack has no key yet: pulumi stack init {stack.name}, with a passphrase or key of its own (docs/new-reseller.md)",
        )
    if others := _same_key(stack, document):
        return Point(what, "open", f"has the key of stack {others[0]}: pulumi -s {stack.name} stack change-secrets-provider …")
    return Point(what, "done", f"has a key of its own in {stack.file.name}; that the passphrase is kept somewhere, you must know")


def _same_key(stack: Stack, document: Mapping[str, Any]) -> list[str]:
    folder = stack.file.parent
    files = {name: read(folder / f"Pulumi.{name}.yaml") for name in names(folder) if name != stack.name}
    keys = ("encryptionsalt", "encryptedkey")
    return [name for name, other in files.items() if any(document.get(key) and document.get(key) == other.get(key) for key in keys)]


def _images(stack: Stack) -> Point:
    if stack.on_sandbox:
        return Point("images", "done", "`./sy up` builds them and pins them in the sandbox's registry")
    said = stack.settings
    if loose := said.unpinned_images():
        return Point("images", "open", _pinning(stack, loose))
    crane = machine.find("crane")
    if crane is None:
        return Point("images", "unknown", "have digests; there is no crane on this machine to ask whether they can be pulled")
    try:
        checks.check_images(stack, crane)
    except SettingsError as error:
        return Point("images", "open", error.problems[0])
    return Point("images", "done", "have digests, and their registry has them")


def _pinning(stack: Stack, loose: Sequence[str]) -> str:
    """Say how images without a digest get theirs: ours together, the app's own from where it was pushed to."""
    own = [f"{name} without a digest: {stack.cures.pin(name)}" for name in loose if stack.cures.is_own(name)]
    ours = [name for name in loose if not stack.cures.is_own(name)]
    both = f"./sy images push -s {stack.name} && ./sy images pin -s {stack.name}"
    return "; ".join([*own, *([f"{', '.join(ours)} without a digest: {both}"] if ours else [])])


def _cluster(stack: Stack, target: Target | None) -> Point:
    cluster = stack.settings.cluster
    if stack.on_sandbox and (target is None or target.kubectl is None):
        return Point("cluster", "done", "the sandbox; `./sy up` starts it")
    if not cluster.context:
        return Point(
            "cluster",
            "open",
            f"say switchyard:cluster.context in {stack.file.name}: which context of your kubeconfig is {cluster.identifier}",
        )
    if target is None or target.kubectl is None:
        return Point("cluster", "later", f"{cluster.identifier} is asked when Pulumi is logged in")
    try:
        checks.check_cluster(target.kubectl, stack)
    except (UserError, FailedError) as error:
        return Point("cluster", "open", str(error))
    return Point("cluster", "done", f"{cluster.identifier} answers, and namespace {stack.namespace} is free or this stack's own")


def _brought_up(stack: Stack, target: Target | None, outputs: Mapping[str, Any]) -> Point:
    command = f"./sy up -s {stack.name}"
    if target is None or "namespace" not in outputs:
        return Point("up", "open", f"has never been brought up: {command}")
    try:
        waiting = target.reached().waiting()
    except (UserError, FailedError) as error:
        return Point("up", "open", f"can not be looked at: {error}")
    if waiting:
        return Point("up", "open", f"not ready: {', '.join(waiting)}. Look with: ./sy kubectl -s {stack.name} get pods,events")
    return Point("up", "done", f"serves in namespace {outputs['namespace']}: every workload is ready, every Service has somebody behind it")


def _lines(stack: Stack, target: Target | None, up: Point) -> Iterator[Point]:
    """Say whether the cluster's collector sends the stack's lines to Loki: that is another program's work, and easily forgotten."""
    if stack.settings.logs.where == "none":
        return
    command = f"./sy cluster up -s {stack.name}"
    if up.state != "done" or target is None:
        yield Point("log lines", "later", f"after the first `up`: {command}")
        return
    try:
        found = cluster_target.standing(target.reached())
    except (UserError, FailedError) as error:
        yield Point("log lines", "unknown", f"the cluster's collector can not be looked at: {error}")
        return
    ready, wanted = found.nodes
    if stack.namespace not in found.namespaces:
        yield Point("log lines", "open", f"the cluster's collector does not know the stack: {command}")
    elif not found.ready:
        yield Point("log lines", "open", f"the collector is ready on {ready} of {wanted} nodes: ./sy cluster status -s {stack.name}")
    else:
        yield Point("log lines", "done", f"go from {wanted} nodes to the Loki of {stack.settings.logs.kept_in(stack.namespace)}")


def _names(stack: Stack, outputs: Mapping[str, Any], resolver: Resolve) -> Iterator[Point]:
    """Say of each name that people and devices dial whether it leads here."""
    said = stack.settings
    if not said.domain and not said.mqtt.host_names:
        yield Point("DNS", "unknown", f"{stack.file.name} says no domain")
    if said.domain:
        yield _web_name(stack, said.domain, resolver(said.domain))
    if said.mqtt.where == "cluster":
        broker = str(cast("Mapping[str, Any]", outputs.get("mqtt") or {}).get("host") or "")
        for host in said.device_host_names:
            yield _device_name(stack, host, resolver(host), broker, resolver)


def _web_name(stack: Stack, host: str, found: set[str]) -> Point:
    where = ", ".join(sorted(found))
    if stack.on_sandbox:
        return Point(f"DNS {host}", "unknown", f"leads to {where or 'nowhere'}; on the sandbox the web is opened by its address")
    if not found:
        return Point(f"DNS {host}", "open", "nobody knows it: make a record that leads to your gateway")
    return Point(f"DNS {host}", "done", f"leads to {where}; whether that is your gateway, you must know")


def _device_name(stack: Stack, host: str, found: set[str], broker: str, resolver: Resolve) -> Point:
    what = f"DNS {host}"
    if not broker:
        return Point(
            what, "later", f"leads to {', '.join(sorted(found)) or 'nowhere'}; the load balancer's address is known after the first `up`"
        )
    if found & resolver(broker):
        return Point(what, "done", f"leads to the broker's load balancer, {broker}")
    if stack.on_sandbox:
        return Point(
            what, "unknown", f"leads to {', '.join(sorted(found)) or 'nowhere'}; on the sandbox devices dial {broker} and expect this name"
        )
    return Point(
        what, "open", f"leads to {', '.join(sorted(found)) or 'nowhere'}: make a record that leads to the broker's load balancer, {broker}"
    )


def _certificate(stack: Stack, outputs: Mapping[str, Any]) -> Point:
    """Say whether the broker shows devices a certificate of the stack's own authority for the name that they dial."""
    if stack.settings.mqtt.where != "cluster":
        return Point("certificate", "unknown", "the stack runs no broker that could show one")
    mqtt = cast("dict[str, Any]", outputs.get("mqtt") or {})
    if not mqtt.get("host"):
        return Point("certificate", "later", "after the first `up`, which makes an authority and the broker's certificate")
    name = (stack.settings.device_host_names or [str(mqtt["server_name"])])[0]
    try:
        until = certificate_until(str(mqtt["host"]), int(mqtt["port"]), name, str(mqtt["ca"]))
    except OSError as error:
        return Point("certificate", "open", f"{mqtt['host']}:{mqtt['port']} shows none for {name} of the stack's authority: {error}")
    return Point(
        "certificate", "done", f"{mqtt['host']}:{mqtt['port']} shows one for {name}, signed by the stack's authority, valid until {until}"
    )


def certificate_until(host: str, port: int, name: str, authority: str) -> str:
    """Return until when the certificate is valid that a server shows for `name`; OSError when it shows none that `authority` signed."""
    with (
        socket.create_connection((host, port), timeout=SECONDS) as plain,
        NamedContext.trusting(authority, name).wrap_socket(plain) as encrypted,
    ):
        shown = encrypted.getpeercert() or {}
    return str(shown.get("notAfter") or "")


@contextlib.contextmanager
def _web_opened(target: Target, outputs: Mapping[str, Any]) -> Generator[dict[str, Any]]:
    """Give the outputs with addresses of the web processes that this machine can open, as long as they are needed."""
    if target.stack.on_sandbox:
        yield target.openable()
        return
    urls = cast("dict[str, str]", outputs.get("urls") or {})
    with contextlib.ExitStack() as stack:
        yield {**outputs, "urls": {name: stack.enter_context(target.reached().forwarded(name)) for name in list(urls)[:1]}}


def _first_account(stack: Stack, target: Target, outputs: Mapping[str, Any]) -> Point:
    if not demo.applies(stack):
        return Point(
            "first account",
            "unknown",
            f"is your app's own: make one with ./sy kubectl -s {stack.name} exec -it deployment/… -- bin/rails console",
        )
    url = next(iter(cast("dict[str, str]", outputs["urls"]).values()))
    secret = f"./sy secret ADMIN_PASSWORD -s {stack.name}"
    try:
        answered = answers(f"{url}/admin", "admin", target.config_values()["ADMIN_PASSWORD"])
    except (OSError, KeyError, FailedError) as error:
        return Point("first account", "open", f"the admin page does not let admin in: {error}")
    return Point("first account", "done", f"admin may log in at {answered}; the password: {secret}")


def answers(url: str, user: str, password: str) -> str:
    """Return the address of a page when it lets the user in; OSError when it does not."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Basic {login}"}), timeout=SECONDS) as answer:
        return str(answer.url)


def _fall(stack: Stack, target: Target, outputs: Mapping[str, Any], before: list[Point], progress: Progress) -> Point:
    if not demo.applies(stack):
        return Point(
            "fall",
            "unknown",
            "this is not the demo, so no lamp can fall; asked instead: workloads, Services, names and the certificate above",
        )
    if any(point.state in ("open", "later") for point in before):
        return Point("fall", "later", "when all else is done")
    try:
        told = demo.fall(demo.of_outputs(outputs, target.config_values()), progress)
    except FailedError as error:
        return Point("fall", "open", str(error))
    return Point("fall", "done", f"a lamp fell, and alert {told.alert} could be read {told.readable_ms:.0f} ms later")

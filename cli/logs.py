"""`sy logs`: what the stack's containers wrote."""

import contextlib
import difflib
import re
import subprocess
import time
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime

import click

from cli import console
from cli.environment import users
from cli.errors import FailedError
from cli.kubectl import Kubectl
from cli.loki import NANO, AwayError, Line, Loki, query
from cli.stack import Stack
from cli.target import existing, stack_option
from settings.clusters import components
from settings.logs import Logs
from settings.types import seconds_of
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

PORT = 3100
RUNNING_SECONDS = 5
"""How long Loki's pod may take to be there; longer, and the cluster is asked."""
POLL_SECONDS = 1.0
LATE = 10 * NANO
"""What is followed is asked for again for so long: lines of several pods do not arrive in the order in which they were written."""
_LINE = re.compile(r"\[pod/(?P<pod>[^/\]]+)/[^\]]+\] (?P<at>\S+) ?(?P<text>.*)")


@click.command("logs")
@click.argument("component", required=False)
@stack_option
@click.option("--since", default="1h", show_default=True, metavar="DURATION", help="How far back: 90s, 30m, 2h, 7d.")
@click.option("--grep", "text", metavar="TEXT", help="Only lines with this text in them.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
def command(component: str | None, name: str, since: str, text: str | None, follow: bool) -> None:
    r"""Print what the stack's containers wrote, oldest first: time, pod, line.

    Loki is asked, which also has the lines of pods that are gone. When it does not answer, or the stack has none, the cluster is: it has
    only the last files of pods that still are. Which of them it was is said on standard error.

    \b
    ./sy logs                                everything of the last hour
    ./sy logs web --since 2h --grep fall
    ./sy logs sidekiq-alerts -s staging --follow
    """
    progress = Progress()
    try:
        seconds = seconds_of(since)
    except ValueError as error:
        raise UserError(f"--since: {error}") from None
    stack = Stack.open(name)
    refuse_unknown(component, components(stack.settings), name)
    target = existing(name, progress)
    client = target.reached()
    progress.close()
    end = time.time_ns()
    start = end - seconds * NANO
    try:
        with loki_of(client, target.stack.settings.logs) as found:
            lines = found.lines(query(component, text), start, end)
            _print(_begun(lines, f"Loki of namespace {found.where}"))
            if follow:
                _print(_followed(found, query(component, text), end))
    except AwayError as error:
        console.note(f"{error}; asking the cluster, which has the last lines of pods that are still there")
        _print(from_cluster(client, stack.settings.product, component, seconds, text, follow=follow))


def refuse_unknown(component: str | None, known: list[str], stack: str) -> None:
    """Raise UserError for a component that the stack does not have, with those that it has."""
    if component is None or component in known:
        return
    near = difflib.get_close_matches(component, known, n=1)
    meant = f" - did you mean {near[0]}?" if near else ""
    raise UserError(f"stack {stack} has no component {component!r}{meant}; it has {', '.join(known)}")


@contextlib.contextmanager
def loki_of(client: Kubectl, logs: Logs) -> Generator[Loki]:
    """Give the Loki that keeps the stack's lines; AwayError when there is none, or its pod does not run."""
    namespace = logs.kept_in(client.namespace)
    if namespace is None:
        raise AwayError("the stack keeps no lines (logs.where is none)")
    there = Kubectl(client.program, client.cluster, namespace)
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(there.forwarded("loki", PORT, running_seconds=RUNNING_SECONDS))
        except FailedError as error:
            raise AwayError(f"Loki of namespace {namespace} does not answer ({error})") from None
        yield Loki(url, client.namespace, namespace)


def from_cluster(client: Kubectl, product: str, component: str | None, seconds: int, text: str | None, *, follow: bool) -> Iterator[Line]:
    """Yield the lines that the kubelets still have, in the order in which they were written; those that follow as they come."""
    selector = f"app.kubernetes.io/name={product}" + (f",app.kubernetes.io/component={component}" if component else "")
    words = ["--all-containers", "--prefix", "--timestamps", "--tail=-1", f"--since={seconds}s", "--max-log-requests=100"]
    argv = client.argv("logs", "--selector", selector, *words, *(["--follow"] if follow else []))
    console.command(argv)
    with subprocess.Popen(
        argv, env=users(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as reading:
        assert reading.stdout and reading.stderr
        lines = (line for raw in reading.stdout if (line := parsed(raw)) and (text is None or text in line.text))
        yield from lines if follow else sorted(lines)
        said = reading.stderr.read().strip()
    if reading.returncode:
        raise FailedError(f"kubectl logs: {said or 'no answer'}")


def parsed(raw: str) -> Line | None:
    """Return a line of `kubectl logs --prefix --timestamps`; None when it is none."""
    match = _LINE.match(raw.rstrip("\n"))
    if not match:
        return None
    moment, _, fraction = match["at"].rstrip("Z").partition(".")
    try:
        seconds = datetime.fromisoformat(f"{moment}+00:00").timestamp()
    except ValueError:
        return None
    return Line(int(seconds) * NANO + int(fraction.ljust(9, "0")[:9] or 0), match["pod"], match["text"])


def _begun(lines: Iterator[Line], source: str) -> Iterator[Line]:
    """Say whom the lines are from when the first is there: before that it may turn out that nobody answers."""
    first = next(lines, None)
    console.note(f"from {source}" if first else f"from {source}: no lines")
    if first:
        yield first
    yield from lines


def _followed(found: Loki, asked: str, since: int) -> Iterator[Line]:
    known: set[Line] = set()
    while True:
        now = time.time_ns()
        for line in found.lines(asked, since - LATE, now):
            if line not in known and line.at >= since:
                yield line
            known.add(line)
        known = {line for line in known if line.at >= now - 2 * LATE}
        since = max(since, now - LATE)
        time.sleep(POLL_SECONDS)


def _print(lines: Iterable[Line]) -> None:
    for line in lines:
        console.result(line.shown())

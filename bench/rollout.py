"""Replace web pods in every way there is while people ask for pages, and count the requests that failed.

    python -m bench.rollout                         a rollout, a pod deleted, the nightly restart, a drained node: 10,000 requests each
    python -m bench.rollout --only rollout --rate 100
    python -m bench.rollout --only spaced           requests as far apart as idle connections live, with nobody else asking

It wants a stack that is up with a Gateway (edge.where: gateway) and two web pods. The restart wants restart.processes: [web]; the drain a
sandbox of two nodes or more (`./sy sandbox up --nodes 3`), and is of one that the load balancer's traffic does not arrive at: an address
of this sandbox has one way in at a time, where a cloud's balancer would let the connections on it end in peace.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.figures import show
from bench.installation import Installation
from bench.load import wait_until
from bench.opened import opened_target
from bench.visitors import Crowd, Visits, Way, around, spaced
from settings.edge_checks import routes
from settings.quantities import seconds_of
from settings.stack import Settings

REQUESTS, RATE = 10_000, 120.0
SETTLE_SECONDS = 5.0
ROLLOUT_SECONDS = 240
WEB = "web"

Replace = Callable[[Installation], None]
"""Has web pods replaced, and returns when the new ones serve."""


def way_in(outputs: Mapping[str, Any]) -> Way:
    """Return the edge that a stack's outputs describe."""
    edge = outputs["edge"]
    return Way(str(edge["host"]), int(edge["port"]), str(edge["server_name"]), edge.get("ca"))


def rollout(installation: Installation) -> None:
    """Replace every web pod, as another release does."""
    installation.run("rollout", "restart", f"deployment/{WEB}")
    _rolled_out(installation)


def deleted(installation: Installation) -> None:
    """Delete one web pod."""
    installation.run("delete", "pod", installation.ready_pods(WEB)[0], "--wait=false")
    _whole(installation)


def restarted(installation: Installation) -> None:
    """Run the nightly restart now."""
    job = f"restart-bench-{int(time.time())}"
    installation.run("create", "job", "--from=cronjob/restart", job)
    try:
        installation.run("wait", f"job/{job}", "--for=condition=Complete", "--timeout=110s")
    finally:
        installation.run("delete", "job", job, "--wait=false")
    _whole(installation)


def drained(installation: Installation) -> None:
    """Drain a node with a web pod on it, and give it back."""
    node = node_to_drain(installation)
    words = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--pod-selector={SELECTOR}", "--timeout=100s")
    try:
        installation.run("drain", node, *words)
        _whole(installation)
    finally:
        installation.run("uncordon", node)


SELECTOR = "app.kubernetes.io/component=web"
"""Only they are the matter here; what a drain does to databases is measured elsewhere (tests/cluster/test_nodes.py)."""


def node_to_drain(installation: Installation) -> str:
    """Return a node with a web pod that is not the last one which could take it."""
    nodes = [str(node["metadata"]["name"]) for node in installation.objects("nodes")]
    if len(nodes) < 2:
        raise SystemExit("a drain needs two nodes: ./sy sandbox up --nodes 3")
    return str(installation.pods(WEB)[0]["spec"]["nodeName"])


def _rolled_out(installation: Installation) -> None:
    installation.run("rollout", "status", f"deployment/{WEB}", "--timeout=110s")
    _whole(installation)


def _whole(installation: Installation) -> None:
    """Wait until as many web pods serve as should, and none is on its way out."""

    def done() -> bool:
        pods = installation.objects("pods", "--selector", SELECTOR)
        wanted = json.loads(installation.run("get", "deployment", WEB, "--output", "json"))["spec"]["replicas"]
        return len(pods) == wanted == len(installation.ready_pods(WEB))

    wait_until(done, ROLLOUT_SECONDS, lambda: installation.run("get", "pods", "--selector", SELECTOR))


REPLACE: dict[str, Replace] = {"rollout": rollout, "pod-deleted": deleted, "nightly-restart": restarted, "node-drained": drained}


def under_load(installation: Installation, way: Way, replace: Replace, *, requests: int = REQUESTS, rate: float = RATE) -> Visits:
    """Have web pods replaced, again and again if that is quick, while so many requests come in; return what became of them."""
    with Crowd(way, rate) as crowd:
        wait_until(lambda: crowd.visits.count > rate, 60, lambda: f"nobody is answered at {way.host}:{way.port}: {crowd.visits}")
        replace(installation)
        time.sleep(SETTLE_SECONDS)
        while crowd.visits.count < requests:
            replace(installation)
            time.sleep(SETTLE_SECONDS)
    return crowd.visits


def kept_alive(settings: Settings) -> list[float]:
    """Return for how many seconds idle connections live, between the gateway and the web processes that it asks."""
    asked = [seconds_of(settings.web[name].keep_alive) for name in routes(settings) if name in settings.web]
    return sorted({float(seconds_of(settings.edge.keep_alive.app)), *map(float, asked)})


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.rollout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[*REPLACE, "spaced"], action="append", help="only this; may be repeated")
    parser.add_argument("--requests", type=int, default=REQUESTS, metavar="N", help=f"at least so many for each (default {REQUESTS})")
    parser.add_argument("--rate", type=float, default=RATE, metavar="N", help=f"requests a second (default {RATE:g})")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="how often each pause is tried (default 2)")
    parser.add_argument("--stack", default="sandbox", help="the stack (default sandbox)")
    words = parser.parse_args()
    target = opened_target(words.stack)
    outputs, settings = target.outputs(), target.stack.settings
    if "edge" not in outputs:
        parser.error(f"stack {words.stack} has no Gateway: say edge: {{where: gateway}} and bring it up")
    installation = Installation.of(target.reached(), outputs)
    way = way_in(outputs)
    for name in words.only or ["spaced", *REPLACE]:
        if name == "spaced":
            visits = spaced(way, around(*kept_alive(settings)), words.rounds)
        else:
            visits = under_load(installation, way, REPLACE[name], requests=words.requests, rate=words.rate)
        about = REPLACE.get(name, spaced).__doc__ or ""
        print(f"{name}: {about.splitlines()[0]}\n    {visits}", flush=True)
        show(f"{name}: requests", visits.count, "")
        show(f"{name}: failed", visits.failures.total(), "", 0)


if __name__ == "__main__":
    main()

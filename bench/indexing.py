"""How fast the demo's indexer is, beside bulk requests sent straight at the same Elasticsearch in the same run.

    python -m bench.indexing --stack sandbox --events 50000

It wants a stack that is up, with Elasticsearch and the demo app. The events are made for it and gone afterwards; the indexer's own
process is stopped meanwhile. Straight means: the same documents, prepared beforehand, in requests of the same size over one connection.
"""

import argparse
import json
import subprocess

from bench.figures import show
from bench.opened import opened_target
from cli.kubectl import Kubectl

LEAST_RATIO = 0.8
HEAP_LIMIT_PERCENT = 75
"""The alarm line of ElasticsearchHeapHigh."""
SECONDS = 1800


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.indexing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="sandbox", help="the stack to measure, which is up (default: sandbox)")
    parser.add_argument("--events", type=int, default=50_000, help="events to index (default: 50000)")
    given = parser.parse_args()
    kubectl = opened_target(given.stack).reached()
    replicas = run(kubectl, "get", "deployment/indexer", "--output", "jsonpath={.spec.replicas}")
    run(kubectl, "scale", "deployment/indexer", "--replicas=0")
    try:
        words = ("exec", "deployment/web", "--container", "app", "--", "bin/rake", f"search:measure[{given.events}]")
        print_figures(json.loads(run(kubectl, *words).splitlines()[-1]))
    finally:
        run(kubectl, "scale", "deployment/indexer", f"--replicas={replicas}")


def print_figures(measured: dict[str, float]) -> None:
    """Print what the app measured."""
    events = measured["events"]
    straight, own = events / measured["straight_seconds"], events / measured["indexer_seconds"]
    show("bulk requests sent straight", straight, "/s", note=f"{events:g} events, {measured['batch']:g} a request")
    show("the indexer", own, "/s")
    kept = "kept" if own / straight >= LEAST_RATIO else "MISSED"
    show("the indexer's share of that", own / straight, "", note=f"asked: at least {LEAST_RATIO}: {kept}")
    show("fullest heap", measured["heap_percent"], "%", HEAP_LIMIT_PERCENT)


def run(kubectl: Kubectl, *words: str) -> str:
    """Run kubectl and return its output; SystemExit with what it said when it fails."""
    done = subprocess.run(kubectl.argv(*words), capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

"""Who reaches whom on a stack of the sandbox: every pair dialled with real packets, and held against what the settings say.

    python -m bench.matrix                    the sandbox's own stack
    python -m bench.matrix --stack forked

From the network namespace of each pod, and from a machine outside the cluster, it dials every port that any pod listens on, every
Service, the load balancers, the API server, the registry, the kubelets, and a public address. What is expected comes from the
NetworkPolicies as the stack is rendered; those of other namespaces are read from the cluster. TCP alone; the nodes themselves are left
out, because the sandbox's firewall lets their own addresses through.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.figures import show
from bench.stations import PUBLIC, PUBLIC_PORTS, Station, pods, stranger
from cli.kubectl import Kubectl
from cli.render import rendered
from cli.stack import DEFAULT
from cli.target import existing
from rendering import Rendered
from reports.connectivity import Network, Place, reaches
from sandbox.layout import API_PORT, API_SERVICE, HOST, REGISTRY_PORT
from tools.paths import ROOT
from tools.progress import Progress

KUBELET = 10250
SHOWN_TRIES, PAUSE_SECONDS = 4, 3
"""A policy reaches the firewall within seconds: what differs is dialled again."""


@dataclass(frozen=True)
class Door:
    """What is dialled: an address and port, and the place and port that packets arrive at in the end."""

    name: str
    address: str
    port: int
    behind: Place
    behind_port: int
    hidden: frozenset[str] = frozenset()
    """Addresses of the pods behind a Service: one that dials it may be led to itself."""


@dataclass(frozen=True, order=True)
class Pair:
    """One that was dialled: what came of it, and what was to."""

    source: str
    door: str
    expected: bool
    outcome: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.door}: {self.outcome}, and the settings {'let it' if self.expected else 'refuse it'}"


@dataclass(frozen=True)
class Matrix:
    """What was tried."""

    pairs: Sequence[Pair]
    differences: Sequence[Pair]
    listeners: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Of each pod of the stack, the ports that it was shown to listen on."""

    def opened(self, source: str) -> set[str]:
        """Return the doors that a station got through."""
        return {pair.door for pair in self.pairs if pair.source == source and pair.outcome == "open"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default=DEFAULT, help="the stack (default sandbox)")
    words = parser.parse_args()
    progress = Progress()
    target = existing(words.stack, progress)
    progress.close()
    began = time.monotonic()
    with stranger() as outsider:
        found = measured(target.reached(), rendered(words.stack), outsider)
    report(found, time.monotonic() - began)
    raise SystemExit(1 if found.differences else 0)


def report(found: Matrix, seconds: float) -> None:
    """Print the figures, and each difference."""
    for pair in found.differences:
        print(pair)
    outcomes = Counter(pair.outcome for pair in found.pairs)
    show("pods of the stack", len(found.listeners), "")
    show("ports shown to listen", sum(map(len, found.listeners.values())), "")
    show("pairs tried", len(found.pairs), "", note=", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()))
    show("differences from the settings", len(found.differences), "", 0)
    show("took", seconds, "s")


def measured(kubectl: Kubectl, made: Rendered, outsider: Station) -> Matrix:
    """Dial everything and return what came of it; what differs is tried again for a few seconds."""
    said = everything(kubectl)
    stations = [*pods(said, made), outsider]
    networks = [Network(made.namespace, [one for one in made.objects() if one["kind"] == "NetworkPolicy"]), *others(said, made.namespace)]
    doors = [*ports_of(stations), *services(said, stations, made), *around(said)]
    asked = {one.name: [door for door in doors if counts(one, door, made.namespace)] for one in stations}
    expected = {(one.name, door.name): expects(networks, one, door) for one in stations for door in asked[one.name]}
    outcomes = dialled(stations, asked)
    for _ in range(SHOWN_TRIES - 1):
        wrong = {
            one: [door for door in asked[one] if (outcomes[one, door.name] == "open") is not expected[one, door.name]] for one in asked
        }
        if not any(wrong.values()):
            break
        time.sleep(PAUSE_SECONDS)
        outcomes |= dialled(stations, wrong)
    pairs = sorted(Pair(*names, expected[names], outcome) for names, outcome in outcomes.items())
    own = {one.name: one.listens for one in stations if one.place.namespace == made.namespace}
    return Matrix(pairs, [pair for pair in pairs if (pair.outcome == "open") is not pair.expected], own)


def everything(kubectl: Kubectl) -> dict[str, list[dict[str, Any]]]:
    """Return the cluster's objects that matter, by kind."""
    kinds = "pods,services,networkpolicies,namespaces,nodes"
    argv = [*kubectl.cluster_argv(), "get", kinds, "--all-namespaces", "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    found: dict[str, list[dict[str, Any]]] = {"Pod": [], "Service": [], "NetworkPolicy": [], "Namespace": [], "Node": []}
    for one in json.loads(done.stdout)["items"]:
        found[one["kind"]].append(one)
    return found


def others(said: Mapping[str, list[dict[str, Any]]], namespace: str) -> list[Network]:
    """Return the policies of the other namespaces, as the cluster has them."""
    theirs = {one["metadata"]["namespace"] for one in said["NetworkPolicy"]} - {namespace}
    return [Network(name, [one for one in said["NetworkPolicy"] if one["metadata"]["namespace"] == name]) for name in sorted(theirs)]


def ports_of(stations: Sequence[Station]) -> list[Door]:
    """Return a door for each port that each pod listens on."""
    return [Door(f"{one.name}:{port}", one.place.address, port, one.place, port) for one in stations for port in one.listens]


def services(said: Mapping[str, list[dict[str, Any]]], stations: Sequence[Station], made: Rendered) -> list[Door]:
    """Return a door for each port of the stack's Services, and at load balancers' addresses also for each that leads nowhere."""
    labels = {(one["metadata"]["namespace"], one["metadata"]["name"]): one["metadata"].get("labels") or {} for one in said["Pod"]}
    numbers = sorted({port for one in stations if one.place.namespace == made.namespace for port in one.listens})
    doors: list[Door] = []
    for service in (one for one in said["Service"] if one["metadata"]["namespace"] == made.namespace):
        spec, name = service["spec"], service["metadata"]["name"]
        wanted: dict[str, str] = spec.get("selector") or {}
        behind = [
            one for one in stations if one.place.namespace == made.namespace and wanted.items() <= labels[made.namespace, one.name].items()
        ]
        ports = {entry["port"]: entry["targetPort"] for entry in spec["ports"]}
        hidden = frozenset(one.place.address for one in behind)
        if not behind or spec.get("clusterIP") == "None":
            continue
        place = behind[0].place
        doors += [Door(f"{name}:{port}", spec["clusterIP"], port, place, to, hidden) for port, to in ports.items()]
        for one in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
            for port in sorted({*numbers, *ports}):
                to = (place, ports[port]) if port in ports else (NOWHERE, 0)
                doors.append(Door(f"{name} ({one['ip']}):{port}", one["ip"], port, *to, hidden=hidden))
    return doors


NOWHERE = Place()


def around(said: Mapping[str, list[dict[str, Any]]]) -> list[Door]:
    """Return what stands around the stack: API server, registry, kubelets, and the world."""
    host, world = Place(HOST), Place(PUBLIC)
    doors = [Door(f"API server {HOST}:{API_PORT}", HOST, API_PORT, host, API_PORT)]
    doors += [Door(f"registry {HOST}:{REGISTRY_PORT}", HOST, REGISTRY_PORT, host, REGISTRY_PORT)]
    doors += [Door(f"API server {API_SERVICE}:443", API_SERVICE, 443, host, API_PORT)]
    for node in said["Node"]:
        address = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
        doors.append(Door(f"kubelet {address}:{KUBELET}", address, KUBELET, Place(address), KUBELET))
    return doors + [Door(f"the world, port {port}", PUBLIC, port, world, port) for port in PUBLIC_PORTS]


def counts(source: Station, door: Door, namespace: str) -> bool:
    """Say whether a pair is the stack's affair: one end is in its namespace, or it shows that something listens there."""
    if source.place.address in {door.address, door.behind.address, *door.hidden}:
        return False
    if source.place.namespace is None:
        return door.behind.namespace == namespace or door.behind is NOWHERE
    return namespace in (source.place.namespace, door.behind.namespace) or door.behind.namespace is None


def expects(networks: Sequence[Network], source: Station, door: Door) -> bool:
    """Say whether the settings let a station through a door. The machine outside has a route to Services, as no real one has."""
    return door.behind is not NOWHERE and reaches(networks, source.place, door.behind, door.behind_port)


def dialled(stations: Sequence[Station], asked: Mapping[str, Sequence[Door]]) -> dict[tuple[str, str], str]:
    """Dial doors from each station, and return what came of each."""
    given = {one.netns: [(door.address, door.port) for door in asked[one.name]] for one in stations if asked.get(one.name)}
    argv = [sys.executable, str(ROOT / "bench" / "dialling.py")]
    done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=300)
    said: dict[str, list[str]] = json.loads(done.stdout)
    return {
        (one.name, door.name): outcome
        for one in stations
        if asked.get(one.name)
        for door, outcome in zip(asked[one.name], said[one.netns], strict=True)
    }


if __name__ == "__main__":
    main()

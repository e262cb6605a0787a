"""Where is dialled from on the sandbox: each pod's network namespace, found from below, and a machine outside the cluster."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rendering import Rendered
from reports.connectivity import Place
from sandbox.containers import containers
from sandbox.host import run
from sandbox.layout import nodes_up_to
from sandbox.network import NETNS, ROUTE_PROTOCOL, Outside, outside

COMPONENT = "app.kubernetes.io/component"
PUBLIC = "198.51.100.10"
"""An address of nobody (RFC 5737), which stands for all public ones; the machine outside has it."""
PUBLIC_PORTS = (25, 80, 443, 587, 5432, 8883)
LISTENS, LOOPBACK = "0A", ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
"""As the kernel writes them in /proc/net/tcp."""


@dataclass(frozen=True)
class Station:
    """Where is dialled from: a pod, or the machine outside."""

    name: str
    place: Place
    netns: str
    listens: tuple[int, ...] = ()
    """TCP ports that something in it listens on, other than for itself."""


def pods(said: Mapping[str, list[dict[str, Any]]], made: Rendered) -> list[Station]:
    """Return the pods that run; those of the stack have the labels that it gave them, and what they listen on is looked up."""
    given = {labels[COMPONENT]: labels for labels in template_labels(made)}
    known = (*said["Namespace"], *(one for one in made.objects() if one["kind"] == "Namespace"))
    spaces = {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in known}
    namespaces = pause_processes()
    found: list[Station] = []
    for pod in said["Pod"]:
        about, status = pod["metadata"], pod["status"]
        key = about["namespace"], about["name"]
        gone = status.get("phase") != "Running" or "deletionTimestamp" in about or pod["spec"].get("hostNetwork")
        if gone or not status.get("podIP") or key not in namespaces:
            continue
        ours = about["namespace"] == made.namespace
        # A pod that nothing of the stack makes has the labels that it has.
        labels = given.get(about["labels"].get(COMPONENT), about["labels"]) if ours else about.get("labels") or {}
        pid = namespaces[key]
        name = about["name"] if ours else "/".join(key)
        found.append(
            Station(
                name, Place(status["podIP"], labels, about["namespace"], spaces[about["namespace"]]), f"/proc/{pid}/ns/net", listened(pid)
            )
        )
    return found


def template_labels(made: Rendered) -> list[dict[str, str]]:
    """Return the labels of all pods that a stack makes."""
    found: list[dict[str, str]] = []
    for one in made.objects():
        spec = one.get("spec") or {}
        spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if one["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
            found.append(spec["template"]["metadata"]["labels"])
    return found


def pause_processes() -> dict[tuple[str, str], int]:
    """Return the process that holds each pod's network namespace, by namespace and name."""
    found: dict[tuple[str, str], int] = {}
    for node in nodes_up_to(3):
        for container in containers(node):
            if container.pauses and (main := container.main()):
                about = json.loads((container.bundle / "config.json").read_text())["annotations"]
                found[about["io.kubernetes.cri.sandbox-namespace"], about["io.kubernetes.cri.sandbox-name"]] = main[0]
    return found


def listened(pid: int) -> tuple[int, ...]:
    """Return the TCP ports that are listened on in a process's network namespace, loopback's left out."""
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            address, _, port = line.split()[1].partition(":")
            if line.split()[3] == LISTENS and address not in LOOPBACK:
                ports.add(int(port, 16))
    return tuple(sorted(ports))


@contextmanager
def stranger() -> Generator[Station]:
    """Give a machine outside the cluster, which listens at a public address while the block runs."""
    with outside("matrix") as made, ExitStack() as undone:
        run("ip", "-n", made.netns, "address", "add", f"{PUBLIC}/32", "dev", "eth0")
        run("ip", "route", "replace", PUBLIC, "via", made.address, "proto", ROUTE_PROTOCOL)
        undone.callback(run, "ip", "route", "del", PUBLIC, "via", made.address, check=False)
        undone.enter_context(_listening(made))
        yield Station("outside", Place(made.address), str(NETNS / made.netns))


LISTEN = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in sys.argv[2:]:
    chosen.register(socket.create_server((sys.argv[1], int(port)), backlog=512), selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in chosen.select():
        key.fileobj.accept()[0].close()
"""


@contextmanager
def _listening(where: Outside) -> Generator[None]:
    argv = where.argv(sys.executable, "-c", LISTEN, PUBLIC, *map(str, PUBLIC_PORTS))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline(), "nobody listens at the public address"
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield
        finally:
            process.terminate()

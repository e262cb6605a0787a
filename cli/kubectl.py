"""kubectl: its command lines, and what is asked of the cluster after `up`. Builders return argv and run nothing."""

import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cli import process
from cli.environment import users
from cli.errors import FailedError
from settings.stack import Cluster
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

WORKLOADS = "deployments,statefulsets,services,endpointslices"
READY_SECONDS = 300
"""A pod that has to pull a large image and boot Rails on two busy cores takes a third of it."""
POLL_SECONDS = 0.5
SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one stack: its cluster and namespace, never the user's current context."""

    program: Path
    cluster: Cluster
    namespace: str

    def argv(self, *words: str) -> list[str]:
        """Return the command line of a subcommand."""
        return [*self.cluster_argv(), "--namespace", self.namespace, *words]

    def cluster_argv(self) -> list[str]:
        """Return the beginning of a command line that is about the cluster as a whole."""
        file, context = self.cluster.kubeconfig, self.cluster.context
        where = ["--kubeconfig", str(Path(file).expanduser())] if file else []
        return [str(self.program), *where, *(["--context", context] if context else [])]

    def shown(self) -> str:
        """Return the command as it could be typed, with what leads to the cluster and without the namespace."""
        return shlex.join(["kubectl", *self.argv()[1:-2]])

    def get(self, *words: str) -> Object:
        """Return what `kubectl get … --output json` says; FailedError with its message when it fails."""
        done = process.capture(self.argv("get", *words, "--output", "json", "--request-timeout=20s"), users(), ROOT)
        if done.returncode != 0:
            raise FailedError(f"kubectl get {words[0]}: {done.stderr.strip() or 'no answer'}")
        return cast("Object", json.loads(done.stdout)) if done.stdout.strip() else {}

    def raw(self, path: str) -> Object:
        """Return what the API server answers to a path; FailedError with its message when it refuses."""
        done = process.capture(self.argv("get", "--raw", path, "--request-timeout=20s"), users(), ROOT)
        if done.returncode != 0:
            raise FailedError(f"kubectl get --raw {path}: {done.stderr.strip() or 'no answer'}")
        return cast("Object", json.loads(done.stdout))

    def check_reachable(self) -> None:
        """Raise UserError unless the API server answers."""
        done = process.capture(self.argv("get", "--raw", "/version", "--request-timeout=8s"), users(), ROOT, seconds=15)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()
            raise UserError(
                f"cluster {self.cluster.identifier} (context {self.cluster.context}) can not be reached: "
                f"{reason[-1] if reason else 'no answer'}; look with: kubectl --context {self.cluster.context} version"
            )

    def namespace_labels(self) -> dict[str, str] | None:
        """Return the labels of the namespace; None when there is none."""
        found = self.get("namespace", self.namespace, "--ignore-not-found")
        return cast("dict[str, str]", found["metadata"].get("labels") or {}) if found else None

    def service_addresses(self) -> dict[str, str]:
        """Return the cluster address of each Service, by name; this machine has a route to those of the sandbox."""
        found = cast("list[Object]", self.get("services")["items"])
        return {str(part(one, "metadata")["name"]): str(part(one, "spec").get("clusterIP")) for one in found}

    def secret(self, name: str) -> dict[str, str]:
        """Return the values of a Secret."""
        found = part(self.get("secret", name), "data")
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    @contextlib.contextmanager
    def forwarded(self, service: str, port: int = 80, *, running_seconds: int = 60) -> Generator[str]:
        """Give a URL on this machine that leads to a Service's port while the block runs; FailedError when there is no way.

        A pod must run within `running_seconds`.
        """
        with self.forwarding(service, port, running_seconds=running_seconds) as (url, _):
            yield url

    @contextlib.contextmanager
    def forwarding(
        self, service: str, port: int, local: int = 0, *, running_seconds: int = 60
    ) -> "Generator[tuple[str, subprocess.Popen[str]]]":
        """Give a URL that leads to a port of a Service, and what forwards it, which ends when the pod behind it does.

        `local` is the port on this machine; 0 is any that is free. FailedError when there is no way.
        """
        argv = self.argv("port-forward", f"service/{service}", f"{local or ''}:{port}", f"--pod-running-timeout={running_seconds}s")
        # A process group of its own: Ctrl-C is ours to pass on.
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env=users(), cwd=ROOT, stdout=pipe, stderr=pipe, text=True, process_group=0) as running:
            try:
                assert running.stdout and running.stderr
                # It writes where it listens, or ends with a reason.
                found = re.search(r"127\.0\.0\.1:(\d+)", running.stdout.readline())
                if not found:
                    raise FailedError(f"kubectl port-forward service/{service}: {running.stderr.read().strip() or 'no answer'}")
                # Then a line for each connection: unread, it would stop after some thousands.
                threading.Thread(target=running.stdout.read, daemon=True).start()
                yield f"http://127.0.0.1:{found[1]}", running
            finally:
                running.terminate()

    def wait_ready(self, progress: Progress, seconds: float = READY_SECONDS) -> None:
        """Wait until every workload is ready and every Service has somebody behind it; FailedError says what is not."""
        deadline = time.monotonic() + seconds
        waiting = self.waiting()
        while waiting:
            with progress.step(f"waiting for {_shortened(waiting)}"):
                before = waiting
                while waiting == before and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
                    waiting = self.waiting()
            if waiting and time.monotonic() >= deadline:
                raise FailedError(f"after {seconds:.0f} s not ready: {', '.join(waiting)}. Look with: ./sy kubectl get pods,events")

    def waiting(self) -> list[str]:
        """Return the workloads and Services that can not serve yet, as `kind/name`."""
        return unready(cast("list[Object]", self.get(WORKLOADS)["items"]))


def unready(objects: Sequence[Object]) -> list[str]:
    """Return the workloads and Services among `objects` that can not serve, as `kind/name`, sorted.

    The engine calls a Service ready that has no endpoints, and a StatefulSet by a status that may be of before the update.
    """
    served = {_labels(found)[SERVICE_OF_SLICE] for found in objects if found["kind"] == "EndpointSlice" and _has_ready(found)}
    names: list[str] = []
    for found in objects:
        kind, name = str(found["kind"]), str(found["metadata"]["name"])
        if kind in ("Deployment", "StatefulSet") and not _rolled_out(found):
            names.append(f"{kind.lower()}/{name}")
        elif kind == "Service" and found["spec"].get("selector") and name not in served:
            names.append(f"service/{name}")
    return sorted(names)


def part(found: Object, name: str) -> Object:
    """Return a map inside an object; empty when it is not there."""
    return cast("Object", found.get(name) or {})


def find(built: Path | None) -> Path:
    """Return the kubectl to use: one that is built already, or the machine's own."""
    if built and built.exists():
        return built
    for folder in os.get_exec_path():
        if os.access(Path(folder) / "kubectl", os.X_OK):
            return Path(folder) / "kubectl"
    raise UserError("kubectl is not installed: install it from your cluster's vendor or https://kubernetes.io/docs/tasks/tools/")


def _rolled_out(found: Object) -> bool:
    wanted, status = part(found, "spec").get("replicas", 1), part(found, "status")
    fresh = int(status.get("observedGeneration", 0)) >= int(part(found, "metadata").get("generation", 0))
    return fresh and all(status.get(field, 0) == wanted for field in ("updatedReplicas", "readyReplicas", "replicas"))


def _has_ready(found: Object) -> bool:
    endpoints = cast("list[Object]", found.get("endpoints") or [])
    return SERVICE_OF_SLICE in _labels(found) and any(_is_ready(endpoint) for endpoint in endpoints)


def _is_ready(endpoint: Object) -> bool:
    return bool(part(endpoint, "conditions").get("ready"))


def _labels(found: Object) -> dict[str, str]:
    return part(part(found, "metadata"), "labels")


def _shortened(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

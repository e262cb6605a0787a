"""The sandbox as a whole: up, down, status, reset."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from sandbox import addons, containers, control_plane, faults, filesystems, host, network, node, registry
from sandbox.api import Api, Object
from sandbox.layout import CONTEXT, MAX_NODES, REGISTRY, RUN, Images, Layout, Node, Programs, nodes_up_to
from sandbox.processes import Processes, end, resident
from sandbox.removal import Removal
from sandbox.status import NodeStatus, ProcessStatus, SandboxStatus, dns_answers, is_ready, ready_since
from sandbox.waiting import wait_for
from tools.errors import UserError
from tools.progress import Progress

POD_GRACE_SECONDS = 10.0
"""How long containers may take to end when the sandbox stops: enough for Postgres' last checkpoint."""

READY_SECONDS = 180.0
"""A node that is not ready after so long never will be; a cold start on two busy cores takes a third of it."""


@dataclass(frozen=True)
class Wish:
    """What the last `up` was asked for, kept for the next."""

    nodes: int
    pause: str
    coredns: str


class Sandbox:
    """One cluster of one to three nodes, with all its state in one folder. Only one can be up on a machine."""

    context = CONTEXT
    registry = REGISTRY

    def __init__(self, state_dir: Path, programs: Programs) -> None:
        """Keep everything in `state_dir`/sandbox; `programs` tells where the built programs are."""
        self._layout = Layout((state_dir / "sandbox").absolute())
        self._programs = programs
        self._processes = Processes(self._layout.root, self._layout.pids, self._layout.logs)
        self._api = Api(self._layout.pki)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; its context is `sandbox`."""
        return self._layout.kubeconfig

    def registry_up(self, progress: Progress) -> None:
        """Bring up the bridge and the registry alone, so that images can be pushed before any node starts."""
        with self._locked():
            self._registry_up(progress)

    def up(self, nodes: int | None, progress: Progress, images: Images | None = None) -> None:
        """Bring the sandbox up with `nodes` nodes (None: as many as last time, at first one), and wait until it serves.

        `images` must be in the registry; None takes those of the last time. What already runs is left alone. Raises
        UserError when the machine lacks something, an address is taken, or a part does not start.
        """
        with self._locked():
            wish = self._wish(nodes, images)
            self._registry_up(progress)
            self._layout.record.write_text(json.dumps(asdict(wish)))
            self._start(wish, progress)

    def down(self, progress: Progress) -> None:
        """Stop everything and leave nothing on the machine but the state folder; nodes' pods get a short grace."""
        if not self._layout.root.exists():
            return
        host.require_root()
        with self._locked():
            self._down(progress)

    def reset(self, progress: Progress) -> None:
        """Stop everything and delete the state: objects, volumes, images, keys."""
        self.down(progress)
        if self._layout.root.exists():
            with progress.step("deleting the sandbox's state"):
                shutil.rmtree(self._layout.root)

    def status(self) -> SandboxStatus:
        """Look at everything once; changes nothing and waits a second at most."""
        wish = self._recorded()
        names = _expected(wish.nodes) if wish else self._processes.names()
        processes = tuple(self._process_status(name) for name in names)
        answers = any(process.running for process in processes) and self._api.ready()
        nodes = self._node_status(answers, wish.nodes if wish else 0)
        return SandboxStatus(self._layout.root.exists(), answers, registry.answers(), nodes, processes)

    def cut(self, number: int) -> None:
        """Pull the cable of node `number`: it runs on, and nobody reaches it."""
        network.set_cable(Node(number), up=False)

    def mend(self, number: int) -> None:
        """Plug the cable of node `number` in again."""
        network.set_cable(Node(number), up=True)

    def kill_node(self, number: int) -> None:
        """Cut the power of node `number`: its processes and pods end at once; `up` brings it back."""
        faults.kill_node(self._processes, Node(number))

    def kill_everything(self) -> None:
        """Cut the power of the whole sandbox, leaving mounts, records and cables as they are; `up` or `down` cleans up."""
        faults.kill_everything(self._processes, nodes_up_to(MAX_NODES))

    def _start(self, wish: Wish, progress: Progress) -> None:
        wanted = nodes_up_to(wish.nodes)
        host.tune_kernel(self._layout.kernel)
        with self._together(1 + len(wanted)) as together:
            with progress.step("starting the control plane and the nodes' containerd"):
                together([self._control_plane_up, *(partial(self._node_up, each, wish.pause) for each in wanted)])
            with progress.step(f"joining {wish.nodes} node{'s' if wish.nodes > 1 else ''}"):
                dns = partial(addons.apply, self._api, wish.coredns, wish.nodes)
                together([*(partial(self._join, each) for each in wanted), dns])
        with progress.step("waiting for the cluster's DNS"):
            wait_for("kube-apiserver", dns_answers, self._processes, READY_SECONDS, "has a DNS that did not answer")
        self._removal.remove_beyond(wish.nodes, progress)

    def _control_plane_up(self) -> None:
        control_plane.up(self._layout, self._programs, self._processes, self._api)

    def _node_up(self, each: Node, pause: str) -> None:
        node.up(self._layout, self._programs, self._processes, each, pause)

    def _join(self, each: Node) -> None:
        began = time.time()
        started = node.join(self._layout, self._programs, self._processes, each, self._api)
        wait_for(
            node.part("kubelet", each),
            lambda: ready_since(self._api, each, began if started else 0),
            self._processes,
            READY_SECONDS,
            "did not make its node ready",
        )
        node.check(self._processes, each)

    def _registry_up(self, progress: Progress) -> None:
        host.require_packages(progress)
        filesystems.make_run(self._layout)
        self._check_addresses()
        network.make_bridge()
        if not registry.answers():
            with progress.step("starting the image registry"):
                registry.up(self._layout, self._programs, self._processes)
        else:
            registry.up(self._layout, self._programs, self._processes)

    def _check_addresses(self) -> None:
        network.check_ranges()
        ports = {registry.NAME: registry.PORTS, **control_plane.PORTS}
        network.check_ports([port for name in ports if not self._processes.running(name) for port in ports[name]])

    def _down(self, progress: Progress) -> None:
        if filesystems.is_mounted(RUN) and not filesystems.owned_by(self._layout):
            return
        every = nodes_up_to(MAX_NODES)
        with progress.step("stopping pods and nodes"):
            node.down(self._processes, every, POD_GRACE_SECONDS)
        with progress.step("stopping the control plane"):
            control_plane.down(self._processes)
            self._processes.stop(self._processes.names())
            end(self._processes.marked(), 1.0)
        containers.remove_parents()
        network.remove_bridge()
        filesystems.remove_run(self._layout)
        host.restore_kernel(self._layout.kernel)

    def _wish(self, nodes: int | None, images: Images | None) -> Wish:
        old = self._recorded()
        count = nodes if nodes is not None else old.nodes if old else 1
        if not 1 <= count <= MAX_NODES:
            raise UserError(f"The sandbox has 1 to {MAX_NODES} nodes, not {count}.")
        if images:
            return Wish(count, images.pause, images.coredns)
        if old is None:
            raise UserError(f"Nothing is known in {self._layout.root}: the first `up` needs the images of pause and coredns.")
        return Wish(count, old.pause, old.coredns)

    def _recorded(self) -> Wish | None:
        try:
            return Wish(**json.loads(self._layout.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _process_status(self, name: str) -> ProcessStatus:
        record = self._processes.record(name)
        if record is None or not record.alive():
            return ProcessStatus(name, None, 0)
        return ProcessStatus(name, record.pid, resident(record.pid))

    def _node_status(self, answers: bool, count: int) -> tuple[NodeStatus, ...]:
        items: list[Object] = self._api.get("/api/v1/nodes")["items"] if answers else []
        ready = {item["metadata"]["name"] for item in items if is_ready(item)}
        return tuple(NodeStatus(each.name, each.address, each.name in ready) for each in nodes_up_to(count))

    @property
    def _removal(self) -> Removal:
        return Removal(self._layout, self._programs, self._processes, self._api)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Hold the sandbox's lock: two commands at once would undo each other's work."""
        host.require_root()
        self._layout.make()
        with self._layout.lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise UserError(f"Another command (pid {lock.read().strip()}) is changing the sandbox: wait for it.") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @contextmanager
    def _together(self, threads: int) -> Generator[Callable[[Sequence[Callable[[], object]]], None]]:
        """Give a function that runs functions side by side; the first failure, or Ctrl-C, ends the waiting of all."""
        pool = ThreadPoolExecutor(max_workers=threads)
        self._processes.interrupted.clear()

        def together(functions: Sequence[Callable[[], object]]) -> None:
            for done in as_completed([pool.submit(function) for function in functions]):
                done.result()

        try:
            yield together
        except BaseException:
            self._processes.interrupted.set()
            raise
        finally:
            pool.shutdown()


def _expected(nodes: int) -> list[str]:
    """Return the names of all processes of a sandbox with `nodes` nodes, in the order in which they start."""
    first = [registry.NAME, *(name for group in reversed(control_plane.STOP_ORDER) for name in group)]
    return first + [node.part(name, each) for each in nodes_up_to(nodes) for name in node.PARTS]

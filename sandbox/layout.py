"""Where the sandbox's parts stand: addresses on the bridge, folders, names. Nothing here does anything."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

BRIDGE = "sy0"
BRIDGE_ALIAS = "switchyard-sandbox"
"""Written on the bridge, so that a bridge of somebody else is never taken for ours."""

NETWORK = "10.118.0.0/24"
HOST = "10.118.0.1"
"""The machine itself: API server and registry listen here, and nowhere else."""

PODS = "10.119.0.0/16"
SERVICES = "10.120.0.0/16"
API_SERVICE = "10.120.0.1"
DNS_SERVICE = "10.120.0.10"
BALANCERS = "10.121.0.0/24"
"""Addresses of Services of type LoadBalancer, given out by the sandbox controller."""

API_PORT = 6443
REGISTRY_PORT = 5000
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
REGISTRY = f"{HOST}:{REGISTRY_PORT}"
API_URL = f"https://{HOST}:{API_PORT}"

CONTEXT = "sandbox"
"""The context's name in the kubeconfig."""

MAX_NODES = 3

RUN = Path("/run/switchyard")
"""Sockets, mounts and state that a reboot ends. Not in the state folder: the path of a socket has at most 107 characters."""

OUTSIDE_FIRST = 200
OUTSIDE_LAST = 249
"""Last bytes of the addresses that test clients outside the cluster get."""


class Programs(Protocol):
    """The programs that the sandbox runs, wherever they were built."""

    def program(self, name: str) -> Path:
        """Return the path of the program called `name`."""
        ...


@dataclass(frozen=True)
class Images:
    """References of the two images that the sandbox itself needs, as its nodes pull them."""

    pause: str
    coredns: str


@dataclass(frozen=True)
class Node:
    """One node's names and addresses; `number` counts from 1."""

    number: int

    @property
    def name(self) -> str:
        """Name of the Node object and host name of the kubelet."""
        return f"node-{self.number}"

    @property
    def netns(self) -> str:
        """Name of the network namespace under /run/netns."""
        return f"sy-{self.name}"

    @property
    def address(self) -> str:
        """Address on the bridge."""
        return f"10.118.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """Range of its pods' addresses."""
        return f"10.119.{self.number}.0/24"

    @property
    def link(self) -> str:
        """The host's end of the cable between bridge and node."""
        return f"sy-n{self.number}"

    @property
    def run(self) -> Path:
        """Folder of the node's sockets and containerd's state."""
        return RUN / self.name

    @property
    def mounts(self) -> Path:
        """The node's mount namespace, kept alive by a mount on this file."""
        return self.run / "mounts"

    @property
    def namespaces(self) -> tuple[str, str]:
        """Options of nsenter for a process on the node."""
        return f"--mount={self.mounts}", f"--net=/run/netns/{self.netns}"

    @property
    def containerd_socket(self) -> Path:
        """Where the node's containerd listens."""
        return self.run / "containerd.sock"


def nodes_up_to(count: int) -> list[Node]:
    """Return the nodes 1 to `count`."""
    return [Node(number) for number in range(1, count + 1)]


@dataclass(frozen=True)
class Layout:
    """The folders of one sandbox; `root` holds all that must survive a reboot."""

    root: Path

    @property
    def pki(self) -> Path:
        """Keys and certificates, readable by root alone."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        """One record a process that was started."""
        return self.root / "pids"

    @property
    def etcd(self) -> Path:
        """The cluster's objects."""
        return self.root / "etcd"

    @property
    def registry(self) -> Path:
        """The image registry's blobs."""
        return self.root / "registry"

    @property
    def volumes(self) -> Path:
        """Data of the persistent volumes, one folder a volume."""
        return self.root / "volumes"

    @property
    def config(self) -> Path:
        """Configuration files written for the processes."""
        return self.root / "config"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def record(self) -> Path:
        """What `up` was last asked for."""
        return self.root / "sandbox.json"

    @property
    def kernel(self) -> Path:
        """The kernel's settings from before the sandbox."""
        return self.root / "kernel.json"

    @property
    def mount_points(self) -> Path:
        """The folders that were made on the host for nodes to mount theirs on."""
        return self.root / "mount-points"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes the sandbox."""
        return self.root / "lock"

    def node(self, node: Node) -> Path:
        """Return the folder of a node's images, containers and pods."""
        return self.root / "nodes" / node.name

    def make(self) -> None:
        """Create the folders; what holds keys is closed to everybody but root."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.logs, self.pids, self.config, self.registry, self.volumes):
            folder.mkdir(exist_ok=True)
        for folder in (self.pki, self.etcd):
            folder.mkdir(mode=0o700, exist_ok=True)

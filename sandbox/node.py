"""One node: containerd, kubelet, kube-proxy and the NetworkPolicy firewall, in the node's own network and mount namespaces."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox import containers, filesystems, network
from sandbox.api import Api
from sandbox.certificates import write_node
from sandbox.errors import StartError
from sandbox.files import write
from sandbox.host import cni_folder, program
from sandbox.layout import (
    API_URL,
    BALANCERS,
    DNS_SERVICE,
    PODS,
    REGISTRY,
    SERVICES,
    Layout,
    Node,
    Programs,
)
from sandbox.processes import SEARCH_PATH, Command, Processes, end
from sandbox.waiting import wait_for

PARTS = ("containerd", "kubelet", "kube-proxy", "kube-router")
MAX_PODS = 110


def part(name: str, node: Node) -> str:
    """Return the record's name of one of a node's processes."""
    return f"{name}-{node.name}"


def up(layout: Layout, programs: Programs, processes: Processes, node: Node, pause: str) -> None:
    """Bring the node's network, file system and containerd up; what needs no API server."""
    if not _stands(processes, node):
        # Whatever else of it is left is worth nothing: after a power cut a node starts from nothing, too.
        clear(processes, node)
    network.make_node(node)
    filesystems.make_node(layout, node)
    write_node(layout, node)
    processes.start(_containerd(layout, programs, node, pause))
    wait_for(part("containerd", node), lambda: _accepts(node.containerd_socket), processes, 30)


def join(layout: Layout, programs: Programs, processes: Processes, node: Node, api: Api) -> bool:
    """Register the node and start what talks to the API server; return whether its kubelet was started."""
    register(api, node)
    started = processes.start(_kubelet(layout, programs, node))
    processes.start(_kube_proxy(layout, programs, node))
    processes.start(_kube_router(layout, programs, node))
    return started


def register(api: Api, node: Node) -> None:
    """Create the Node object before its kubelet does: the range of its pods is ours to choose, and labels are not the kubelet's."""
    labels = {
        "kubernetes.io/hostname": node.name,
        "topology.kubernetes.io/region": "sandbox",
        "topology.kubernetes.io/zone": f"zone-{node.number}",
    }
    spec = {"podCIDR": node.pods, "podCIDRs": [node.pods], "unschedulable": False}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": labels}, "spec": spec}
    path = f"/api/v1/nodes/{node.name}"
    if not api.apply(path, body).get("status", {}).get("addresses"):
        # The firewall ends when it finds no address, and the kubelet writes it some seconds later.
        addresses = [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}]
        api.merge(f"{path}/status", {"status": {"addresses": addresses}})


def down(processes: Processes, nodes: Sequence[Node], grace: float) -> None:
    """Stop nodes: first the kubelets, or they would start containers again; then containers, then the rest."""
    processes.stop([part(name, node) for node in nodes for name in PARTS if name != "containerd"], 4.0)
    containers.stop(list(nodes), grace)
    for node in nodes:
        clear(processes, node)


def clear(processes: Processes, node: Node) -> None:
    """End everything of a node at once and remove its namespaces, cgroups and cables."""
    processes.stop([part(name, node) for name in PARTS], 3.0)
    # Shims carry containerd's mark and outlive it by design; containers are their children.
    end(processes.family(part("containerd", node)), 0)
    containers.stop([node], 0)
    containers.remove_cgroups([node])
    filesystems.remove_node(node)
    network.remove_node(node)


def check(processes: Processes, node: Node) -> None:
    """Raise StartError when one of the node's processes has ended."""
    for name in PARTS:
        processes.check(part(name, node))


def _stands(processes: Processes, node: Node) -> bool:
    """Say whether the node's containerd runs and can be reached: somebody who tidies up /run takes its socket away."""
    running = processes.running(part("containerd", node)) and filesystems.is_mounted(node.mounts)
    return running and _accepts(node.containerd_socket)


def _accepts(path: Path) -> bool:
    """Say whether somebody listens on the socket; its file alone may be an earlier process's."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _containerd(layout: Layout, programs: Programs, node: Node, pause: str) -> Command:
    hosts = layout.config / "registries" / REGISTRY
    url = f"http://{REGISTRY}"
    write(hosts / "hosts.toml", f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n')
    networks = layout.config / node.name / "cni"
    write(networks / "10-sandbox.conflist", json.dumps(_cni(node), indent=2))
    plugins = cni_folder()
    if plugins is None:
        raise StartError("containerd", "has no network plugins", Path("/nowhere"))
    config = layout.config / node.name / "containerd.toml"
    write(
        config,
        CONTAINERD.format(
            socket=node.containerd_socket,
            pause=pause,
            registries=hosts.parent,
            plugins=plugins,
            networks=networks,
            runc=program("runc"),
        ),
    )
    # containerd looks its shim up on PATH.
    env = {"PATH": f"{programs.program('containerd-shim-runc-v2').parent}:{SEARCH_PATH}", "GOGC": "60"}
    argv = [programs.program("containerd"), "--config", config]
    return Command(part("containerd", node), argv, env, node.namespaces, [config])


CONTAINERD = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs",
]

[grpc]
  address = "{socket}"

[debug]
  level = "warn"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  # The registry keeps them; a node needs an image's unpacked form alone.
  discard_unpacked_layers = true
  use_local_image_pull = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{registries}"

[plugins."io.containerd.cri.v1.runtime"]
  # Or sandboxes fail with "can't get final child's PID from pipe" on machines without CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  enable_cdi = false
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{networks}"
    use_internal_loopback = true
"""


def _cni(node: Node) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        # A pod that reaches itself through its Service comes back by the port it left.
        "hairpinMode": True,
        # Policies, the host and other nodes see pods' own addresses.
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "sandbox", "plugins": [bridge, portmap]}


def _kubelet(layout: Layout, programs: Programs, node: Node) -> Command:
    pki = layout.pki
    resolver = layout.config / "resolv.conf"
    write(resolver, "# Pods with dnsPolicy Default get this: names outside the sandbox do not resolve.\n")
    config = layout.config / node.name / "kubelet.json"
    write(config, json.dumps(_kubelet_config(layout, node, resolver), indent=2))
    kubeconfig = pki / f"kubelet-{node.name}.kubeconfig"
    argv = [
        programs.program("kubelet"),
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        "--v=1",
    ]
    return Command(part("kubelet", node), argv, {"GOGC": "60"}, node.namespaces, [config, kubeconfig])


def _kubelet_config(layout: Layout, node: Node, resolver: Path) -> dict[str, Any]:
    pki = layout.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(pki / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / f"kubelet-{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"kubelet-{node.name}.key"),
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        # Limits hold without the tree of cgroups per class, which cgroup v1 with separate cpu and cpuacct breaks.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        # Space reserved on a shared disk counts as used; a laptop's disk is often 90 % full and that is no emergency.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "maxPods": MAX_PODS,
        "serializeImagePulls": False,
        "maxParallelImagePulls": 3,
        "registryPullQPS": 0,
        "eventRecordQPS": 50,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "readOnlyPort": 0,
    }


def _kube_proxy(layout: Layout, programs: Programs, node: Node) -> Command:
    kubeconfig = layout.pki / f"kube-proxy-{node.name}.kubeconfig"
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        # What comes from elsewhere gets the node's address, or the answer of a pod on another node would miss this one.
        "clusterCIDR": PODS,
        "hostnameOverride": node.name,
        "metricsBindAddress": "127.0.0.1:10249",
        # The tables' sizes belong to the machine and cannot be set from a network namespace.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "200ms", "localhostNodePorts": False},
    }
    config = layout.config / node.name / "kube-proxy.json"
    write(config, json.dumps(document, indent=2))
    argv = [programs.program("kube-proxy"), f"--config={config}", "--v=1"]
    return Command(part("kube-proxy", node), argv, {"GOGC": "60"}, node.namespaces, [config, kubeconfig])


def _kube_router(layout: Layout, programs: Programs, node: Node) -> Command:
    kubeconfig = layout.pki / f"kube-router-{node.name}.kubeconfig"
    argv = [
        programs.program("kube-router"),
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--kubeconfig={kubeconfig}",
        f"--master={API_URL}",
        f"--hostname-override={node.name}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--service-external-ip-range={BALANCERS}",
        "--v=0",
    ]
    env = {"NODE_NAME": node.name, "GOGC": "60"}
    return Command(part("kube-router", node), argv, env, node.namespaces, [kubeconfig])

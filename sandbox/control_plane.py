"""etcd, API server, controller manager, scheduler and the sandbox controller, as processes of the host."""

from collections.abc import Mapping

from sandbox.api import Api
from sandbox.certificates import write_control_plane
from sandbox.layout import (
    API_PORT,
    BALANCERS,
    BRIDGE,
    ETCD_PEER_PORT,
    ETCD_PORT,
    HOST,
    PODS,
    SERVICES,
    Layout,
    Programs,
)
from sandbox.network import Port
from sandbox.processes import Command, Processes
from sandbox.waiting import wait_for

ETCD_URL = f"https://127.0.0.1:{ETCD_PORT}"
ETCD_PEER_URL = f"https://127.0.0.1:{ETCD_PEER_PORT}"

PORTS = {
    "etcd": [Port("127.0.0.1", ETCD_PORT, "etcd"), Port("127.0.0.1", ETCD_PEER_PORT, "etcd")],
    "kube-apiserver": [Port(HOST, API_PORT, "kube-apiserver")],
}

STOP_ORDER = (("sandbox-controller", "kube-scheduler", "kube-controller-manager"), ("kube-apiserver",), ("etcd",))

NODE_GRACE_SECONDS = 40
"""A node that has not renewed its lease (every 10 s) for so long is lost. Kubernetes' own number is 50."""

EVICT_SECONDS = 15
"""Pods on a lost node are replaced after so long; 300 on most clusters, which nobody waits for while trying something out."""


def up(layout: Layout, programs: Programs, processes: Processes, api: Api) -> None:
    """Start everything at once and wait until the API server is ready to serve."""
    write_control_plane(layout)
    processes.start(etcd(layout, programs))
    processes.start(api_server(layout, programs))
    # It tries etcd for 20 s only, and the other two try the API server for 10: both are ended by a slow first start.
    wait_for("etcd", lambda: api.listens("127.0.0.1", ETCD_PORT), processes, 60)
    wait_for("kube-apiserver", lambda: api.listens(HOST, API_PORT), processes, 60)
    processes.start(controller_manager(layout, programs))
    processes.start(scheduler(layout, programs))
    wait_for("kube-apiserver", api.ready, processes, 90, "was not ready")
    processes.start(sandbox_controller(layout, programs))


def etcd(layout: Layout, programs: Programs) -> Command:
    """Return etcd's command: one member, on the loopback, for holders of a certificate of its own authority."""
    pki = layout.pki
    flags = {
        "name": "sandbox",
        "data-dir": layout.etcd,
        "listen-client-urls": ETCD_URL,
        "advertise-client-urls": ETCD_URL,
        "listen-peer-urls": ETCD_PEER_URL,
        "initial-advertise-peer-urls": ETCD_PEER_URL,
        "initial-cluster": f"sandbox={ETCD_PEER_URL}",
        "cert-file": pki / "etcd.crt",
        "key-file": pki / "etcd.key",
        "trusted-ca-file": pki / "etcd-ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": pki / "etcd.crt",
        "peer-key-file": pki / "etcd.key",
        "peer-trusted-ca-file": pki / "etcd-ca.crt",
        "peer-client-cert-auth": "true",
        "log-level": "warn",
        # Alone, it elects itself; a shorter wait for others makes a start half a second quicker.
        "heartbeat-interval": "50",
        "election-timeout": "500",
        "snapshot-count": "5000",
        "quota-backend-bytes": str(1024**3),
    }
    return Command("etcd", [programs.program("etcd"), *_flags(flags)], {"GOMEMLIMIT": "256MiB"})


def api_server(layout: Layout, programs: Programs) -> Command:
    """Return the API server's command: on the bridge, RBAC and the node authorizer on, no audit log."""
    pki = layout.pki
    flags = {
        "bind-address": HOST,
        "advertise-address": HOST,
        "secure-port": API_PORT,
        "etcd-servers": ETCD_URL,
        "etcd-cafile": pki / "etcd-ca.crt",
        "etcd-certfile": pki / "apiserver-etcd.crt",
        "etcd-keyfile": pki / "apiserver-etcd.key",
        "client-ca-file": pki / "ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "apiserver-kubelet.crt",
        "kubelet-client-key": pki / "apiserver-kubelet.key",
        # Or exec and logs would try to resolve the node's name.
        "kubelet-preferred-address-types": "InternalIP",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": SERVICES,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "tokens.key",
        "service-account-signing-key-file": pki / "tokens.key",
        "allow-privileged": "true",
        "default-not-ready-toleration-seconds": EVICT_SECONDS,
        "default-unreachable-toleration-seconds": EVICT_SECONDS,
        "profiling": "false",
        "v": 1,
    }
    return Command("kube-apiserver", [programs.program("kube-apiserver"), *_flags(flags)], {"GOGC": "60"})


def controller_manager(layout: Layout, programs: Programs) -> Command:
    """Return the controller manager's command: no port, no leader election (there is no other), no ranges for nodes (we choose them)."""
    pki = layout.pki
    kubeconfig = pki / "controller-manager.kubeconfig"
    flags = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "secure-port": 0,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": pki / "tokens.key",
        "root-ca-file": pki / "ca.crt",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "cluster-cidr": PODS,
        "allocate-node-cidrs": "false",
        "node-monitor-grace-period": f"{NODE_GRACE_SECONDS}s",
        "node-monitor-period": "2s",
        "terminated-pod-gc-threshold": 50,
        "profiling": "false",
        "v": 1,
    }
    return Command("kube-controller-manager", [programs.program("kube-controller-manager"), *_flags(flags)], {"GOGC": "60"})


def scheduler(layout: Layout, programs: Programs) -> Command:
    """Return the scheduler's command: no port, no leader election."""
    kubeconfig = layout.pki / "scheduler.kubeconfig"
    flags = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "secure-port": 0,
        "leader-elect": "false",
        "profiling": "false",
        "v": 1,
    }
    return Command("kube-scheduler", [programs.program("kube-scheduler"), *_flags(flags)], {"GOGC": "60"})


def sandbox_controller(layout: Layout, programs: Programs) -> Command:
    """Return the command of the controller that gives volumes, load balancers' addresses and the host's routes."""
    flags = {
        "kubeconfig": layout.pki / "sandbox-controller.kubeconfig",
        "volumes": layout.volumes,
        "lb-range": BALANCERS,
        "service-range": SERVICES,
        "bridge": BRIDGE,
    }
    return Command("sandbox-controller", [programs.program("sandbox-controller"), *_flags(flags)], {"GOGC": "60"})


def down(processes: Processes) -> None:
    """Stop the control plane, each before what it depends on."""
    for names in STOP_ORDER:
        # The API server waits up to a minute for requests under way and keeps nothing of its own.
        processes.stop(names, 10.0 if "etcd" in names else 3.0)


def _flags(flags: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]

"""What a cluster must have before anything runs on it: names, the default storage class, rights of the sandbox's own parts."""

import hashlib
import time

from sandbox.api import Api, ApiError, Object
from sandbox.layout import DNS_SERVICE

PROVISIONER = "sandbox.switchyard.dev/local"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SYSTEM = "/api/v1/namespaces/kube-system"
SETTLE_SECONDS = 20
"""A new API server makes its own namespaces and roles only after it has called itself ready."""

COREFILE = """\
.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
    prometheus :9153
    cache 30
    loadbalance
}
"""


def apply(api: Api, coredns: str, nodes: int) -> None:
    """Create or change the add-ons; `coredns` is its image, and `nodes` how many nodes there are."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for path, body in [*_storage(), *_rights(), *_dns(coredns, min(nodes, 2))]:
        _apply(api, path, body, deadline)


def _apply(api: Api, path: str, body: Object, deadline: float) -> None:
    while True:
        try:
            api.apply(path, body)
        except ApiError as error:
            if error.status not in (403, 404, 409, 500) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _storage() -> list[tuple[str, Object]]:
    body: Object = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
    return [("/apis/storage.k8s.io/v1/storageclasses/standard", body)]


def _rights() -> list[tuple[str, Object]]:
    """The firewall reads what policies are made of, and the DNS server what names are made of."""
    watched = {"apiGroups": [""], "resources": ["namespaces", "pods", "services", "nodes", "endpoints"], "verbs": READ}
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ}
    policies = {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": READ}
    names = {"apiGroups": [""], "resources": ["namespaces", "pods", "services", "endpoints"], "verbs": READ}
    router = {"apiGroup": GROUP, "kind": "User", "name": "sandbox:kube-router"}
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    return [
        *_role("sandbox:kube-router", [watched, slices, policies], router),
        *_role("sandbox:coredns", [names, slices], account),
    ]


READ = ["get", "list", "watch"]
GROUP = "rbac.authorization.k8s.io"


def _role(name: str, rules: list[Object], subject: Object) -> list[tuple[str, Object]]:
    kind = {"apiVersion": f"{GROUP}/v1", "metadata": {"name": name}}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    role: Object = {**kind, "kind": "ClusterRole", "rules": rules}
    binding: Object = {**kind, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
    return [(f"{RBAC}/clusterroles/{name}", role), (f"{RBAC}/clusterrolebindings/{name}", binding)]


def _dns(image: str, replicas: int) -> list[tuple[str, Object]]:
    labels = {"k8s-app": "kube-dns"}
    account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "coredns", "namespace": "kube-system"}}
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "coredns", "namespace": "kube-system"},
        "data": {"Corefile": COREFILE},
    }
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9153, "protocol": "TCP"},
    ]
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        # Addons and policies everywhere find the cluster's DNS by this name and this label.
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {"clusterIP": DNS_SERVICE, "selector": labels, "ports": ports},
    }
    return [
        (f"{SYSTEM}/serviceaccounts/coredns", account),
        (f"{SYSTEM}/configmaps/coredns", config),
        (f"{SYSTEM}/services/kube-dns", service),
        ("/apis/apps/v1/namespaces/kube-system/deployments/coredns", _dns_deployment(image, replicas, labels)),
    ]


def _dns_deployment(image: str, replicas: int, labels: dict[str, str]) -> Object:
    digest = hashlib.sha256(COREFILE.encode()).hexdigest()[:12]
    template: Object = {
        "metadata": {"labels": labels, "annotations": {"sandbox.switchyard.dev/config": digest}},
        "spec": {
            "serviceAccountName": "coredns",
            "priorityClassName": "system-cluster-critical",
            "dnsPolicy": "Default",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": labels},
                }
            ],
            "containers": [_dns_container(image)],
            "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            "template": template,
        },
    }


def _dns_container(image: str) -> Object:
    return {
        "name": "coredns",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "env": [{"name": "GOMEMLIMIT", "value": "100MiB"}],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "25m", "memory": "40Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10100,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            # Port 53 needs none: containerd lets every user of a pod bind low ports.
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2, "timeoutSeconds": 2},
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": 8080},
            "initialDelaySeconds": 30,
            "failureThreshold": 5,
            "timeoutSeconds": 5,
        },
    }

"""Room for the stack: quotas and limits of its namespace, and nodes that its pods fit on."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from preflight.api import Api
from preflight.findings import Finding, right, unknown, wrong
from preflight.needs import COMPUTE, Claims, Needs, Pods
from preflight.objects import Object, at, is_ready, name_of, part, parts, text
from preflight.place import PREFIX
from preflight.quantities import amount, shown
from settings import nodes as placing
from settings.nodes import ZONE

LIVING = ("Pending", "Running")
MOST_SHOWN = 2
COUNTED = {"services": "Service", "secrets": "Secret", "configmaps": "ConfigMap"}
"""What a quota can count of the objects that the stack itself makes."""
OPEN_SERVICES = {"services.loadbalancers": ("LoadBalancer",), "services.nodeports": ("LoadBalancer", "NodePort")}


# Quotas


def quota(api: Api, needs: Needs) -> Iterator[Finding]:
    """Compare the namespace's quotas with all that the stack asks for, also while it rolls out."""
    found = api.items(f"/api/v1/namespaces/{needs.namespace}/resourcequotas")
    if not found:
        yield right("quota", f"nothing limits namespace {needs.namespace}")
    for one in found:
        yield _quota(one, needs)


def _quota(one: Object, needs: Needs) -> Finding:
    name, spec = name_of(one), part(one, "spec")
    if spec.get("scopes") or spec.get("scopeSelector"):
        return unknown("quota", f"quota {name} counts some pods only, by their scope: compare it yourself")
    wanted = asked(needs)
    hard = {key: amount(value) for key, value in part(spec, "hard").items()}
    over = [f"{key}: {shown(wanted[key])} needed, {shown(most)} allowed" for key, most in hard.items() if wanted.get(key, most) > most]
    if over:
        cure = f"raise it (`kubectl --namespace {needs.namespace} edit resourcequota {name}`), or ask for less in the stack's file"
        return wrong("quota", f"quota {name} is too small: {'; '.join(over)}", cure)
    return right("quota", f"the stack fits quota {name}, also while it rolls out")


def asked(needs: Needs) -> dict[str, Decimal]:
    """Return what the stack asks for at most, by the words of a quota."""
    total: dict[str, Decimal] = {}
    for pods in needs.pods:
        for key, number in _of_one(pods).items():
            _add(total, [key], number * (0 if pods.passing else pods.replicas))
    # Either a migration runs, or what comes after it is rolled out.
    rolling = [{key: number * pods.surge for key, number in _of_one(pods).items()} for pods in needs.pods]
    passing = [_of_one(pods) for pods in needs.pods if pods.passing]
    for key in _of_one(needs.pods[0]) if needs.pods else {}:
        _add(total, [key], max([sum((one[key] for one in rolling), Decimal(0)), *(one[key] for one in passing)]))
    for claims in needs.claims:
        own = [f"{claims.storage_class}.storageclass.storage.k8s.io/"] if claims.storage_class else []
        _add(total, [f"{prefix}requests.storage" for prefix in ["", *own]], amount(claims.size) * claims.count)
        _add(total, [f"{prefix}persistentvolumeclaims" for prefix in ["", *own]], Decimal(claims.count))
    total |= {key: Decimal(len(needs.of_kind(kind))) for key, kind in COUNTED.items()}
    types = [text(one, "spec", "type") for one in needs.of_kind("Service")]
    return total | {key: Decimal(sum(one in counted for one in types)) for key, counted in OPEN_SERVICES.items()}


def _of_one(pods: Pods) -> dict[str, Decimal]:
    """Return what a quota counts of one pod."""
    counted = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for name in COMPUTE:
        counted |= {name: pods.requests[name], f"requests.{name}": pods.requests[name], f"limits.{name}": pods.limits[name]}
    return counted


def _add(total: dict[str, Decimal], keys: Iterable[str], number: Decimal) -> None:
    for key in keys:
        total[key] = total.get(key, Decimal(0)) + number


# Nodes


@dataclass
class Node:
    """A node that pods may go to, and what is free on it."""

    name: str
    labels: Mapping[str, str]
    taints: list[Object]
    free: dict[str, Decimal]
    whole: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    """What an empty one has."""

    def takes(self, pods: Pods) -> bool:
        """Say whether it is a node for these pods at all: its labels and taints."""
        known = placing.Node(self.name, self.labels, self.taints)
        zoned = ZONE in self.labels or not _zoned(pods)
        return zoned and known.has(part(pods.spec, "nodeSelector")) and known.lets_in(parts(pods.spec, "tolerations"))

    def has_room(self, pods: Pods, *, empty: bool = False) -> bool:
        """Say whether one more of these pods fits."""
        room = self.whole if empty else self.free
        return room["pods"] >= 1 and all(room[name] >= pods.requests[name] for name in COMPUTE)

    def place(self, pods: Pods) -> None:
        """Put one of these pods on it."""
        for name in COMPUTE:
            self.free[name] -= pods.requests[name]
        self.free["pods"] -= 1


def nodes(api: Api, needs: Needs) -> Iterator[Finding]:
    """Place every pod of the stack, as the scheduler would: the largest first, beside what others run."""
    found = api.items("/api/v1/nodes")
    ready = [_node(one) for one in found if _is_ready(one)]
    lost = sorted(name_of(one) for one in found if not _is_ready(one))
    for one in api.items("/api/v1/pods"):
        _take_up(ready, one, needs.namespace)
    problems = list(unplaced(needs.pods, ready))
    said = "; ".join(problems[:MOST_SHOWN]) + (f"; and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else "")
    beside = f"; not ready or closed: {', '.join(lost)}" if lost else ""
    if problems and _grows(api):
        yield unknown("nodes", f"{said}{beside}; an autoscaler may add a node, and `up` waits for it")
    elif problems:
        cure = "add a node, make the pods smaller, or mend `placement` in the stack's file"
        yield wrong("nodes", f"{said}{beside}", cure)
    else:
        count = sum(pods.replicas for pods in needs.pods)
        yield right(
            "nodes", f"all {count} pods find room on {len(ready)} node{'s'[: len(ready) != 1]}, one more of each that rolls{beside}"
        )


def unplaced(wanted: Iterable[Pods], ready: list[Node]) -> Iterator[str]:
    """Yield a sentence for each kind of pod that finds no room; the others are placed."""
    largest_first = sorted(wanted, key=lambda one: -one.requests["memory"])
    # What stays, then what runs alone before a rollout, then what a rollout runs besides.
    for pods in [one for one in largest_first if not one.passing]:
        yield from _unplaced(pods, ready, pods.replicas)
    for pods in [one for one in largest_first if one.passing]:
        yield from _unplaced(pods, copy.deepcopy(ready), 1)
    for pods in largest_first:
        yield from _unplaced(pods, ready, pods.surge, " while it is rolled out")


def _unplaced(pods: Pods, ready: list[Node], count: int, when: str = "") -> Iterator[str]:
    suited = [node for node in ready if node.takes(pods)]
    size = f"{shown(pods.requests['cpu'])} cpu and {shown(pods.requests['memory'])} memory"
    if not suited and not when:
        yield f"no node takes {pods.component}: {_refusal(pods, ready)}"
    elif suited and not any(node.has_room(pods, empty=True) for node in suited):
        if not when:
            yield f"{pods.component} asks for {size}, more than any node has"
    elif suited and (short := _place(pods, suited, count)):
        yield f"{short} of {count} pods of {pods.component} ({size}){when} find no room: {_scarce(pods, suited)}"


def _place(pods: Pods, suited: list[Node], count: int) -> int:
    """Place `count` pods, members spread over the emptiest nodes, and return how many of them find no room."""
    taken = set[str]()
    for done in range(count):
        room = [node for node in suited if node.has_room(pods) and node.name not in taken]
        if not room:
            return count - done
        best = max(room, key=lambda node: node.free["memory"])
        best.place(pods)
        taken |= {best.name} if _apart(pods) else set()
    return 0


def _apart(pods: Pods) -> bool:
    """Say whether no two of them may be on one node."""
    return bool(at(pods.spec, "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"))


def _zoned(pods: Pods) -> bool:
    """Say whether they go to nodes of known zones alone."""
    wanted = parts(pods.spec, "topologySpreadConstraints")
    return any(one["topologyKey"] == ZONE and one["whenUnsatisfiable"] == "DoNotSchedule" for one in wanted)


def _scarce(pods: Pods, suited: list[Node]) -> str:
    """Say what the nodes lack: the most that one has left of what does not suffice."""
    most = {name: max(node.free[name] for node in suited) for name in COMPUTE}
    lacking = [f"{shown(max(left, Decimal(0)))} {name}" for name, left in most.items() if left < pods.requests[name]]
    if not lacking and _apart(pods):
        return f"each wants a node of its own, of {len(suited)}"
    return f"at most {' and '.join(lacking)} is left on a node" if lacking else "no node has enough of everything left"


def _refusal(pods: Pods, ready: list[Node]) -> str:
    if not ready:
        return "no node is ready"
    wanted = part(pods.spec, "nodeSelector")
    missing = [f"{key}={value}" for key, value in wanted.items() if not any(node.labels.get(key) == value for node in ready)]
    if missing:
        return f"none has the label {', '.join(missing)}"
    if _zoned(pods) and not any(ZONE in node.labels for node in ready):
        return f"it is spread over zones, and none has the label {ZONE}"
    taints = sorted({f"{one['key']}={one.get('value', '')}:{one['effect']}" for node in ready for one in node.taints})
    return f"their labels and taints ({', '.join(taints)}) keep it away" if taints else "no node has all of the labels that it selects by"


def _node(one: Object) -> Node:
    whole = {name: amount(at(one, "status", "allocatable", name)) for name in (*COMPUTE, "pods")}
    taints = [taint for taint in parts(one, "spec", "taints") if taint["effect"] != "PreferNoSchedule"]
    return Node(name_of(one), part(one, "metadata", "labels"), taints, dict(whole), whole)


def _is_ready(one: Object) -> bool:
    return not at(one, "spec", "unschedulable") and is_ready(one)


def _take_up(ready: list[Node], pod: Object, namespace: str) -> None:
    """Take the room of a running pod off its node; the stack's own are counted from its settings, and a preflight's are gone soon."""
    node, where = next((node for node in ready if node.name == text(pod, "spec", "nodeName")), None), text(pod, "metadata", "namespace")
    if node and where != namespace and not where.startswith(PREFIX) and text(pod, "status", "phase") in LIVING:
        node.place(Pods(name_of(pod), part(pod, "spec"), 1, 0))


def _grows(api: Api) -> bool:
    """Say whether something that adds nodes shows itself: the Cluster Autoscaler's status, or Karpenter's node pools."""
    return bool(api.find("/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status") or api.find("/apis/karpenter.sh/v1"))


def smallest(claims: Iterable[Claims]) -> Claims:
    """Return the smallest of some claims."""
    return min(claims, key=lambda one: amount(one.size))

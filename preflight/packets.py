"""Network policies, with packets: two pods that reach each other, until the stack's own policies stand around one of them.

`open` has no policies and `fenced` has the stack's: what `open` sends to `fenced` then tests the way in, what `fenced` sends to
`open` the way out. Each refusal counts only after the same two were seen to connect. From `fenced` the ways that the stack's policies
leave open are tried as well.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, cast

from preflight.api import Api, ApiError
from preflight.findings import Finding, right, unknown, wrong
from preflight.images import FAILED, ended, outcome
from preflight.needs import Needs, Pods
from preflight.objects import Object, at, is_ready, name_of, part, parts, text
from preflight.place import LABEL, LIFE_SECONDS, LateError, Place
from settings.stack import Settings

PORT = 24711
"""No policy of a stack speaks of it."""
START_SECONDS = 35
"""Until both pods run and reach each other: the image may have to come first."""
SETTLE_SECONDS = 12
"""Until a new policy is in every node's firewall: moments as a rule."""
PROBES_SECONDS = 2.5
"""After so long without an answer to its probes the kubelet no longer calls the fenced pod ready."""
POLICIES = "/apis/networking.k8s.io/v1|networkpolicies"
DNS_NAME = "kubernetes.default"
INTERPRETERS = {"postgres": ("python3", "-c", "probe.py"), "app": ("ruby", "-e", "probe.rb")}
"""Which of a stack's images can run the probe, and how."""


@dataclass(frozen=True)
class Target:
    """Something that both pods try to reach; port 0: a name that they look up."""

    name: str
    host: str
    port: int = 0


@dataclass(frozen=True)
class Try:
    """How one try came out."""

    ok: bool
    said: str
    count: int


def packets(needs: Needs, settings: Settings, place: Place, policies: Sequence[Object], external: Sequence[Target]) -> Iterator[Finding]:
    """Make two pods that reach each other, put the policies around one of them, and see what gets through."""
    runner = _runner(needs, settings)
    if runner is None:
        yield unknown("network policies", "none of the stack's images has Python or Ruby to send packets with")
        return
    place.wait()
    pair = Pair(place, runner, (Target("dns", DNS_NAME), *_api_server(settings), *external))
    pair.make()
    if problem := pair.start():
        yield problem
        return
    for policy in policies:
        place.create(POLICIES, fencing(policy))
    pair.fence()
    yield from pair.enforced()
    for target in pair.targets:
        yield pair.way_out(target, settings)


def policies_of(needs: Needs) -> list[Object]:
    """Return those of the stack's policies that say what may leave a pod of it whatever it is: nothing, DNS, addresses by name."""
    return [one for one in needs.of_kind("NetworkPolicy") if not at(one, "spec", "podSelector", "matchLabels") or _by_address(one)]


def fencing(policy: Object) -> Object:
    """Return a policy of the stack for the fenced pod."""
    spec = copy.deepcopy(part(policy, "spec")) | {"podSelector": {"matchLabels": {LABEL: "fenced"}}}
    return {"metadata": {"name": name_of(policy)}, "spec": spec}


class Pair:
    """The two pods, and what they say."""

    def __init__(self, place: Place, runner: tuple[Pods, str, list[str]], targets: Sequence[Target]) -> None:
        """Take what they run and what they try besides each other."""
        self._place = place
        self._like, self._image, self._command = runner
        self.targets = list(targets)
        self._before: dict[str, dict[str, Try]] = {}

    def make(self) -> None:
        """Make them, each with a Service: its address is known before the pod's."""
        for name in ("open", "fenced"):
            ports = [{"port": PORT, "targetPort": PORT}]
            body = {"metadata": {"name": name}, "spec": {"selector": {LABEL: name}, "ports": ports, "publishNotReadyAddresses": True}}
            self._place.create("services", body)
        addresses = {name: text(self._place.look("services", name), "spec", "clusterIP") for name in ("open", "fenced")}
        for name, other in (("open", "fenced"), ("fenced", "open")):
            said = [Target("peer", addresses[other], PORT), *self.targets]
            told = {"port": PORT, "seconds": LIFE_SECONDS, "targets": [one.__dict__ for one in said]}
            container = {
                "env": [{"name": "PROBE", "value": json.dumps(told)}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 2},
            }
            dns = {"dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "2"}]}}
            self._place.pod(name, self._like, self._image, self._command, container, affinity=_apart(), **dns)

    def start(self) -> Finding | None:
        """Wait until they reach each other without a policy; a finding when they do not."""
        try:
            return self._place.clock.wait(self._connected, START_SECONDS) or None
        except LateError:
            return unknown(
                "network policies", f"two pods without policies did not reach each other within {START_SECONDS} s: {self._why()}"
            )

    def _connected(self) -> Finding | Literal[False] | None:
        seen = {name: self._tries(name) for name in ("open", "fenced")}
        if all(len(tries) == len(self.targets) + 1 and tries["peer"].ok for tries in seen.values()):
            self._before = seen
            # Not None, and nothing to report.
            return False
        for name in seen:
            pod = self._place.look("pods", name)
            if (known := outcome(pod)) and known[0] in FAILED:
                return unknown("network policies", "the image that would send the packets can not be pulled")
            if over := ended(pod):
                why = text(over, "message") or text(over, "exitCode")
                return unknown("network policies", f"the pods that would send packets do not run: {text(over, 'reason')} {why}")
        return None

    def fence(self) -> None:
        """Wait until the policies work, or have had time enough to."""
        try:
            self._place.clock.wait(lambda: all(self._settled()) or None, SETTLE_SECONDS)
            self._place.clock.pause(PROBES_SECONDS)
        except LateError:
            return

    def enforced(self) -> Iterator[Finding]:
        """Say whether the two are kept apart, and whether the node's own probes still pass."""
        ways = {"ingress": not self._tries("open")["peer"].ok, "egress": not self._tries("fenced")["peer"].ok}
        through = [way for way, refused in ways.items() if not refused]
        cure = "install a network that enforces policies (Calico, Cilium, kube-router) or turn that on: until then every pod reaches all"
        if through:
            yield wrong("network policies", f"{' and '.join(through)}: packets still pass {SETTLE_SECONDS} s after they were refused", cure)
        elif not is_ready(self._place.look("pods", "fenced")):
            yield wrong(
                "network policies", "they refuse the kubelet's probes as well", "let the network admit a node's own packets to its pods"
            )
        else:
            yield right("network policies", "enforced, in and out: two pods connected, and no longer once refused")

    def way_out(self, target: Target, settings: Settings) -> Finding:
        """Say whether something can be reached through the policies that let it."""
        free, fenced = self._tries("open")[target.name], self._tries("fenced")[target.name]
        what = {"dns": "cluster DNS", "api server": "API server from pods"}.get(target.name, target.name)
        place = f"{target.host}:{target.port}" if target.port else target.host
        if fenced.ok:
            return right(what, f"pods reach {place} through the stack's policies")
        if free.ok:
            return wrong(
                what,
                f"{place} can be reached, but not through the stack's policies ({fenced.said})",
                _cure(target, self._place.api, settings),
            )
        if target.name in ("dns", "api server"):
            return wrong(what, f"{place} can not be reached, with or without policies: {free.said}", "mend the cluster itself")
        return wrong(
            what,
            f"{place} can not be reached from the cluster: {free.said}",
            f"check host and port under {target.name}, and its own firewall",
        )

    def _settled(self) -> Iterator[bool]:
        for name in ("open", "fenced"):
            yield not self._tries(name)["peer"].ok
        fenced = self._tries("fenced")
        # Tries that began after the policies were made, and so were not let through before.
        yield all(fenced[one.name].count > self._before["fenced"][one.name].count + 2 for one in self.targets)
        yield all(fenced[one.name].ok or not self._before["fenced"][one.name].ok for one in self.targets)

    def _tries(self, name: str) -> dict[str, Try]:
        try:
            lines = self._place.api.text(f"{self._place.path}/pods/{name}/log").splitlines()
        except ApiError:
            return {}
        found = [cast("Mapping[str, Any]", json.loads(line)) for line in lines if line.startswith("{") and line.endswith("}")]
        return {str(one["target"]): Try(bool(one["ok"]), str(one["said"]), int(one["count"])) for one in found}

    def _why(self) -> str:
        tries = [f"{name}: {said.said}" for name in ("open", "fenced") for target, said in self._tries(name).items() if target == "peer"]
        return "; ".join(tries) or "they do not run yet (the image is being pulled, or no node has room); ask again"


def external_targets(settings: Settings) -> list[Target]:
    """Return the services outside the cluster that the stack uses."""
    services = {"postgres": settings.postgres, "mqtt": settings.mqtt, "elasticsearch": settings.elasticsearch}
    services |= {f"redis.{name}": one for name, one in settings.redis.items()}
    outside = {name: one.external for name, one in services.items() if one.where == "external" and one.external}
    return [Target(f"external {name}", said.host, said.port) for name, said in outside.items()]


def _runner(needs: Needs, settings: Settings) -> tuple[Pods, str, list[str]] | None:
    references = {"postgres": settings.images.reference("postgres"), "app": settings.images.reference(settings.app.image)}
    run = {image for pods in needs.pods for image in pods.images}
    for name, (program, option, file) in INTERPRETERS.items():
        if references[name] in run:
            script = (Path(__file__).parent / "probes" / file).read_text()
            return needs.runs(references[name]), references[name], [program, option, script]
    return None


def _api_server(settings: Settings) -> Iterable[Target]:
    """Return the API server where the stack's pods need it: Patroni keeps its state there."""
    return [Target("api server", "kubernetes.default.svc", 443)] if settings.postgres.where == "cluster" else []


def _by_address(policy: Object) -> bool:
    """Say whether a policy lets named addresses be reached, other than everything public."""
    peers = [peer for rule in parts(policy, "spec", "egress") for peer in parts(rule, "to")]
    return bool(peers) and all("ipBlock" in peer and not any(map(_is_range, at(peer, "ipBlock", "except") or [])) for peer in peers)


def _is_range(cidr: str) -> bool:
    # A single address that is left out is where clouds tell a node's rights; what is private is left out as ranges.
    return ip_network(cidr).num_addresses > 1


def _cure(target: Target, api: Api, settings: Settings) -> str:
    if target.name == "dns":
        return _dns_cure(api, settings)
    if target.name == "api server":
        return _api_cure(api)
    return f"let {target.name.removeprefix('external ')}.external.ranges in the stack's file cover its address"


def _dns_cure(api: Api, settings: Settings) -> str:
    try:
        found = api.find("/api/v1/namespaces/kube-system/services/kube-dns")
    except ApiError:
        found = None
    selector = part(found or {}, "spec", "selector")
    labels = json.dumps(selector) if selector else "the labels of its pods"
    others = "or its namespace as cluster.dns_namespace, or a node cache's address in cluster.dns_ranges"
    return f"say cluster.dns: {labels} (it says {json.dumps(settings.cluster.dns)}), {others}"


def _api_cure(api: Api) -> str:
    try:
        slices = api.items(
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", labelSelector="kubernetes.io/service-name=kubernetes"
        )
    except ApiError:
        slices = []
    addresses = sorted({f"{address}/32" for one in slices for each in parts(one, "endpoints") for address in each["addresses"]})
    ports = sorted({int(port["port"]) for one in slices for port in parts(one, "ports")})
    return (
        f"say cluster.api_server: {json.dumps(addresses)} and cluster.api_server_ports: {ports}" if addresses else "mend cluster.api_server"
    )


def _apart() -> Object:
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchExpressions": [{"key": LABEL, "operator": "In", "values": ["open", "fenced"]}]},
    }
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}}

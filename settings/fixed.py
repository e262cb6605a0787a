"""What a running installation fixes: the sizes and classes of its volumes, and members that hold data.

Kubernetes, or the engine, would ignore such a change in silence, or carry it out at the data's cost. The program and `sy up` both ask.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from settings.backing import Volume
from settings.quantities import bytes_of
from settings.stack import Settings

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

VOLUME = "data"
"""The name of every claim template; a claim is called `data-<StatefulSet>-<number>`."""
VERSION_ANNOTATION = "switchyard.dev/server-version"
"""Annotation with the version that a server's settings name: of its pods, or of the policy that stands for an external one."""
VOLUMES_PORT = 9100
"""Where each pod with a volume tells how much of it is free."""
COMPONENT_LABEL = "app.kubernetes.io/component"
KINDS = ("statefulsets", "persistentvolumeclaims", "pods")
"""What `refusals` is to be given of the stack's namespace."""


@dataclass(frozen=True)
class Server:
    """A StatefulSet of the stack, as its settings want it."""

    key: str
    """Where the settings say it: `postgres`, `redis.jobs`."""
    name: str
    """The StatefulSet."""
    members: int
    volume: Volume | None
    """Each member's; None: it keeps nothing."""


@dataclass(frozen=True)
class Standing:
    """What stands in the namespace."""

    objects: Sequence[Object]
    """Its StatefulSets, claims and pods."""
    namespace: str
    """Its name."""
    kubectl: str = "kubectl"
    """kubectl with the options that lead to the cluster, for commands that are shown."""

    @property
    def where(self) -> str:
        """The kubectl command with the options that lead to the namespace."""
        return f"{self.kubectl} --namespace {self.namespace}"

    def replicas(self, server: str) -> int | None:
        """Return how many members a StatefulSet has; None when there is none of that name."""
        found = self._set(server)
        return None if found is None else int(found["spec"].get("replicas", 1))

    def version(self, server: str) -> str | None:
        """Return the version that a StatefulSet's pods are said to be of."""
        found = self._set(server) or {"spec": {}}
        about = cast("Mapping[str, Any]", found["spec"].get("template", {}).get("metadata", {}))
        return cast("Mapping[str, str]", about.get("annotations") or {}).get(VERSION_ANNOTATION)

    def template(self, server: str) -> Object | None:
        """Return the claim template of a StatefulSet; None when it has none."""
        found = self._set(server)
        templates = cast("list[Object]", (found or {"spec": {}})["spec"].get("volumeClaimTemplates") or [])
        return next((one for one in templates if _name(one) == VOLUME), None)

    def claims(self, server: Server) -> dict[int, Object]:
        """Return the claims that members of the server have, or would take up again, by number."""
        names = {f"{VOLUME}-{server.name}-{number}": number for number in range(server.members)}
        found = [one for one in self.objects if one["kind"] == "PersistentVolumeClaim"]
        return {names[_name(one)]: one for one in found if _name(one) in names}

    def primary(self, component: str) -> str | None:
        """Return the pod that writes, None when none does just now."""
        pods = [one for one in self.objects if one["kind"] == "Pod"]
        labels = {_name(one): cast("Mapping[str, str]", one["metadata"].get("labels") or {}) for one in pods}
        return next((pod for pod, said in labels.items() if said.get(COMPONENT_LABEL) == component and said.get("role") == "primary"), None)

    def _set(self, name: str) -> Object | None:
        return next((one for one in self.objects if one["kind"] == "StatefulSet" and _name(one) == name), None)


def servers(settings: Settings) -> list[Server]:
    """Return the StatefulSets that the settings want."""
    single = {"postgres": settings.postgres, "mqtt": settings.mqtt, "elasticsearch": settings.elasticsearch}
    made = [Server(name, name, said.members, said.volume) for name, said in single.items() if said.where == "cluster"]
    if settings.metrics.where == "cluster":
        made.append(Server("metrics", "prometheus", 1, settings.metrics.volume))
        made.append(Server("alerts", "alertmanager", 1, settings.alerts.volume))
    stores = {name: said for name, said in settings.redis.items() if said.where == "cluster"}
    made += [Server(f"redis.{name}", f"redis-{name}", 1, said.volume if said.persistent else None) for name, said in stores.items()]
    return made + ([Server("logs", "loki", 1, settings.logs.volume)] if settings.logs.where == "cluster" else [])


def refusals(settings: Settings, standing: Standing) -> list[str]:
    """Return a sentence, with the way out, for each setting that could not come true in what stands."""
    found: list[str] = []
    for server in servers(settings):
        found += [*_volumes(server, settings, standing), *_members(server, standing)]
    return [*found, *_older(settings, standing)]


def _volumes(server: Server, settings: Settings, standing: Standing) -> Iterator[str]:
    if server.volume is None:
        return
    key, wanted = f"{server.key}.volume.size", server.volume.size
    if standing.replicas(server.name) is not None and standing.template(server.name) is None:
        yield f"{server.key}: it runs without a volume, and a StatefulSet never gets one: name another instance and drop this one"
        return
    claims = standing.claims(server)
    yield from _sizes(key, wanted, claims, standing)
    fixed = _size(template) if (template := standing.template(server.name)) else None
    if fixed and not _equal(fixed, wanted) and len(claims) < server.members:
        yield (
            f"{key}: {wanted}, but new members would get claims of {fixed}, as when the StatefulSet was made. Make it anew around its "
            f"running pods, which go on: `{standing.where} delete statefulset {server.name} --cascade=orphan`, then "
            f"`pulumi refresh --target '**::{server.name}'`, then this command again"
        )
    wanted_class = server.volume.storage_class or settings.cluster.storage_class
    classes = {str(claim["spec"].get("storageClassName")) for claim in claims.values()}
    if wanted_class and classes - {wanted_class}:
        other = ", ".join(sorted(classes - {wanted_class}))
        yield f"{server.key}.volume.storage_class: {wanted_class}, but its volumes are of {other}, and a volume keeps its class: say that"


def _sizes(key: str, wanted: str, claims: Mapping[int, Object], standing: Standing) -> Iterator[str]:
    larger = [claim for claim in claims.values() if _compare(_size(claim), wanted) > 0]
    smaller = [claim for claim in claims.values() if _compare(_size(claim), wanted) < 0]
    if larger:
        has = max((_size(claim) for claim in larger), key=bytes_of)
        yield f"{key}: {wanted} is less than the {has} of {_listed(larger)}, and a volume never shrinks: say {has}"
    if smaller:
        patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{wanted}"}}}}}}}}'
        commands = "".join(f"\n  {standing.where} patch pvc {_name(claim)} --patch '{patch}'" for claim in smaller)
        yield (
            f"{key}: {wanted} is more than the {_size(smaller[0])} of {_listed(smaller)}, and a StatefulSet never grows its volumes. "
            f"Grow them yourself, if their storage class allows it, and run this command again:{commands}"
        )


def _members(server: Server, standing: Standing) -> Iterator[str]:
    running = standing.replicas(server.name)
    if running is None or server.members >= running:
        return
    fewer = f"{server.key}.members: {server.members} is less than the {running} that run"
    if server.name == "mqtt":
        steps = "".join(f"\n  {step}" for step in _leaving_broker(server, running, standing))
        yield (
            f"{fewer}, and queues would lose the majority that has what was acknowledged. Take the members out of the broker first, "
            f"and run this command again (a member that is lost for good: `rabbitmqctl forget_cluster_node`):{steps}"
        )
    elif server.name == "elasticsearch":
        yield f"{fewer}, and shards that only those have would be gone: move them first, with cluster.routing.allocation.exclude._name"
    elif server.name == "postgres":
        primary = standing.primary(server.name)
        if primary and int(primary.rpartition("-")[2]) >= server.members:
            switch = f"{standing.where} exec {server.name}-0 -- patronictl switchover --force --candidate {server.name}-0"
            yield f"{fewer}, and {primary}, the primary, would go: let one that stays take over first with `{switch}`"


def _older(settings: Settings, standing: Standing) -> Iterator[str]:
    search = settings.elasticsearch
    running = standing.version("elasticsearch") if search.where == "cluster" else None
    if running and _numbers(search.version) < _numbers(running):
        yield (
            f"elasticsearch.version: {search.version} is older than the {running} that runs, and no server starts on a newer one's data: "
            f"say {running}, or make a stack of the older version and restore into it a snapshot that such a version has taken"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _leaving_broker(server: Server, running: int, standing: Standing) -> Iterator[str]:
    """Yield the commands that take members out of the broker, the last one first; queues keep their majority at each step."""
    for number in range(running - 1, server.members - 1, -1):
        node = f"rabbit@mqtt-{number}.mqtt-members.{standing.namespace}.svc.cluster.local"
        yield f"{standing.where} exec mqtt-0 -- rabbitmq-queues shrink {node}"
        yield f"{standing.where} exec mqtt-{number} -- sh -c 'rabbitmqctl stop_app && rabbitmqctl reset'"
        yield f"{standing.where} scale statefulset mqtt --replicas {number}"


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])


def _size(claim: Object) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


def _equal(one: str, other: str) -> bool:
    return _compare(one, other) == 0


def _compare(one: str, other: str) -> int:
    """Return a number below, equal to or above zero; a size that nobody here can read counts as equal."""
    try:
        return bytes_of(one) - bytes_of(other)
    except ValueError:
        return 0


def _listed(claims: Sequence[Object]) -> str:
    return ", ".join(sorted(_name(claim) for claim in claims))

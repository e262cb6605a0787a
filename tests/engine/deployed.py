"""A stack that counts as brought up, without a cluster: the state that an update would have left, for previews of real changes.

The engine makes what needs no cluster (passwords, keys, certificates) with a real update. What it would create in a
cluster is taken from its own plan and imported; the next preview finds all of it the same.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings.loader import PROJECT
from tests.engine.project import Project

UNREACHABLE = """{apiVersion: v1, kind: Config, current-context: none, contexts: [{name: none, context: {cluster: none, user: none}}],
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: none, user: {}}]}"""
IMAGES = ("lamp", "postgres", "valkey", "rabbitmq")
"""What the product itself runs."""
WATCHING = ("elasticsearch", "loki", "prometheus", "kube-state-metrics", "alertmanager", "exporters", "grafana", "envoy")
"""What further images a whole stack runs."""
ASKING = {"ownership.py": "None", "standing.py": "[]"}
"""Modules whose `check` asks the cluster, and what it would say of an empty one."""
NOT_IN_A_CLUSTER = ("--exclude", "**kubernetes:*/**")


def digest(digit: str) -> str:
    """Return an image digest of one digit."""
    return f"sha256:{digit * 64}"


def complete(kubeconfig: Path, identifier: str) -> dict[str, Any]:
    """Return what a stack file must say before the program lets an update begin."""
    pinned = {name: f"registry.example.com/{name}@{digest('1')}" for name in (*IMAGES, *WATCHING)}
    kubeconfig.write_text(UNREACHABLE)
    cluster = {"identifier": identifier, "kubeconfig": str(kubeconfig), "context": "none"}
    return {"cluster": cluster, "images": {"pinned": pinned}}


def bring_up(project: Project, stack: str, secrets: Mapping[str, str] | None = None) -> None:
    """Give a stack, whose file is there, the state that its first update would leave."""
    project.init(stack)
    for name, value in (secrets or {}).items():
        project.ok("config", "set", "--secret", name, "--stack", stack, given=value)
    project.say(stack, complete(project.folder.with_name("kubeconfig"), f"company-{stack}"))
    with _asking_no_cluster(project.folder / "components"):
        project.ok("up", "--yes", "--skip-preview", "--stack", stack, *NOT_IN_A_CLUSTER)
    _import(project, stack, _planned(project, stack))


@contextmanager
def _asking_no_cluster(components: Path) -> Iterator[None]:
    """Answer for a cluster that has nothing yet, to those who ask it before an update."""
    before = {name: (components / name).read_text() for name in ASKING}
    for name, answer in ASKING.items():
        (components / name).write_text(f"{before[name]}\n\ndef check(*_: object) -> object:\n    return {answer}\n")
    yield
    for name, text in before.items():
        (components / name).write_text(text)


def _planned(project: Project, stack: str) -> dict[str, Any]:
    """Return the engine's plan: what it would create, by URN."""
    file = project.folder.with_name("plan.json")
    planned = project.pulumi("preview", "--save-plan", str(file), "--show-secrets", "--stack", stack, env={"PULUMI_EXPERIMENTAL": "true"})
    assert planned.code == 0, planned.text
    resources: dict[str, Any] = json.loads(file.read_text())["resourcePlans"]
    return {urn: one["goal"] for urn, one in resources.items() if one["steps"] == ["create"]}


def _import(project: Project, stack: str, goals: dict[str, Any]) -> None:
    exported = json.loads(project.ok("stack", "export", "--show-secrets", "--stack", stack))
    resources: list[dict[str, Any]] = exported["deployment"]["resources"]
    resources += [_created(urn, goal) for urn, goal in goals.items()]
    exported["deployment"]["resources"] = _parents_first(resources)
    project.ok("stack", "import", "--stack", stack, given=json.dumps(exported))


def _created(urn: str, goal: dict[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes object as the state has it once it is created."""
    inputs = goal["inputDiff"]["adds"]
    metadata = inputs["metadata"]
    kept = {
        key: goal[key] for key in ("type", "custom", "parent", "provider", "protect", "dependencies", "propertyDependencies") if key in goal
    }
    outputs = {**inputs, "__inputs": inputs, "__initialApiVersion": inputs["apiVersion"], "__fieldManager": f"{PROJECT}-tests"}
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    return {**kept, "urn": urn, "id": name, "inputs": inputs, "outputs": outputs}


def _parents_first(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return resources in an order that a state may have: each after all that it names."""
    ordered: dict[str, dict[str, Any]] = {}
    left = list(resources)
    while left:
        ready = [one for one in left if _names(one) <= ordered.keys()]
        assert ready, f"{left[0]['urn']} names what is not there: {_names(left[0]) - ordered.keys()}"
        ordered |= {one["urn"]: one for one in ready}
        left = [one for one in left if one["urn"] not in ordered]
    return list(ordered.values())


def _names(resource: dict[str, Any]) -> set[str]:
    provider = (resource.get("provider") or "").rpartition("::")[0]
    return {*(resource.get("dependencies") or []), *filter(None, (resource.get("parent"), provider))}

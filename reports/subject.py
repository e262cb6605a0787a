"""A stack as what reports compare: its resources by kind and name, and what settings say that no object shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rendering import Rendered, Resource
from reports.files import parsed
from reports.identity import Identity, digest_of
from settings import Settings
from settings.backing import Backing
from settings.loader import PROJECT

Tree = dict[str, Any]
Key = tuple[str, str]
"""Kind and name of a resource."""

CONFIG_SECRET = "app-config"
"""The Secret with the app's config vars. Its own digest says nothing: what it is made of is compared value by value."""
APP_LABEL = "switchyard.dev/app"
"""Label of pods that run the app's image (components/release.py)."""
IGNORED_TYPES = ("pulumi:providers:",)
"""How the engine reaches the cluster, which is never another stack's."""
NAMESPACE = "<namespace>"
"""What the stack's own namespace is called in reports."""
OPTIONS = "options"
"""Under it stand the engine's options of a resource."""


@dataclass(frozen=True)
class Subject:
    """A rendered stack with the settings that it was rendered from."""

    rendered: Rendered
    settings: Settings

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.rendered.stack

    @cached_property
    def identity(self) -> Identity:
        """What is its own."""
        return Identity.of(self.rendered, self.settings)

    @cached_property
    def trees(self) -> dict[Key, Tree]:
        """Everything that is compared, by kind and name."""
        made: dict[Key, Tree] = {}
        for key, tree in [*self._resources(), *self._services()]:
            kind, name = key
            number = 1
            while key in made:
                number += 1
                key = (kind, f"{name}#{number}")
            made[key] = tree
        return made

    def _resources(self) -> Iterator[tuple[Key, Tree]]:
        for one in self.rendered.resources:
            if not one.type.startswith(IGNORED_TYPES):
                name = NAMESPACE if one.kind == "Namespace" else self.identity.base(one.kube_name or one.name)
                yield (one.kind, name), {**self._inputs(one, name), OPTIONS: _options(one, self.name)}

    def _inputs(self, one: Resource, name: str) -> Tree:
        inputs = dict(one.inputs)
        if not one.in_cluster:
            return inputs
        inputs["metadata"] = {**inputs["metadata"], "name": name}
        if one.kind == "ConfigMap":
            data: dict[str, str] = inputs.get("data") or {}
            inputs["data"] = {file: parsed(file, text) for file, text in data.items()}
        if one.kind == "Secret":
            inputs |= self._secret(inputs, one, name)
        return inputs

    def _secret(self, inputs: Tree, one: Resource, name: str) -> Tree:
        """Return what of a Secret can be compared besides its keys: config vars that are no secrets, or its content's digest."""
        if name != CONFIG_SECRET:
            return {"digest": digest_of(one.kube_name or "")}
        plain = {key: value for key, value in self.settings.app.config.items() if key in inputs.get("stringData", {})}
        return {"stringData": {**inputs.get("stringData", {}), **plain}}

    def _services(self) -> Iterator[tuple[Key, Tree]]:
        """Return what is said of backing services and stands in no object: versions, and where external ones are."""
        said = self.settings
        if said.postgres.where == "cluster":
            yield ("Version", "postgres"), {"major": said.postgres.major}
        redis: dict[str, Backing] = {f"redis-{name}": one for name, one in said.redis.items()}
        services: dict[str, Backing] = {"postgres": said.postgres, "mqtt": said.mqtt, "elasticsearch": said.elasticsearch, **redis}
        for name, service in services.items():
            if service.where == "external" and service.external:
                yield ("External", name), service.external.model_dump()


def _options(one: Resource, stack: str) -> Tree:
    return {
        # The engine's own resource of the whole stack is called after it.
        "parent": "" if one.parent == f"{PROJECT}-{stack}" else one.parent,
        "dependsOn": sorted(one.depends_on),
        "protect": one.protect,
        "ignoreChanges": sorted(one.ignored),
        "timeout": one.timeout,
    }


def runs_app(tree: Tree) -> bool:
    """Say whether a workload's pods run the app's image."""
    spec: Tree = tree.get("spec") or {}
    job: Tree = spec.get("jobTemplate") or {}
    template: Tree = (job.get("spec") or spec).get("template") or {}
    about: Tree = template.get("metadata") or {}
    return APP_LABEL in (about.get("labels") or {})

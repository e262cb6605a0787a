"""What a stack registers, as plain data that can be compared, written to files and sent between processes."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

SECRET = "<secret>"
"""Stands for every secret value: those that a human sets, and those that the stack generates."""

KUBERNETES = "kubernetes:"
"""Types of Kubernetes objects begin so."""

_DIGEST = re.compile(r"-[0-9a-f]{10}$")
"""What the name of an immutable ConfigMap, Secret or Job ends with: ten digits of its content (components/kube/configuration.py)."""

Manifest = dict[str, Any]
"""A Kubernetes object as kubectl reads it."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One registration, as the engine would see it."""

    type: str
    """Pulumi's type: kubernetes:apps/v1:Deployment, random:index/randomPassword:RandomPassword, switchyard:index:Postgres …"""
    name: str
    """Pulumi's name; that of hashed objects ends with their digest."""
    parent: str
    """Pulumi's name of the parent; empty for the stack's own resource."""
    inputs: Mapping[str, Any]
    """What it is made of; of a Kubernetes object the manifest."""
    depends_on: tuple[str, ...] = ()
    """Pulumi names of what is made before it."""
    secret_paths: tuple[str, ...] = ()
    """Paths of the inputs that are secret."""
    aliases: tuple[str, ...] = ()
    """Names that it had before."""
    ignored: tuple[str, ...] = ()
    """Inputs whose changes are let be."""
    retained: bool = False
    """Whether it stays in the cluster when the stack goes."""
    protect: bool = False
    """Whether the engine refuses to delete or replace it."""
    timeout: str = ""
    """How long an update may take; empty: as long as the provider's default."""

    @property
    def kind(self) -> str:
        """The last part of the type: Deployment, RandomPassword, Postgres."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def in_cluster(self) -> bool:
        """Whether it is a Kubernetes object."""
        return self.type.startswith(KUBERNETES)

    @property
    def kube_name(self) -> str | None:
        """The name of the Kubernetes object; None for anything else."""
        return str(self.inputs["metadata"]["name"]) if self.in_cluster else None

    @property
    def logical_name(self) -> str:
        """The Pulumi name without the digest of the content: the same for each version of a hashed object."""
        return _DIGEST.sub("", self.name)


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A whole stack."""

    stack: str
    product: str
    tier: str
    namespace: str
    domain: str | None
    resources: tuple[Resource, ...]
    """By type and name, components among them."""

    def objects(self) -> list[Manifest]:
        """Return the Kubernetes objects as manifests, ordered by kind and name."""
        inside = [_manifest(one.inputs) for one in self.resources if one.in_cluster]
        return sorted(inside, key=lambda made: (made["kind"], made["metadata"]["name"]))

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        resources = cast("list[dict[str, Any]]", said["resources"])
        fields: dict[str, Any] = {**said, "resources": tuple(Resource(**_tuples(one)) for one in resources)}
        return cls(**fields)


def _tuples(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(cast("list[str]", value)) if isinstance(value, list) else value for key, value in said.items()}


def _manifest(inputs: Mapping[str, Any]) -> Manifest:
    first = ("apiVersion", "kind", "metadata")
    return {key: inputs[key] for key in (*first, *(key for key in inputs if key not in first))}

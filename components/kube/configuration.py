"""Configuration that never changes under a running pod: immutable objects, named by their content."""

import hashlib
import json
from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import core

from components.kube.workload import metadata
from components.site import Site


def digest(*parts: object) -> str:
    """Return ten hexadecimal digits that change with any of `parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:10]


def config_map(
    name: str,
    component: str,
    site: Site,
    files: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    fingerprint: object = None,
) -> str:
    """Make an immutable ConfigMap of `files` and return its name, `<name>-<digest of the files>`.

    `fingerprint` stands for files that are known only after the engine has run, as that of a Secret.
    """
    full = f"{name}-{digest(fingerprint or dict(files))}"
    core.v1.ConfigMap(full, metadata=metadata(component, site, full), data=dict(files), immutable=True, opts=opts)
    return full


def secret(
    name: str,
    component: str,
    site: Site,
    values: Mapping[str, pulumi.Input[str]],
    fingerprint: object,
    opts: pulumi.ResourceOptions,
) -> str:
    """Make an immutable Secret of `values` and return its name, `<name>-<digest of fingerprint>`.

    `fingerprint` must change whenever a value does: the values themselves may be known only after the engine has run,
    and the name has to be a plain string. The digest is in the Pulumi name too: taken back by a rollback, a replacement
    of one resource would be deleted last (knowledge: pending deletes).
    """
    full = f"{name}-{digest(fingerprint, sorted(values))}"
    core.v1.Secret(full, metadata=metadata(component, site, full), string_data=dict(values), immutable=True, opts=opts)
    return full


def renewed_secret(
    name: str,
    component: str,
    site: Site,
    values: Mapping[str, pulumi.Input[str]],
    fingerprint: object,
    opts: pulumi.ResourceOptions,
) -> tuple[str, core.v1.Secret]:
    """Make a Secret whose values change under running pods, and return its name and itself.

    For a server's accounts: the kubelet writes the new files within two minutes, and a script in the pod lets the server read them. So a
    rotation restarts no server. `fingerprint` is what the values are besides passwords: where that changes, the pods are replaced.
    """
    full = f"{name}-{digest(fingerprint, sorted(values))}"
    return full, core.v1.Secret(full, metadata=metadata(component, site, full), string_data=dict(values), opts=opts)

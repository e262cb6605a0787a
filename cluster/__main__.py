"""Read what the cluster is told and which stacks are on it, and make what they share."""

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import json  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

import pulumi  # noqa: E402
import pulumi_kubernetes  # noqa: E402
from pulumi.runtime.config import CONFIG  # noqa: E402

from cluster import definitions  # noqa: E402
from cluster.program import ClusterWide, site_of  # noqa: E402
from components import ownership  # noqa: E402
from components.site import Site  # noqa: E402
from settings import SettingsError  # noqa: E402
from settings.clusters import PROJECT, ClusterSettings, Route, load, stacks_on  # noqa: E402
from settings.gateway import GATEWAY_NAMESPACE  # noqa: E402
from settings.stack import Cluster  # noqa: E402

SAID = 32
"""Exit code that tells Pulumi's language host that everything was said."""


def read() -> ClusterSettings:
    """Return what the cluster's own file says, or end with everything that is wrong with it."""
    said = {key.removeprefix(f"{PROJECT}:"): value for key, value in CONFIG.get().items() if key.startswith(f"{PROJECT}:")}
    try:
        return load({key: _value(text) for key, text in said.items()})
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def _value(text: str) -> Any:
    """Undo the engine's flattening: it hands objects over as JSON text, and scalars as they stand."""
    return json.loads(text) if text[:1] in ("{", "[") else text


def provider(cluster: Cluster) -> pulumi_kubernetes.Provider:
    """Return the one provider, bound to the cluster."""
    return pulumi_kubernetes.Provider(
        "cluster",
        cluster_identifier=cluster.identifier,
        kubeconfig=str(Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else None,
        context=cluster.context,
        kube_client_settings=pulumi_kubernetes.KubeClientSettingsArgs(burst=120, qps=50, timeout=30),
    )


def refuse(lacks: list[str]) -> None:
    """Say what is lacking: a preview lists it, and an update ends before it changes anything."""
    if lacks and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError("\n".join(lacks))
    for lack in lacks:
        pulumi.log.warn(lack)


def _gateway_installed(site: Site, args: ClusterSettings, routes: Sequence[Route]) -> str | None:
    """Return what the gateway's namespace carries in the cluster; OwnershipError when that, or the Gateway API, is somebody else's."""
    if not args.serves(routes):
        return None
    if args.gateway.definitions:
        definitions.refuse_foreign(site)
    return ownership.check(replace(site, namespace=GATEWAY_NAMESPACE))


def end_quietly(*_: object) -> None:
    """End without a word: once a resource has failed the engine interrupts the program, and says the reason itself."""
    os._exit(SAID)


def main() -> None:
    """Make what belongs to the cluster that the stack is called after."""
    signal.signal(signal.SIGINT, end_quietly)
    identifier = pulumi.get_stack()
    args = read()
    found = stacks_on(identifier, ROOT)
    cluster = args.cluster or found.access
    if cluster is None or not cluster.context:
        raise pulumi.RunError(
            f"no stack's file says how to reach the cluster {identifier}: none has cluster: {{identifier: {identifier}, context: …}}; "
            f"say {PROJECT}:cluster in cluster/Pulumi.{identifier}.yaml"
        )
    routes = found.routes if args.routes is None else args.routes
    unread = found.unread if args.routes is None else []
    loose = [
        f"{PROJECT}:{key} has no digest: say one with `pulumi config set --path {PROJECT}:{key} …@sha256:…`" for key in args.loose(routes)
    ]
    refuse([*unread, *loose])
    site, held = site_of(identifier, cluster, args), None
    if not pulumi.runtime.is_dry_run():
        try:
            site, held = replace(site, installed=ownership.check(site)), _gateway_installed(site, args, routes)
        except ownership.OwnershipError as error:
            raise pulumi.RunError(str(error)) from None
    opts = pulumi.ResourceOptions(providers=[provider(cluster)])
    ClusterWide("cluster", args, routes, site, opts, gateway_installed=held)
    pulumi.export("namespaces", [route.namespace for route in routes])


main()

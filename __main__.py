"""Read the settings, build the stack, export what it tells."""

import hashlib
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pulumi
import pulumi_kubernetes
from pulumi.runtime.config import CONFIG, is_config_secret

from components import gateway_class, nodes, ownership, standing
from components.site import Secrets, Site
from components.stack import Stack
from settings import Settings, SettingsError, edge_certificate, load, proxies
from settings.stack import Cluster

SAID = 32
"""Exit code that tells Pulumi's language host that everything was said."""
UNREACHABLE = """{apiVersion: v1, kind: Config, current-context: none, contexts: [{name: none, context: {cluster: none, user: none}}],
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: none, user: {}}]}"""
"""Stands in where a stack names no cluster yet: preview works, and the operator's current one is not touched."""


def read() -> tuple[Settings, Secrets]:
    """Return the stack's settings and secrets, or end with everything that is wrong."""
    config = pulumi.Config()
    prefix = f"{pulumi.get_project()}:"
    flat = {key.removeprefix(prefix): value for key, value in CONFIG.get().items() if key.startswith(prefix)}
    try:
        settings = load(pulumi.get_stack(), flat, secret_keys=[key for key in flat if is_config_secret(prefix + key)])
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    names = [name for name in settings.secret_names() if name in flat]
    secrets = Secrets({name: config.require_secret(name) for name in names}, {name: fingerprint(flat[name]) for name in names})
    refuse([*settings.lacks(settings.cures(pulumi.get_stack()), names), *wrong_key(settings, flat)])
    if old := proxies.outdated([*settings.edge.trusted_proxies, *settings.edge.allow_from], date.today()):
        pulumi.log.warn(old)
    return settings, secrets


def wrong_key(settings: Settings, flat: Mapping[str, str]) -> list[str]:
    """Return a sentence when the edge's certificate is given with the key of another one."""
    said = settings.edge.certificate
    if settings.edge.where == "none" or said.key is None or said.key not in flat:
        return []
    wrong = edge_certificate.key_wrong(said, flat[said.key])
    return [f"secret {said.key} {wrong}"] if wrong else []


def fingerprint(value: str) -> str:
    """Return ten digits that change with a secret; slow to make, so that a short secret can not be guessed from them."""
    return hashlib.scrypt(value.encode(), salt=pulumi.get_stack().encode(), n=2**14, r=8, p=1, dklen=5).hex()


def refuse(lacks: list[str]) -> None:
    """Say what the stack lacks: a preview lists it, and an update ends before it changes anything."""
    if lacks and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError("\n".join(lacks))
    for lack in lacks:
        pulumi.log.warn(lack)


def provider(cluster: Cluster) -> pulumi_kubernetes.Provider:
    """Return the one provider, bound to the cluster that the stack names."""
    kubeconfig = str(Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else None
    return pulumi_kubernetes.Provider(
        "cluster",
        cluster_identifier=cluster.identifier,
        kubeconfig=kubeconfig if cluster.context else UNREACHABLE,
        context=cluster.context or "none",
        # The one Secret that is not immutable changes in place; replaced, it would take every pod that names it along.
        enable_secret_mutable=True,
        kube_client_settings=pulumi_kubernetes.KubeClientSettingsArgs(burst=120, qps=50, timeout=30),
    )


def end_quietly(*_: object) -> None:
    """End without a word: once a resource has failed the engine interrupts the program, and says the reason itself."""
    os._exit(SAID)


def main() -> None:
    """Build the stack."""
    signal.signal(signal.SIGINT, end_quietly)
    settings, secrets = read()
    site = Site.of(settings, pulumi.get_stack())
    if not pulumi.runtime.is_dry_run():
        try:
            site = replace(site, installed=ownership.check(site))
            refuse(standing.check(settings, site))
        except ownership.OwnershipError as error:
            raise pulumi.RunError(str(error)) from None
    refuse([*nodes.check(settings), *gateway_class.check(settings)])
    kubernetes = pulumi.ResourceOptions(providers=[provider(settings.cluster)])
    stack = Stack(settings.product, settings, site, secrets, kubernetes)
    for name, value in stack.outputs.items():
        pulumi.export(name, value)


main()

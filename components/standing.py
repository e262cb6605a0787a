"""What already stands in the namespace, asked before an update: settings that could not come true in it are refused, not ignored."""

from typing import Any

from components.ownership import SECONDS, asked
from components.site import Site
from settings import Settings
from settings.fixed import Object, Standing, refusals


def check(settings: Settings, site: Site) -> list[str]:
    """Return a sentence for each setting that could not come true, with the way out.

    Raises OwnershipError when the cluster can not be asked.
    """

    def read(client: Any, connection: Any) -> list[Object]:
        return _objects(site.namespace, client, connection)

    objects = asked(site.cluster, f"listing StatefulSets, claims and pods of namespace {site.namespace}", read)
    return refusals(settings, Standing(objects, site.namespace, f"kubectl --context {site.cluster.context}"))


def _objects(namespace: str, client: Any, connection: Any) -> list[Object]:
    core, apps = client.CoreV1Api(connection), client.AppsV1Api(connection)
    listed = {
        "StatefulSet": apps.list_namespaced_stateful_set,
        "PersistentVolumeClaim": core.list_namespaced_persistent_volume_claim,
        "Pod": core.list_namespaced_pod,
    }
    # The items of a list do not say their kind.
    return [
        {**connection.sanitize_for_serialization(one), "kind": kind}
        for kind, ask in listed.items()
        for one in ask(namespace, _request_timeout=SECONDS).items
    ]

"""Whose a namespace is, asked before the first create: the provider would overwrite what somebody else made."""

from importlib import import_module
from pathlib import Path
from typing import Any

from components.site import STACK_LABEL, Site
from settings.stack import Cluster

SECONDS = 10
"""How long the API server may take to answer before it counts as unreachable."""


class OwnershipError(Exception):
    """The namespace can not be used; the text says why and what to do."""


def check(cluster: Cluster, site: Site) -> None:
    """Raise OwnershipError when the namespace is somebody else's, or the cluster can not be asked."""
    labels = _labels(cluster, site.namespace)
    if labels is None or labels.get(STACK_LABEL) == site.owner:
        return
    holder = labels.get(STACK_LABEL)
    whose = f"belongs to the stack {holder}" if holder else "was made by somebody else"
    raise OwnershipError(
        f"namespace {site.namespace} on cluster {cluster.identifier} {whose}; set another one with `namespace:` in Pulumi.{site.stack}.yaml"
    )


def _labels(cluster: Cluster, namespace: str) -> dict[str, str] | None:
    """Return the namespace's labels; None when there is no such namespace."""
    # Half a second to import, and only `up` needs it.
    kubernetes: Any = import_module("kubernetes")
    client, config = kubernetes.client, kubernetes.config
    from urllib3.exceptions import HTTPError

    file = str(Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else None
    try:
        loaded: Any = client.Configuration()
        config.load_kube_config(config_file=file, context=cluster.context, client_configuration=loaded)
        loaded.retries = False
        found: Any = client.CoreV1Api(client.ApiClient(loaded)).read_namespace(namespace, _request_timeout=SECONDS)
    except client.ApiException as error:
        if error.status == 404:
            return None
        raise OwnershipError(
            f"cluster {cluster.identifier}: reading namespace {namespace} was refused: {error.status} {error.reason}"
        ) from None
    except (HTTPError, OSError) as error:
        reason = str(getattr(error, "reason", error)).rsplit(": ", 1)[-1]
        raise OwnershipError(
            f"cluster {cluster.identifier} can not be reached (context {cluster.context}): {reason}; "
            f"check it with `kubectl --context {cluster.context} version`"
        ) from None
    except config.ConfigException as error:
        raise OwnershipError(
            f"cluster {cluster.identifier}: {error}; check cluster.kubeconfig and cluster.context in the stack's file"
        ) from None
    return dict(found.metadata.labels or {})

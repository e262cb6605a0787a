"""Whose a namespace is, asked before the first create: the provider would overwrite what somebody else made."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pulumi

from components.site import Site
from settings.ownership import INSTALLATION_LABEL, foreign, other_state
from settings.stack import Cluster

SECONDS = 10
"""How long the API server may take to answer before it counts as unreachable."""


class OwnershipError(Exception):
    """The namespace can not be used; the text says why and what to do."""


def check(site: Site) -> str | None:
    """Return the number of the installation that holds the site's namespace; None: there is no such namespace, or none that carries one.

    Raises OwnershipError when the namespace is another stack's, or the cluster can not be asked.
    """
    labels = _labels(site.cluster, site.namespace)
    if why := foreign(labels, site.owner, site.namespace, site.cluster.identifier):
        raise OwnershipError(why)
    return (labels or {}).get(INSTALLATION_LABEL)


def confirmed(installation: pulumi.Output[str], site: Site) -> pulumi.Output[str]:
    """Return the number of this installation, for the namespace's label; the update ends here when the namespace carries another one.

    The number is in the state, and the engine tells it only while it runs. All else in the cluster comes after the namespace.
    """

    def confirm(number: str) -> str:
        if why := other_state(site.installed, number, site.namespace, site.cluster.identifier):
            raise pulumi.RunError(why)
        return number

    return installation.apply(confirm)


def _labels(cluster: Cluster, namespace: str) -> dict[str, str] | None:
    """Return the namespace's labels; None when there is no such namespace."""

    def read(client: Any, connection: Any) -> Any:
        try:
            return client.CoreV1Api(connection).read_namespace(namespace, _request_timeout=SECONDS)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    found = asked(cluster, f"reading namespace {namespace}", read)
    return None if found is None else dict(found.metadata.labels or {})


def asked(cluster: Cluster, what: str, ask: Callable[[Any, Any], Any]) -> Any:
    """Return what `ask` learns from the cluster: it is given the client library and a connection.

    Raises OwnershipError, with what to do, when the cluster can not be reached or refuses.
    """
    # Half a second to import, and only `up` needs it.
    kubernetes: Any = import_module("kubernetes")
    client, config = kubernetes.client, kubernetes.config
    from urllib3.exceptions import HTTPError

    file = str(Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else None
    try:
        loaded: Any = client.Configuration()
        config.load_kube_config(config_file=file, context=cluster.context, client_configuration=loaded)
        loaded.retries = False
        return ask(client, client.ApiClient(loaded))
    except client.ApiException as error:
        raise OwnershipError(f"cluster {cluster.identifier}: {what} was refused: {error.status} {error.reason}") from None
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

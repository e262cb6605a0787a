"""The kinds that a gateway needs: the Gateway API's, and Envoy Gateway's own, as upstream publishes them but for their descriptions.

The files in crds/ are made of the module that `tools/envoy-gateway` pins: `python -m cluster.definitions FOLDER`, with the folder of its
sources. They are in the repository, because `pulumi up` in cluster/ must find them on any machine.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from components import ownership
from components.site import Site

FOLDER = Path(__file__).resolve().parent / "crds"
SOURCES = ("charts/gateway-crds-helm/templates/standard-gatewayapi-crds.yaml", "charts/gateway-helm/charts/crds/crds/generated/*.yaml")
"""Where the module has them: of the Gateway API the standard channel."""
KINDS = {
    "gateway.networking.k8s.io": ("gatewayclasses", "gateways", "httproutes", "referencegrants"),
    "gateway.envoyproxy.io": ("envoyproxies", "clienttrafficpolicies", "backendtrafficpolicies", "httproutefilters"),
}
"""What is installed: what stacks use, and the ReferenceGrant, without which the controller does not start. It passes over the rest."""
OWNED = ("gatewayclasses", "gateways", "httproutes", "envoyproxies", "clienttrafficpolicies", "backendtrafficpolicies")
"""Those in whose status the controller writes."""


def definitions() -> Iterator[dict[str, Any]]:
    """Yield the CustomResourceDefinitions."""
    for group, kinds in KINDS.items():
        for kind in kinds:
            yield json.loads((FOLDER / f"{kind}.{group}.json").read_text())


def names() -> list[str]:
    """Return the names of the CustomResourceDefinitions."""
    return [f"{kind}.{group}" for group, kinds in KINDS.items() for kind in kinds]


def refuse_foreign(site: Site) -> None:
    """Raise OwnershipError when the cluster has the Gateway API already, and not from here: the provider would write over it."""

    def read(client: Any, connection: Any) -> list[str]:
        api = client.ApiextensionsV1Api(connection)
        found: list[str] = []
        for name in names():
            try:
                labels: dict[str, str] = api.read_custom_resource_definition(name, _request_timeout=ownership.SECONDS).metadata.labels or {}
            except client.ApiException as error:
                if error.status != 404:
                    raise
            else:
                found += [name] if labels.get("app.kubernetes.io/name") != site.product else []
        return found

    if foreign := ownership.asked(site.cluster, "reading the kinds of the Gateway API", read):
        raise ownership.OwnershipError(
            f"cluster {site.cluster.identifier} has {', '.join(foreign)} already, made by somebody else: leave them to whoever made them "
            "with switchyard-cluster:gateway: {definitions: false}"
        )


def made_of(sources: Path) -> dict[str, str]:
    """Return each file's name and text as the module's sources have it now."""
    found: dict[str, str] = {}
    for pattern in SOURCES:
        for file in sorted(sources.glob(pattern)):
            # Helm's own lines around the documents.
            text = "\n".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("{{"))
            for document in _documents(text):
                if document and document["metadata"]["name"] in names():
                    found[f"{document['metadata']['name']}.json"] = json.dumps(_bare(document), separators=(",", ":")) + "\n"
    return found


def _documents(text: str) -> Iterator[Any]:
    yield from yaml.load_all(text, yaml.CSafeLoader)


def _bare(found: Any) -> Any:
    """Return it without its descriptions, three quarters of the text: the engine keeps all of it in its state."""
    if isinstance(found, dict):
        said = cast("dict[str, Any]", found)
        return {key: _bare(value) for key, value in said.items() if not (key == "description" and isinstance(value, str))}
    return [_bare(one) for one in cast("list[Any]", found)] if isinstance(found, list) else found


if __name__ == "__main__":
    for name, content in made_of(Path(sys.argv[1])).items():
        (FOLDER / name).write_text(content)

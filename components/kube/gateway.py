"""The Gateway API's kinds, and Envoy Gateway's beside them, as far as a stack uses them: typed, because no SDK has them."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi
from pulumi_kubernetes import meta

from settings.gateway import OWNING_NAMESPACE

GATEWAY_API = "gateway.networking.k8s.io/v1"
GATEWAY_GROUP = "gateway.networking.k8s.io"
ENVOY_GROUP = "gateway.envoyproxy.io"
ENVOY_API = "gateway.envoyproxy.io/v1alpha1"

ENVOY_OWNER = {"namespace": OWNING_NAMESPACE, "name": f"{ENVOY_GROUP}/owning-gateway-name"}
"""Labels of the pods that Envoy Gateway makes for a Gateway."""


class Reference(TypedDict):
    """An object of the same namespace."""

    name: pulumi.Input[str]
    group: NotRequired[str]
    kind: NotRequired[str]
    sectionName: NotRequired[str]


class Tls(TypedDict):
    """How a listener ends TLS."""

    mode: str
    certificateRefs: Sequence[Reference]


class Listener(TypedDict):
    """A port of a Gateway."""

    name: str
    port: int
    protocol: str
    allowedRoutes: Mapping[str, Any]
    hostname: NotRequired[str]
    tls: NotRequired[Tls]


class Infrastructure(TypedDict):
    """What the Gateway's proxies and their Service are made of."""

    parametersRef: Reference
    annotations: NotRequired[Mapping[str, str]]


class GatewaySpec(TypedDict):
    """What a Gateway is asked to be."""

    gatewayClassName: str
    listeners: Sequence[Listener]
    infrastructure: Infrastructure


class PathMatch(TypedDict):
    """A beginning of paths."""

    type: str
    value: str


class Match(TypedDict):
    """Requests that a rule is for."""

    path: PathMatch


class Filter(TypedDict, total=False):
    """What is done to a request on its way."""

    type: str
    requestRedirect: Mapping[str, Any]
    requestHeaderModifier: Mapping[str, Any]
    extensionRef: Reference


class Backend(TypedDict):
    """A Service that answers."""

    name: str
    port: int


class Rule(TypedDict, total=False):
    """Where some requests go."""

    matches: Sequence[Match]
    filters: Sequence[Filter]
    backendRefs: Sequence[Backend]
    timeouts: Mapping[str, str]


class RouteSpec(TypedDict):
    """What an HTTPRoute says."""

    parentRefs: Sequence[Reference]
    hostnames: NotRequired[Sequence[str]]
    rules: Sequence[Rule]


class _Kind(pulumi.CustomResource):
    """An object of a kind that the SDK does not know."""

    def __init__(self, api: str, kind: str, name: str, about: meta.v1.ObjectMetaArgs, spec: Any, opts: pulumi.ResourceOptions) -> None:
        # A property that is named without a value is filled in by what the cluster answers.
        properties = {"apiVersion": api, "kind": kind, "metadata": about, "spec": spec, "status": None}
        super().__init__(f"kubernetes:{api}:{kind}", name, properties, opts)

    @property
    @pulumi.getter
    def status(self) -> pulumi.Output[Any]:
        """What the controller says of it, once the engine has waited for it."""
        return cast("pulumi.Output[Any]", pulumi.get(self, "status"))  # pyright: ignore[reportUnknownMemberType]: the SDK leaves it out


class Gateway(_Kind):
    """A Gateway: made when its load balancer has an address."""

    def __init__(self, name: str, metadata: meta.v1.ObjectMetaArgs, spec: GatewaySpec, opts: pulumi.ResourceOptions) -> None:
        """Make it."""
        super().__init__(GATEWAY_API, "Gateway", name, metadata, spec, opts)

    @property
    def address(self) -> pulumi.Output[str]:
        """The address or name of its load balancer; empty while that is not known."""
        return self.status.apply(_address)


class HttpRoute(_Kind):
    """An HTTPRoute of a Gateway of the same namespace."""

    def __init__(self, name: str, metadata: meta.v1.ObjectMetaArgs, spec: RouteSpec, opts: pulumi.ResourceOptions) -> None:
        """Make it."""
        super().__init__(GATEWAY_API, "HTTPRoute", name, metadata, spec, opts)


class HttpRouteFilter(_Kind):
    """Envoy Gateway's own filter of a route: a fixed answer."""

    def __init__(
        self, name: str, metadata: meta.v1.ObjectMetaArgs, *, status: int, content_type: str, body: str, opts: pulumi.ResourceOptions
    ) -> None:
        """Make one that answers every request alike."""
        headers = {"set": [{"name": "Retry-After", "value": "300"}, {"name": "Cache-Control", "value": "no-store"}]}
        answer = {"statusCode": status, "contentType": content_type, "body": {"type": "Inline", "inline": body}, "header": headers}
        super().__init__(ENVOY_API, "HTTPRouteFilter", name, metadata, {"directResponse": answer}, opts)


class EnvoyProxy(_Kind):
    """What the proxies of one Gateway are made of."""

    def __init__(self, name: str, metadata: meta.v1.ObjectMetaArgs, spec: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        """Make it."""
        super().__init__(ENVOY_API, "EnvoyProxy", name, metadata, spec, opts)


class ClientTrafficPolicy(_Kind):
    """How a Gateway treats those who connect to it."""

    def __init__(self, name: str, metadata: meta.v1.ObjectMetaArgs, spec: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        """Make it."""
        super().__init__(ENVOY_API, "ClientTrafficPolicy", name, metadata, spec, opts)


class BackendTrafficPolicy(_Kind):
    """How a Gateway treats the Services that it asks."""

    def __init__(self, name: str, metadata: meta.v1.ObjectMetaArgs, spec: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        """Make it."""
        super().__init__(ENVOY_API, "BackendTrafficPolicy", name, metadata, spec, opts)


def targets(kind: str, *names: str) -> list[Reference]:
    """Return what a policy is for: objects of the Gateway API."""
    return [{"group": GATEWAY_GROUP, "kind": kind, "name": name} for name in names]


def _address(status: Any) -> str:
    said = cast("Mapping[str, Any]", status or {})
    addresses: list[dict[str, str]] = said.get("addresses") or []
    return next((one["value"] for one in addresses), "")

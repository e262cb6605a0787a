"""The gateway: Envoy Gateway, the class that stacks' Gateways name, and what its Envoys are made of and may reach."""

from typing import Any

import pulumi
import yaml
from pulumi_kubernetes import apiextensions, core, meta

from cluster.definitions import definitions
from cluster.gateway_guard import guard
from cluster.gateway_rights import controller_account
from components.certificates import CertificateAuthority
from components.kube import network, probes
from components.kube.configuration import config_map
from components.kube.passwords import password
from components.kube.security import SERVER_UID
from components.kube.workload import Pod, container, deployment, empty_dir, from_config, from_secret, metadata, service
from components.site import Site
from settings.gateway import CONTROLLER, CONTROLLER_NAME, GATEWAY_CLASS, GATEWAY_LABEL, LISTENERS, METRICS, PROXY_LABELS, Gateway

HEALTH, XDS = 8081, 18000
CONFIGURATION, CERTIFICATES = "/config", "/certs"
START_WITHIN_SECONDS = 120
"""Its cache holds the cluster's Services and Secrets before it is ready."""
REQUEST = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "host": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "status": "%RESPONSE_CODE%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "milliseconds": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "pod": "%UPSTREAM_HOST%",
    "id": "%REQ(X-REQUEST-ID)%",
}
"""What an Envoy writes of a request. Not its query, in which there may be a token: Rails' own lines have it, filtered."""
STANDARD_OUTPUT = {"type": "File", "file": {"path": "/dev/stdout"}}
DEFINED = pulumi.CustomTimeouts(create="2m", update="2m", delete="2m")
PROXY_CERTIFICATE, SIGN_IN = "envoy", "envoy-oidc-hmac"
"""Secrets by names that are not to be chosen: what every Envoy mounts, and what the controller looks for."""


class GatewayController(pulumi.ComponentResource):
    """The Deployment `envoy-gateway`, and the GatewayClass `switchyard`.

    - For each Gateway of that class, in a namespace with the label switchyard.dev/gateway, it makes a Deployment of Envoys and a Service of
      type LoadBalancer in its own namespace, and tells these Envoys by TLS what to do. It makes nothing anywhere else.
    - An Envoy holds the certificate and the routes of one Gateway. It may dial the controller, and stacks that have a Gateway; a stack lets
      in the Envoys of its own alone.
    - Envoys go on with what they know while no controller is there.
    """

    def __init__(self, name: str, args: Gateway, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make it at `site`."""
        super().__init__("switchyard:index:GatewayController", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        defined = _definitions(site, child) if args.definitions else []
        guarded = guard(site, pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=defined)))
        rights = controller_account(site, child)
        certificate = _certificates(name, site, child)
        config = config_map(CONTROLLER, CONTROLLER, site, {"envoy-gateway.yaml": configuration(args, site)}, child)
        _policies(name, site, child)
        service(name, CONTROLLER, CONTROLLER, site, {"xds": (XDS, XDS), "metrics": (METRICS, METRICS)}, child)
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*rights, *defined]))
        made = deployment(
            name, _pod(args, config, certificate, site), site, after, replicas=args.replicas, start_seconds=START_WITHIN_SECONDS
        )
        # Taken away first: the controller has to let go of the class.
        _class(args, site, pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[made, *guarded])))
        self.register_outputs({})


def configuration(args: Gateway, site: Site) -> str:
    """Return the controller's own configuration."""
    kubernetes: dict[str, Any] = {
        "watch": {"type": "NamespaceSelector", "namespaceSelector": {"matchLabels": {GATEWAY_LABEL: GATEWAY_CLASS}}},
        "deploy": {"type": "ControllerNamespace"},
        # It would change every Envoy's pod on its way, by a webhook, to tell it its zone: a right that is worth more than that.
        "proxyTopologyInjector": {"disabled": True},
        "shutdownManager": {"image": site.image("envoy-gateway")},
        "leaderElection": {"disable": True} if args.replicas == 1 else {},
    }
    document = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER_NAME},
        "provider": {"type": "Kubernetes", "kubernetes": kubernetes},
        "logging": {"level": {"default": "info"}},
        # Raw Envoy configuration, and backends by address, would lead around all that keeps stacks apart.
        "extensionApis": {"enableEnvoyPatchPolicy": False, "enableBackend": False},
    }
    return yaml.safe_dump(document, sort_keys=False)


def proxy(args: Gateway, site: Site) -> dict[str, Any]:
    """Return what an Envoy is made of, as far as its stack does not say otherwise."""
    security = {"runAsUser": SERVER_UID, "runAsGroup": SERVER_UID, "readOnlyRootFilesystem": True}
    # Where the shutdown manager says that all connections are gone.
    scratch = {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}
    mounted = {"name": "tmp", "mountPath": "/tmp"}
    small = {"memory": "64Mi", "ephemeral-storage": "16Mi"}
    manager = {"name": "shutdown-manager", "volumeMounts": [mounted], "resources": {"requests": {"cpu": "5m", **small}, "limits": small}}
    own = {"memory": "256Mi", "ephemeral-storage": "64Mi"}
    pod: dict[str, Any] = {"volumes": [scratch], "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
    if site.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in site.pull_secrets]
    return {
        "provider": {
            "type": "Kubernetes",
            "kubernetes": {
                "envoyDeployment": {
                    "replicas": 2,
                    "container": {
                        "image": site.image("envoy"),
                        "securityContext": security,
                        "volumeMounts": [mounted],
                        "resources": {"requests": {"cpu": "100m", **own}, "limits": own},
                    },
                    "pod": pod,
                    "patch": {
                        "type": "StrategicMerge",
                        "value": {"spec": {"template": {"spec": {"enableServiceLinks": False, "containers": [manager]}}}},
                    },
                },
                # Without a stop on another node, who connects is who asks.
                "envoyService": {
                    "type": "LoadBalancer",
                    "externalTrafficPolicy": "Local",
                    "allocateLoadBalancerNodePorts": args.node_ports,
                },
                "envoyPDB": {"maxUnavailable": 1},
            },
        },
        "logging": {"level": {"default": "warn"}},
        "telemetry": {"accessLog": {"settings": [{"format": {"type": "JSON", "json": REQUEST}, "sinks": [STANDARD_OUTPUT]}]}},
    }


def _definitions(site: Site, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Make the kinds. They stay when the gateway goes: with them would go every Gateway of the cluster, whoever made it."""
    keeping = pulumi.ResourceOptions(retain_on_delete=True, custom_timeouts=DEFINED)
    made: list[pulumi.Resource] = []
    for found in definitions():
        said = found["metadata"]
        # They are ours, as the program has asked; but another state may have made them before it was lost or destroyed.
        annotations = {**said["annotations"], "pulumi.com/patchForce": "true"}
        about = meta.v1.ObjectMetaArgs(name=said["name"], annotations=annotations, labels=site.labels(CONTROLLER))
        made.append(
            apiextensions.v1.CustomResourceDefinition(
                said["name"], metadata=about, spec=found["spec"], opts=pulumi.ResourceOptions.merge(opts, keeping)
            )
        )
    return made


def _certificates(name: str, site: Site, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Make the authority of both ends of the connection by which Envoys are told what to do; return the controller's Secret."""
    authority = CertificateAuthority(f"{name}-authority", site, opts)
    base = f"{CONTROLLER}.{site.namespace}"
    dialled = [CONTROLLER, base, f"{base}.svc", f"{base}.svc.cluster.local"]
    secret = authority.server_secret(name, CONTROLLER, dialled, site, opts)
    proxies = authority.server_certificate(f"{name}-proxy", [f"*.{site.namespace}"], [], opts, uses=("digital_signature", "client_auth"))
    # Envoys read it again by themselves when it changes.
    core.v1.Secret(
        f"{name}-proxy",
        metadata=metadata(CONTROLLER, site, PROXY_CERTIFICATE),
        type="kubernetes.io/tls",
        string_data={"tls.key": proxies.key, "tls.crt": proxies.certificate, "ca.crt": proxies.authority},
        opts=opts,
    )
    # For signing in at the gateway, which nothing here does; without it the controller complains in its log again and again.
    unused = password(f"{name}-sign-in", 1, opts)
    about = metadata(CONTROLLER, site, SIGN_IN)
    core.v1.Secret(f"{name}-sign-in", metadata=about, string_data={"hmac-secret": unused}, immutable=True, opts=opts)
    return secret


def _pod(args: Gateway, config: str, certificate: pulumi.Output[str], site: Site) -> Pod:
    process = container(
        CONTROLLER,
        site.image("envoy-gateway"),
        site,
        args.resources,
        command=["/usr/local/bin/envoy-gateway", "server", f"--config-path={CONFIGURATION}/envoy-gateway.yaml"],
        env={"KUBERNETES_CLUSTER_DOMAIN": "cluster.local"},
        env_fields={"ENVOY_GATEWAY_NAMESPACE": "metadata.namespace"},
        ports={"health": HEALTH, "xds": XDS, "metrics": METRICS},
        mounts={CONFIGURATION: "config", CERTIFICATES: "certificates", "/var/lib/eg": "modules", "/tmp": "tmp"},
        read_only=[CONFIGURATION, CERTIFICATES],
        probes={
            "startup_probe": probes.http("/readyz", HEALTH, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/healthz", HEALTH, patient=True),
            "readiness_probe": probes.http("/readyz", HEALTH),
        },
    )
    volumes = [
        from_config("config", config),
        from_secret("certificates", certificate),
        empty_dir("modules", "16Mi"),
        empty_dir("tmp", "16Mi"),
    ]
    return Pod(component=CONTROLLER, containers=[process], volumes=volumes, service_account=CONTROLLER, token=True)


def _policies(name: str, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Let the controller reach the API server, Envoys the controller and stacks, and stacks hear of it; anybody may knock at an Envoy."""
    network.to_api_server(name, CONTROLLER, site, opts)
    network.allow_in(f"{name}-proxies-in", CONTROLLER, site, [network.pods(PROXY_LABELS)], [XDS], opts)
    served = {GATEWAY_LABEL: GATEWAY_CLASS}
    watchers = [network.labelled_namespaces(served, {"app.kubernetes.io/component": "prometheus"})]
    network.allow_in(f"{name}-metrics-in", CONTROLLER, site, watchers, [METRICS], opts)
    controller = [network.pods(site.selector(CONTROLLER))]
    network.allow_out(f"{name}-proxies-out", "proxy", site, PROXY_LABELS, controller, [XDS], opts)
    network.admit_everybody(f"{name}-public", "proxy", site, PROXY_LABELS, LISTENERS, opts)
    # Each stack lets in the Envoys of its own Gateway, and no others.
    network.allow_out(f"{name}-stacks-out", "proxy", site, PROXY_LABELS, [network.labelled_namespaces(served)], None, opts)


def _class(args: Gateway, site: Site, opts: pulumi.ResourceOptions) -> None:
    api, group = "gateway.envoyproxy.io/v1alpha1", "gateway.envoyproxy.io"
    made = apiextensions.CustomResource(
        "gateway-proxy", api_version=api, kind="EnvoyProxy", metadata=metadata("proxy", site), spec=proxy(args, site), opts=opts
    )
    apiextensions.CustomResource(
        "gateway-class",
        api_version="gateway.networking.k8s.io/v1",
        kind="GatewayClass",
        metadata=meta.v1.ObjectMetaArgs(name=GATEWAY_CLASS, labels=site.labels(CONTROLLER)),
        spec={
            "controllerName": CONTROLLER_NAME,
            "parametersRef": {"group": group, "kind": "EnvoyProxy", "name": "proxy", "namespace": site.namespace},
        },
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[made])),
    )

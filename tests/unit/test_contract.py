"""What every part of every stack keeps to, whichever components are on: walked over all that a whole stack registers."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from reports.connectivity import Network, matches
from settings import Settings, resolve
from settings.loader import ROOT
from settings.types import seconds_of
from settings.watching import exporters
from tests.unit.rendering import SENTINEL, Registered, render
from tests.unit.stacks import UNWATCHED

NAMED = {"identifier": "company"}

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
EXTERNAL = {
    "postgres": {
        "where": "external",
        "external": {
            "host": "db.example.com",
            "port": 5432,
            "user": "u",
            "password": "DB_PASSWORD",
            "database": "d",
            "tls": "verify-full",
            "ca": CA,
            "version": "13.16",
        },
    },
    "redis": {"jobs": {"where": "external", "external": {"host": "redis.example.com", "port": 6380, "password": "REDIS_PASSWORD"}}},
    "mqtt": {
        "where": "external",
        "external": {
            "host": "mqtt.example.com",
            "port": 8883,
            "user": "u",
            "password": "MQTT_PASSWORD",
            "tls": "verify-ca",
            "ca": CA,
            "ranges": ["198.51.100.0/24"],
        },
    },
    "elasticsearch": {
        "where": "external",
        "external": {"host": "search.example.com", "port": 9243, "user": "u", "password": "SEARCH_PASSWORD", "tls": "verify-full"},
    },
    "consumer": {"mode": "mqtt", "replicas": 1},
    "canary": {"password": "CANARY_PASSWORD"},
    "app": {"secrets": ["SENTRY_DSN"]},
}
BUCKET = {
    "bucket": "lamp-snapshots",
    "endpoint": "s3.eu-west-1.amazonaws.com",
    "access_key": "SNAPSHOTS_ACCESS_KEY",
    "secret_key": "SNAPSHOTS_SECRET_KEY",
}
MQTT_MODE = {"consumer": {"mode": "mqtt", "replicas": 1}, "mqtt": {"queues": {"falls": None}}}
STACKS: dict[str, dict[str, Any]] = {
    # The ranges are what `./sy up` adds there.
    "sandbox": {"tier": "sandbox", "edge": {"ranges": ["10.118.0.0/24"]}},
    "staging": {"tier": "staging", "cluster": NAMED, "edge": {"namespaces": ["envoy-gateway-system"]}},
    "production": {"tier": "production", "cluster": NAMED, "images": {"pull_secrets": ["registry"]}},
    "mqtt-mode": {"tier": "staging", "cluster": NAMED, **MQTT_MODE, **UNWATCHED},
    "no-broker": {
        "tier": "staging",
        "cluster": NAMED,
        "consumer": {"where": "none"},
        "mqtt": {"where": "none"},
        "canary": {"where": "none"},
    },
    "external": {"tier": "staging", "cluster": NAMED, **UNWATCHED, **EXTERNAL, "canary": {"where": "none"}},
    "watched-outside": {"tier": "staging", "cluster": NAMED, **EXTERNAL},
    "gateway": {**UNWATCHED, "tier": "sandbox", "edge": {"where": "gateway"}},
    "ingress": {
        "tier": "staging",
        "cluster": NAMED,
        "domain": "ingress.example",
        **UNWATCHED,
        "edge": {"where": "ingress", "class_name": "nginx", "namespaces": ["ingress"]},
    },
    "rotated": {
        "tier": "sandbox",
        "postgres": {"rotation": 2},
        "redis": {"jobs": {"rotation": 2}},
        "mqtt": {"rotation": 2},
        "elasticsearch": {"rotation": 2},
        "app": {"rotation": 2},
    },
    "everything": {
        "tier": "staging",
        "cluster": NAMED,
        "postgres": {"max_connections": 200},
        "redis": {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}},
        "elasticsearch": {"where": "cluster", "snapshots": {"repository": {"type": "s3", "s3": BUCKET}}},
        "logs": {"where": "cluster", "shared_with": ["lamp-other"]},
        "metrics": {"where": "cluster", "kubelet": True},
        "grafana": {"where": "cluster", "edge": True, "root_url": "https://figures.everything.example/"},
        "domain": "everything.example",
        "edge": {
            "where": "gateway",
            "certificate": {"by": "issuer", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}},
            "routes": {"web": {}, "admin": {"hosts": ["admin.everything.example"], "streams": True}},
        },
        "alerts": {
            "receivers": {
                "on-call": {"pagerduty": {"routing_key": "PAGERDUTY_ROUTING_KEY"}, "webhook": {"url_secret": "ALERTS_WEBHOOK_URL"}},
                "team": {"email": {"to": ["ops@example.com"], "sender": "lamp@example.com", "host": "mail.example.com"}},
                "inside": {"webhook": {"url": "http://10.1.2.3:8080/alerts"}},
            },
            "critical": ["on-call", "inside"],
            "warning": ["team"],
            "watchdog": {"url_secret": "HEARTBEAT_URL"},
            "expected_messages": 5,
        },
        "processes": {
            "clock": {"command": ["bin/clock"], "singleton": True},
            "worker": {"command": ["bin/worker"], "replicas": 2, "health": {}},
        },
        "schedules": {"nightly": {"command": ["bin/nightly"], "cron": "0 3 * * *"}},
        "restart": {"processes": ["web", "sidekiq-alerts", "worker"], "time_zone": "Europe/Paris"},
        "sidekiq": {"slow": {"queues": ["slow"], "replicas": 2, "stop_within": "5m"}},
        "web": {"admin": {"command": ["bin/admin"], "port": 4000, "metrics": {}}},
    },
    "real-cluster": {
        "tier": "staging",
        "logs": {
            "where": "cluster",
            "storage": "s3",
            "s3": {"bucket": "logs", "endpoint": "s3.example.com", "access_key": "LOGS_ID", "secret_key": "LOGS_KEY"},
        },
        "cluster": NAMED
        | {
            "api_server": ["198.51.100.10/32"],
            "api_server_ports": [8443],
            "dns_namespace": "dns",
            "dns": {"app": "coredns"},
            "storage_class": "ssd",
        },
        "placement": {
            "node_selector": {"pool": "apps"},
            "tolerations": [{"key": "dedicated", "value": "apps", "effect": "NoSchedule"}, {"key": "spot"}],
        },
        "images": {"pull_secrets": ["mirror"], "login": {"server": "ghcr.io", "user": "robot", "password": "REGISTRY_PASSWORD"}},
        "app": {
            "egress_ranges": ["10.9.0.0/24", "169.254.0.0/16"],
            "service_account_annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/lamp"},
        },
        "postgres": {"volume": {"storage_class": "fast"}, "placement": {"node_selector": {"pool": "data"}}},
        "redis": {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}},
        "schedules": {"nightly": {"command": ["bin/nightly"], "cron": "0 3 * * *"}},
        "elasticsearch": {"where": "cluster", "members": 1, "version": "8.17.4", "snapshots": {}},
    },
}
SECRET_NAMES = (
    "CANARY_PASSWORD",
    "SNAPSHOTS_ACCESS_KEY",
    "SNAPSHOTS_SECRET_KEY",
    "PAGERDUTY_ROUTING_KEY",
    "ALERTS_WEBHOOK_URL",
    "HEARTBEAT_URL",
    "DB_PASSWORD",
    "REDIS_PASSWORD",
    "MQTT_PASSWORD",
    "SEARCH_PASSWORD",
    "SENTRY_DSN",
    "REGISTRY_PASSWORD",
    "LOGS_ID",
    "LOGS_KEY",
)
SECRETS = {name: f"{SENTINEL}{name}" for name in SECRET_NAMES}
WITHOUT_PROBES = dict.fromkeys(("clock", "sidekiq-slow"), "a process that says no `health` is restarted only when it exits")
WITH_TOKEN = {"postgres", "prometheus", "kube-state-metrics", "restart"}
"""Patroni keeps its state in the Kubernetes API; Prometheus looks for pods in it, kube-state-metrics for all kinds of objects; the nightly
restart patches Deployments."""
BESIDE = {"volume"}
"""Sidecars without probes: one that is not ready would take a database out of its Service."""
ASKED = ("httpGet", "tcpSocket", "exec")
"""The ways in which a probe may ask."""
THROTTLED = {"grafana"}
"""What has a limit of processor time: people look at it, and no alarm passes through it."""
RENEWED = ("postgres-passwords-", "redis-jobs-password-", "redis-cache-password-", "mqtt-", "elasticsearch-")
"""Accounts of servers, which take other passwords as they run; and what shares a beginning with them."""
READ_BY_THE_KUBELET = {"registry-login"}
"""No container reads it: components/registry.py says why it changes in place."""
PUBLIC_SERVICES = {"mqtt-public"}
MUTABLE_NAME = {"mqtt-tls", "elasticsearch-tls", "edge-tls"}
"""Named by the certificate that the engine makes, so the Pulumi name can not say it."""
UNASKED = [{"switchyard.dev/client-of-loki": "true"}, {"acme.cert-manager.io/http01-solver": "true"}]
"""Pods that no stack makes: Grafana, which may be off, and cert-manager's, which come and go."""
SET_BY_PATRONI = {"role": "primary"}
FORBIDDEN_WORDS = ("bitnami", ":latest@", "hostPath", "hostNetwork", "privileged")


@dataclass(frozen=True)
class Rendered:
    """One stack, rendered."""

    name: str
    settings: Settings
    resources: list[Registered]

    def of(self, *kinds: str) -> list[Registered]:
        return [one for one in self.resources if one.kind in kinds and one.type.startswith("kubernetes:")]

    @property
    def objects(self) -> list[Registered]:
        return [one for one in self.resources if one.type.startswith("kubernetes:")]

    @property
    def network(self) -> Network:
        return Network(self.namespace, [policy.inputs for policy in self.of("NetworkPolicy")])

    @property
    def namespace(self) -> str:
        return self.settings.namespace or f"lamp-{self.name}"


@dataclass(frozen=True)
class PodTemplate:
    """A pod template, and what keeps its pods."""

    owner: Registered
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec["containers"], *self.spec.get("initContainers", [])]

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]


@cache
def rendered(name: str) -> Rendered:
    said = STACKS[name]
    settings = resolve(name, said)
    given = {key: value for key, value in SECRETS.items() if key in settings.secret_names()}
    return Rendered(name, settings, render(name, said, given))


def migration(stack: Rendered) -> Registered:
    """Return the Job that migrates the schema; a rotation has Jobs of its own."""
    [job] = [one for one in stack.of("Job") if one.kube_name.startswith("release-")]
    return job


def templates(stack: Rendered) -> list[PodTemplate]:
    found: list[PodTemplate] = []
    for owner in stack.of("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
        spec = owner.inputs["spec"]
        template = (spec["jobTemplate"]["spec"] if owner.kind == "CronJob" else spec)["template"]
        found.append(PodTemplate(owner, template["metadata"]["labels"], template["spec"]))
    assert found
    return found


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Rendered:
    return rendered(request.param)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}.{index}")
    else:
        yield path, value


class TestPods:
    def test_every_pod_runs_as_a_user_of_its_own_under_the_restricted_profile(self, stack: Rendered) -> None:
        for pod in templates(stack):
            context = pod.spec["securityContext"]
            assert context["runAsNonRoot"] is True, pod.component
            assert context["runAsUser"] >= 10000, pod.component
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.component
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec), pod.component
            kinds = {kind for volume in pod.spec.get("volumes", []) for kind in volume if kind != "name"}
            assert kinds <= {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim"}, pod.component

    def test_every_container_gains_nothing_and_writes_only_where_it_is_told(self, stack: Rendered) -> None:
        for pod in templates(stack):
            for container in pod.containers:
                context = container["securityContext"]
                assert context["allowPrivilegeEscalation"] is False, container["name"]
                assert context["readOnlyRootFilesystem"] is True, container["name"]
                assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
                assert context.get("runAsUser", 10000) >= 10000, container["name"]

    def test_no_pod_gets_a_token_that_does_not_need_one(self, stack: Rendered) -> None:
        for pod in templates(stack):
            wanted = pod.component in WITH_TOKEN
            assert pod.spec["automountServiceAccountToken"] is wanted, pod.component
            assert pod.spec["enableServiceLinks"] is False, pod.component

    def test_every_container_asks_for_and_is_limited_in_memory_and_disk_and_none_of_an_alarms_way_is_throttled(
        self, stack: Rendered
    ) -> None:
        for pod in templates(stack):
            throttled = {"cpu"} if pod.component in THROTTLED else set[str]()
            for container in pod.containers:
                requests, limits = container["resources"]["requests"], container["resources"]["limits"]
                assert {"cpu", "memory", "ephemeral-storage"} == set(requests), container["name"]
                assert {"memory", "ephemeral-storage"} | throttled == set(limits), container["name"]
                assert requests["memory"] == limits["memory"], container["name"]

    def test_every_lasting_container_has_probes_or_a_reason(self, stack: Rendered) -> None:
        for pod in templates(stack):
            if pod.owner.kind not in ("Deployment", "StatefulSet") or pod.component in WITHOUT_PROBES:
                continue
            sidecars = [one for one in pod.spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
            assert {one["name"] for one in sidecars} <= BESIDE, pod.component
            assert not [key for one in sidecars for key in one if key.endswith("Probe")], pod.component
            for container in pod.spec["containers"]:
                assert container.keys() >= {"startupProbe", "livenessProbe", "readinessProbe"}, pod.component

    def test_what_takes_a_container_out_of_service_is_never_what_restarts_it(self, stack: Rendered) -> None:
        for pod in templates(stack):
            for container in pod.containers:
                if "readinessProbe" in container:
                    ready, alive = ({key: container[probe].get(key) for key in ASKED} for probe in ("readinessProbe", "livenessProbe"))
                    assert ready != alive, pod.component

    def test_grace_periods_are_longer_than_what_they_wait_for(self, stack: Rendered) -> None:
        said: dict[str, Any] = dict(stack.settings.web) | dict(stack.settings.processes)
        said |= {f"sidekiq-{name}": pool for name, pool in stack.settings.sidekiq.items()} | {"consumer": stack.settings.consumer}
        for pod in templates(stack):
            if pod.owner.kind != "Deployment" or pod.component not in said:
                continue
            waits = seconds_of(said[pod.component].stop_within)
            if "lifecycle" in pod.spec["containers"][0]:
                waits += int(pod.spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
            assert pod.spec["terminationGracePeriodSeconds"] > waits, pod.component

    def test_sidekiq_stops_waiting_before_its_pod_is_killed(self, stack: Rendered) -> None:
        for pod in templates(stack):
            if pod.component.startswith("sidekiq-"):
                command = pod.spec["containers"][0]["command"]
                assert int(command[command.index("-t") + 1]) < pod.spec["terminationGracePeriodSeconds"]

    def test_a_pod_of_a_lost_node_is_replaced_within_seconds(self, stack: Rendered) -> None:
        for pod in templates(stack):
            lost = [one for one in pod.spec["tolerations"] if one["key"].startswith("node.kubernetes.io/")]
            seconds = {one["key"].rsplit("/")[-1]: one["tolerationSeconds"] for one in lost}
            assert seconds.keys() == {"not-ready", "unreachable"}, pod.component
            assert max(seconds.values()) <= 10, pod.component

    def test_mounted_volumes_exist_in_the_pod(self, stack: Rendered) -> None:
        for pod in templates(stack):
            claims = [claim["metadata"]["name"] for claim in pod.owner.inputs["spec"].get("volumeClaimTemplates", [])]
            volumes = {*claims, *(volume["name"] for volume in pod.spec.get("volumes", []))}
            mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
            assert mounted == volumes, pod.component

    def test_no_two_ports_of_a_pod_share_a_name_or_a_number(self, stack: Rendered) -> None:
        for pod in templates(stack):
            ports = [port for container in pod.containers for port in container.get("ports", [])]
            for what in ("name", "containerPort"):
                assert len({port[what] for port in ports}) == len(ports), pod.component
            assert all(len(port["name"]) <= 15 for port in ports), pod.component

    def test_images_are_those_that_the_settings_name(self, stack: Rendered) -> None:
        used = {container["image"] for pod in templates(stack) for container in pod.containers}
        proxies = [one.inputs["spec"]["provider"]["kubernetes"]["envoyDeployment"] for one in stack.of("EnvoyProxy")]
        used |= {proxy["container"]["image"] for proxy in proxies}
        assert used == {stack.settings.images.reference(name) for name in stack.settings.image_names()}

    def test_nothing_mentions_what_is_never_to_be_used(self, stack: Rendered) -> None:
        text = json.dumps([one.inputs for one in stack.resources])
        assert [word for word in FORBIDDEN_WORDS if word in text] == []

    def test_pull_secrets_reach_every_pod(self) -> None:
        for pod in templates(rendered("production")):
            assert pod.spec["imagePullSecrets"] == [{"name": "registry"}], pod.component


class TestReferences:
    def test_every_secret_and_config_map_that_a_pod_names_is_in_the_stack(self, stack: Rendered) -> None:
        secrets = {one.kube_name for one in stack.of("Secret")}
        maps = {one.kube_name for one in stack.of("ConfigMap")}
        used_secrets, used_maps = set[str](), set[str]()
        for pod in templates(stack):
            for container in pod.containers:
                used_secrets |= {source["secretRef"]["name"] for source in container.get("envFrom", []) if "secretRef" in source}
                for variable in container.get("env", []):
                    if "secretKeyRef" in variable.get("valueFrom", {}):
                        used_secrets.add(variable["valueFrom"]["secretKeyRef"]["name"])
            pulled = {one["name"] for one in pod.spec.get("imagePullSecrets", [])}
            used_secrets |= pulled - {*stack.settings.images.pull_secrets}
            for volume in pod.spec.get("volumes", []):
                sources = [volume, *volume.get("projected", {}).get("sources", [])]
                used_secrets |= {s["secret"].get("secretName", s["secret"].get("name")) for s in sources if "secret" in s}
                used_maps |= {s["configMap"]["name"] for s in sources if "configMap" in s}
        made_by_the_issuer = {"edge-tls", "edge-tls-2", "edge-tls-3"}
        for gateway in stack.of("Gateway"):
            used_secrets |= {
                ref["name"] for one in gateway.inputs["spec"]["listeners"] for ref in one.get("tls", {}).get("certificateRefs", [])
            }
        for ingress in stack.of("Ingress"):
            used_secrets |= {one["secretName"] for one in ingress.inputs["spec"]["tls"]}
        assert used_secrets - made_by_the_issuer == secrets
        assert used_maps == maps

    def test_every_service_account_that_a_pod_names_is_in_the_stack_and_bound_to_rights_in_it_alone(self, stack: Rendered) -> None:
        accounts = {one.kube_name for one in stack.of("ServiceAccount")}
        assert accounts == {pod.spec["serviceAccountName"] for pod in templates(stack) if "serviceAccountName" in pod.spec}
        assert not stack.of("ClusterRole", "ClusterRoleBinding")
        for role in stack.of("Role"):
            assert not any("*" in rule.get("verbs", []) + rule.get("resources", []) for rule in role.inputs["rules"])
            assert not any("secrets" in rule["resources"] for rule in role.inputs["rules"])

    def test_a_role_names_what_it_may_read_alone_or_change(self, stack: Rendered) -> None:
        for role in stack.of("Role"):
            for rule in role.inputs["rules"]:
                narrowed = set(rule["verbs"]) & {"get", "patch", "update", "delete"}
                assert bool(rule.get("resourceNames")) is bool(narrowed), f"{role.name}: {rule}"

    def test_a_workload_selects_its_own_pods_and_nobody_elses(self, stack: Rendered) -> None:
        pods = templates(stack)
        for owner in stack.of("Deployment", "StatefulSet"):
            selector = owner.inputs["spec"]["selector"]
            assert set(selector["matchLabels"]) == {"app.kubernetes.io/name", "app.kubernetes.io/component"}, owner.name
            selected = [pod.owner.name for pod in pods if matches(selector, pod.labels)]
            assert selected == [owner.name]

    def test_a_service_selects_pods_that_listen_on_its_ports(self, stack: Rendered) -> None:
        pods = templates(stack)
        for service in stack.of("Service"):
            spec = service.inputs["spec"]
            wanted = {key: value for key, value in spec["selector"].items() if SET_BY_PATRONI.get(key) != value}
            selected = [pod for pod in pods if matches({"matchLabels": wanted}, pod.labels)]
            assert len(selected) == 1, service.name
            if spec.get("clusterIP") == "None":
                # A headless Service gives names to the members, which meet on ports that no proxy looks at.
                continue
            listened = {port["containerPort"] for container in selected[0].containers for port in container.get("ports", [])}
            assert {port["targetPort"] for port in spec["ports"]} <= listened, service.name

    def test_services_stay_inside_the_cluster_except_the_brokers_public_one(self, stack: Rendered) -> None:
        for service in stack.of("Service"):
            kind = "LoadBalancer" if service.kube_name in PUBLIC_SERVICES else "ClusterIP"
            assert service.inputs["spec"]["type"] == kind, service.name
            if kind == "LoadBalancer":
                assert [port["port"] for port in service.inputs["spec"]["ports"]] == [8883]

    def test_whatever_runs_twice_has_a_disruption_budget_and_what_runs_once_has_none(self, stack: Rendered) -> None:
        budgets = [one.inputs["spec"]["selector"] for one in stack.of("PodDisruptionBudget")]
        for pod in templates(stack):
            if pod.owner.kind in ("Deployment", "StatefulSet"):
                several = pod.owner.inputs["spec"]["replicas"] > 1
                assert sum(matches(selector, pod.labels) for selector in budgets) == int(several), pod.component


class TestObjects:
    def test_every_object_is_of_a_typed_namespaced_kind(self, stack: Rendered) -> None:
        for one in stack.objects:
            assert not re.search(r"helm|yaml|kustomize|apiextensions", one.type), one.type
            if one.kind != "Namespace":
                assert one.inputs["metadata"]["namespace"] == stack.namespace, one.name

    def test_every_object_has_a_name_of_its_own_that_kubernetes_accepts(self, stack: Rendered) -> None:
        for one in stack.objects:
            limit = 52 if one.kind == "CronJob" else 63
            assert re.fullmatch(rf"[a-z0-9]([a-z0-9-]{{0,{limit - 2}}}[a-z0-9])?", one.kube_name), one.kube_name
        taken = Counter((one.kind, one.kube_name) for one in stack.objects)
        assert [key for key, count in taken.items() if count > 1] == []

    def test_every_object_carries_the_labels_that_tell_whose_it_is(self, stack: Rendered) -> None:
        for one in stack.objects:
            labels = one.inputs["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == "lamp", one.name
            assert labels["app.kubernetes.io/instance"] == stack.name, one.name
            assert labels["app.kubernetes.io/managed-by"] == "pulumi", one.name
            assert labels["app.kubernetes.io/component"], one.name

    def test_the_namespace_says_whose_it_is_and_admits_restricted_pods_alone(self, stack: Rendered) -> None:
        [namespace] = stack.of("Namespace")
        labels = namespace.inputs["metadata"]["labels"]
        assert labels["switchyard.dev/stack"] == f"lamp.{stack.name}"
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    def test_configuration_never_changes_under_a_running_pod(self, stack: Rendered) -> None:
        for one in stack.of("Secret", "ConfigMap"):
            if one.kube_name in READ_BY_THE_KUBELET or one.kube_name.startswith(RENEWED):
                continue
            assert one.inputs["immutable"] is True, one.name
            if one.kube_name.startswith(tuple(MUTABLE_NAME)):
                continue
            assert re.search(r"-[0-9a-f]{10}$", one.kube_name), one.kube_name
            assert one.name.endswith(one.kube_name), "the digest must be in the Pulumi name too"

    def test_accounts_of_a_server_change_under_it_and_keep_their_name(self) -> None:
        def accounts(name: str) -> dict[str, set[str]]:
            secrets = rendered(name).of("Secret")
            found = [one for one in secrets if one.kube_name.startswith(RENEWED) and not one.inputs.get("immutable")]
            return {one.kube_name: set(one.inputs["stringData"]) for one in found}

        # A key that appears or disappears would be another Secret, and another Secret restarts the server.
        assert len(accounts("sandbox")) == 4
        assert accounts("sandbox") == accounts("rotated")

    def test_a_rotation_restarts_no_server(self) -> None:
        def pods(resources: list[Registered]) -> dict[str, Any]:
            servers = ("postgres", "redis-jobs", "mqtt", "elasticsearch")
            sets = [one for one in resources if one.kind == "StatefulSet" and one.kube_name in servers]
            return {one.kube_name: one.inputs["spec"]["template"] for one in sets}

        before = pods(render("rotated", {"tier": "sandbox"}))
        assert len(before) == 4
        assert before == pods(rendered("rotated").resources)

    def test_every_component_names_its_children_after_itself(self, stack: Rendered) -> None:
        for one in stack.resources:
            assert one.parent, one.name
        components = [one.type for one in stack.resources if one.type.startswith("switchyard:")]
        assert components
        assert all(token.startswith("switchyard:index:") for token in components)

    def test_pulumi_names_are_unique_within_a_type(self, stack: Rendered) -> None:
        taken = Counter((one.type, one.name) for one in stack.resources)
        assert [key for key, count in taken.items() if count > 1] == []


class TestSecretsStaySecret:
    def test_no_secret_value_is_in_anything_but_a_secret(self, stack: Rendered) -> None:
        for one in stack.resources:
            for path, value in walk(one.inputs):
                if not isinstance(value, str) or SENTINEL not in value:
                    continue
                hidden = any(path == secret or path.startswith(f"{secret}.") for secret in one.secret_paths)
                if one.type.startswith("kubernetes:"):
                    assert one.kind == "Secret", f"{one.name}: {path}"
                    assert path.startswith("stringData."), f"{one.name}: {path}"
                assert hidden, f"{one.name}: {path} is not marked as a secret"

    def test_the_secrets_that_a_human_sets_reach_the_app(self) -> None:
        stack = rendered("external")
        [config] = [one for one in stack.of("Secret") if one.name.startswith("app-config")]
        values = config.inputs["stringData"]
        assert values["SENTRY_DSN"] == SECRETS["SENTRY_DSN"]
        assert SECRETS["DB_PASSWORD"] in values["DATABASE_URL"]
        assert values["DATABASE_URL"].startswith("postgresql://u:")
        assert values["REDIS_URL"].startswith("rediss://")
        assert values["MQTT_URL"].startswith("mqtts://u:")

    def test_every_pod_of_the_app_has_the_authorities_of_external_servers(self) -> None:
        stack = rendered("external")
        [made] = [one for one in stack.of("ConfigMap") if one.name.startswith("app-ca")]
        assert made.inputs["data"] == {"postgres.pem": CA, "mqtt.pem": CA} and made.inputs["immutable"]
        for pod in of_the_app(stack):
            [mount] = [mount for mount in pod.spec["containers"][0]["volumeMounts"] if mount["mountPath"] == "/etc/switchyard/ca"]
            [volume] = [volume for volume in pod.spec["volumes"] if volume["name"] == mount["name"]]
            assert mount["readOnly"] and volume["configMap"]["name"] == made.kube_name, pod.component

    def test_the_version_of_an_external_server_is_in_the_stack(self) -> None:
        [policy] = [one for one in rendered("external").of("NetworkPolicy") if one.name == "postgres-external"]
        assert policy.inputs["metadata"]["annotations"] == {"switchyard.dev/server-version": "13.16"}

    def test_no_secret_is_made_from_a_fixed_text(self, stack: Rendered) -> None:
        for one in stack.of("Secret"):
            assert one.inputs["stringData"], one.name


class TestRelease:
    def test_nothing_of_the_app_starts_before_the_migration_has_succeeded(self, stack: Rendered) -> None:
        job = migration(stack)
        image = stack.settings.images.reference("lamp")
        for pod in templates(stack):
            if pod.owner is not job and pod.spec["containers"][0]["image"] == image:
                assert job.name in pod.owner.depends_on, pod.owner.name

    def test_the_migration_waits_for_the_database_of_the_stack(self, stack: Rendered) -> None:
        job = migration(stack)
        if stack.settings.postgres.where == "cluster":
            assert "postgres" in job.depends_on

    def test_the_migration_waits_until_every_server_lets_its_new_login_in(self) -> None:
        waiting = {one.name for one in rendered("rotated").of("Job") if "-rotation-" in one.kube_name}
        assert len(waiting) == 4
        assert waiting <= set(migration(rendered("rotated")).depends_on)

    def test_a_migration_is_tried_again_by_the_next_up_and_named_after_its_release(self, stack: Rendered) -> None:
        job = migration(stack)
        assert job.inputs["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
        assert re.fullmatch(r"release-[0-9a-f]{10}", job.kube_name)
        assert "ttlSecondsAfterFinished" not in job.inputs["spec"]

    def test_all_processes_of_a_release_read_the_same_configuration(self, stack: Rendered) -> None:
        [config] = [one.kube_name for one in stack.of("Secret") if one.name.startswith("app-config")]
        image = stack.settings.images.reference("lamp")
        for pod in templates(stack):
            if pod.spec["containers"][0]["image"] == image:
                assert pod.spec["containers"][0]["envFrom"][0] == {"secretRef": {"name": config}}, pod.component

    def test_a_singleton_never_runs_twice_and_others_never_pause(self, stack: Rendered) -> None:
        settings = stack.settings
        alone = {name for name, said in settings.processes.items() if said.singleton}
        alone |= {"consumer"} if settings.consumer.alone else set()
        # Two exporters of the same figures would double every sum.
        alone |= {*exporters(settings), "canary"}
        for one in stack.of("Deployment"):
            strategy = one.inputs["spec"]["strategy"]
            assert strategy["type"] == ("Recreate" if one.kube_name in alone else "RollingUpdate"), one.name
            if strategy["type"] == "RollingUpdate":
                assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, one.name

    def test_a_rollout_may_take_as_long_as_its_pods_may_one_after_the_other(self) -> None:
        patient = {"start_within": "20m", "replicas": 3}
        said = {
            "tier": "staging",
            "cluster": NAMED,
            "web": {"web": patient},
            "sidekiq": {"alerts": patient | {"stop_within": "1h", "singleton": True, "replicas": 1}},
        }
        made = {one.kube_name: one for one in render("patient", said) if one.kind == "Deployment"}
        web, pool, consumer = made["web"], made["sidekiq-alerts"], made["consumer"]
        assert (web.inputs["spec"]["progressDeadlineSeconds"], web.timeout) == (1200 + 35 + 60, "3660s")
        assert (pool.inputs["spec"]["progressDeadlineSeconds"], pool.timeout) == (1200 + 3605 + 60, "4925s")
        assert (consumer.inputs["spec"]["progressDeadlineSeconds"], consumer.timeout) == (600, "660s")

    def test_a_process_that_crashes_while_it_boots_replaces_no_old_one(self, stack: Rendered) -> None:
        for pod in templates(stack):
            if pod.owner.kind == "Deployment":
                probed = "startupProbe" in pod.spec["containers"][0]
                assert ("minReadySeconds" in pod.owner.inputs["spec"]) is not probed, pod.component

    def test_another_size_of_a_claim_replaces_neither_database_nor_broker(self, stack: Rendered) -> None:
        kept = {one.kube_name: one.ignored for one in stack.of("StatefulSet") if not one.kube_name.startswith("redis-")}
        assert all(ignored == ("spec.volumeClaimTemplates", "spec.serviceName") for ignored in kept.values())

    def test_each_writable_folder_is_a_sticky_folder_of_its_own(self) -> None:
        folders = ["/tmp", "/app/tmp", "/app-tmp", "/app.tmp", "/app/Tmp", "/srv/" + "long/" * 12 + "a", "/srv/" + "long/" * 12 + "b"]
        pods = templates(Rendered("w", resolve("w", STACKS["staging"]), render("w", STACKS["staging"] | {"app": {"writable": folders}})))
        for pod in pods:
            if pod.component != "web":
                continue
            mounts = [one for one in pod.spec["containers"][0]["volumeMounts"] if not one.get("readOnly")]
            parts = [mount["subPath"] for mount in mounts]
            assert [mount["mountPath"] for mount in mounts] == folders
            assert len(set(parts)) == len(folders)
            made = pod.spec["initContainers"][0]["command"]
            assert made == ["mkdir", "-p", "-m", "1777", *(f"/writable/{part}" for part in parts)]

    def test_schedules_never_overlap_themselves_and_clean_up(self) -> None:
        crons = {one.kube_name: one.inputs["spec"] for one in rendered("everything").of("CronJob")}
        rollouts = [2 * (120 + 35) + 60, 120 + 30 + 60, 2 * (120 + 30) + 60]
        limits = {"nightly": 3600, "elasticsearch-snapshots": 6 * 3600, "restart": sum(rollouts) + 300}
        assert crons.keys() == limits.keys()
        for name, spec in crons.items():
            assert spec["concurrencyPolicy"] == "Forbid"
            job = spec["jobTemplate"]["spec"]
            assert job["activeDeadlineSeconds"] == limits[name]
            assert job["ttlSecondsAfterFinished"] > 0
            assert job["template"]["spec"]["restartPolicy"] == "Never"

    def test_every_generated_value_is_made_anew_when_its_rotation_is_raised(self) -> None:
        def keepers(name: str) -> dict[str, Any]:
            made = [one for one in rendered(name).resources if one.type.startswith("random:") and one.inputs.get("keepers")]
            return {one.name: one.inputs["keepers"] for one in made}

        before, after = keepers("sandbox"), keepers("rotated")
        # Each generation is a resource of its own: taken back, a failed update finds the values of before.
        successors = {name: f"{name.removesuffix('-1')}-2" for name in before}
        assert [name for name, successor in successors.items() if after[successor] == before[name]] == []
        assert not [name for name in after if after[name] == {"rotation": "2"} and name in before]


class TestNetwork:
    def test_every_pod_is_refused_everything_that_no_component_allows(self, stack: Rendered) -> None:
        network = stack.network
        for pod in templates(stack):
            for direction in ("Ingress", "Egress"):
                assert network.is_restricted(pod.labels, direction), pod.component

    def test_no_policy_names_a_whole_namespace_of_ours_or_all_ports(self, stack: Rendered) -> None:
        for policy in stack.of("NetworkPolicy"):
            for direction in ("ingress", "egress"):
                for rule in policy.inputs["spec"].get(direction) or []:
                    assert rule["ports"], policy.name
                    # To Kubernetes an empty list is everybody.
                    assert rule.get("from", rule.get("to")), policy.name
                    for peer in rule.get("from", rule.get("to", [])):
                        assert "namespaceSelector" in peer or "ipBlock" in peer or peer["podSelector"].get("matchLabels"), policy.name

    def test_every_policy_selects_a_pod_of_the_stack(self, stack: Rendered) -> None:
        for policy in stack.of("NetworkPolicy"):
            selector = policy.inputs["spec"]["podSelector"]
            nobody = selector.get("matchLabels") in UNASKED
            assert nobody or any(matches(selector, pod.labels) for pod in templates(stack)), policy.name

    def test_each_pod_reaches_exactly_what_it_needs(self) -> None:
        assert matrix(rendered("sandbox")) == {
            ("postgres", "postgres", 5432),
            ("postgres", "postgres", 8008),
            ("mqtt", "mqtt", 4369),
            ("mqtt", "mqtt", 25672),
            ("elasticsearch", "elasticsearch", 9300),
            ("elasticsearch-snapshots", "elasticsearch", 9200),
            ("canary", "mqtt", 8883),
            ("canary", "web", 3000),
            *((app, target, port) for app in APP for target, port in SERVED),
            ("postgres-exporter", "postgres", 5432),
            ("redis-jobs-exporter", "redis-jobs", 6379),
            ("elasticsearch-exporter", "elasticsearch", 9200),
            ("blackbox-exporter", "mqtt", 8883),
            ("blackbox-exporter", "elasticsearch", 9200),
            *(("prometheus", target, port) for target, ports in TOLD.items() for port in ports),
        }

    def test_grafana_asks_what_keeps_figures_and_lines_and_nobody_asks_grafana_but_prometheus(self) -> None:
        reached = matrix(rendered("staging"))
        assert {pair[1:] for pair in reached if pair[0] == "grafana"} == {("prometheus", 9090), ("alertmanager", 9093), ("loki", 3100)}
        assert {pair for pair in reached if pair[1] == "grafana"} == {("prometheus", "grafana", 3000)}

    def test_every_pod_may_ask_a_dns_cache_on_its_node(self, stack: Rendered) -> None:
        for pod in templates(stack):
            assert stack.network.lets_out(pod.labels, "169.254.20.10", 53), pod.component
            assert not stack.network.lets_out(pod.labels, "169.254.20.11", 53), pod.component

    def test_without_a_broker_nothing_is_open_towards_one(self) -> None:
        reached = matrix(rendered("no-broker"))
        assert not [pair for pair in reached if pair[2] in (1883, 5672, 8883, 15672, 15692)]
        assert {port for source, _, port in reached if source != "prometheus"} == {5432, 8008, 6379, 9200, 9300, 9090, 9093, 3100}

    def test_external_services_are_reached_by_address_and_by_the_app_alone(self) -> None:
        stack = rendered("external")
        assert matrix(stack) == set()
        for pod in of_the_app(stack):
            assert all(stack.network.lets_out(pod.labels, "198.51.100.7", port) for port in (443, 5432, 6380, 8883, 9243)), pod.component
            assert not stack.network.lets_out(pod.labels, "203.0.113.7", 8883), f"{pod.component}: outside mqtt.external.ranges"

    def test_only_the_app_reaches_the_internet_and_nothing_private(self) -> None:
        stack = rendered("sandbox")
        for pod in templates(stack):
            is_app = pod.component in APP
            assert stack.network.lets_out(pod.labels, "198.51.100.7", 587) is is_app, pod.component
            assert not stack.network.lets_out(pod.labels, "169.254.169.254", 80), pod.component
            if is_app:
                assert not stack.network.lets_out(pod.labels, "10.1.2.3", 443), pod.component

    def test_from_outside_only_the_brokers_tls_port_and_the_edge_are_open(self) -> None:
        stack = rendered("sandbox")
        ports = {5432, 8008, 6379, 1883, 5672, 15672, 15692, 4369, 25672, 8883, 3000, *(port for told in TOLD.values() for port in told)}
        opened = {
            (pod.component, port, address)
            for pod in templates(stack)
            for port in ports
            for address in ("10.118.0.200", "203.0.113.9")
            if stack.network.admits(address, pod.labels, port)
        }
        assert opened == {("mqtt", 8883, "10.118.0.200"), ("mqtt", 8883, "203.0.113.9"), ("web", 3000, "10.118.0.200")}


APP = ("web", "sidekiq-alerts", "consumer", "release", "indexer")
SERVED = (("postgres", 5432), ("redis-jobs", 6379), ("mqtt", 1883), ("mqtt", 5672), ("mqtt", 15672), ("elasticsearch", 9200))
TOLD = {
    **dict.fromkeys(("web", "sidekiq-alerts", "consumer", "indexer", "canary"), (9394,)),
    "postgres": (8008, 9100),
    "redis-jobs": (9100,),
    "mqtt": (9100, 15692),
    "elasticsearch": (9100,),
    "loki": (3100, 9100),
    "prometheus": (9090, 9100),
    "alertmanager": (9093, 9100),
    "kube-state-metrics": (8080,),
    "postgres-exporter": (9187,),
    "redis-jobs-exporter": (9121, 9122),
    "elasticsearch-exporter": (9114,),
    "blackbox-exporter": (9115,),
}
"""Where the sandbox's Prometheus reads metrics; 9100 is the free space of a volume."""


def of_the_app(stack: Rendered) -> list[PodTemplate]:
    """The pods that run the app's image."""
    image = stack.settings.images.reference("lamp")
    return [pod for pod in templates(stack) if pod.spec["containers"][0]["image"] == image]


def matrix(stack: Rendered) -> set[tuple[str, str, int]]:
    """Every pair of pods of the stack that may talk, and the port."""
    pods, network = templates(stack), stack.network
    named = {port["containerPort"] for pod in pods for container in pod.containers for port in container.get("ports", [])}
    # Members of the broker and of Elasticsearch meet on ports that they do not name.
    ports = named | {4369, 25672, 9300, 443}
    return {
        (source.component, target.component, port)
        for source in pods
        for target in pods
        for port in ports
        if network.connects(source.labels, target.labels, port)
    }


class TestNoDeadSettings:
    def test_every_setting_is_read_somewhere(self) -> None:
        files = [*(ROOT / "components").rglob("*.py"), *(ROOT / "settings").glob("*.py"), ROOT / "__main__.py"]
        read = {
            node.attr
            for file in files
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        }
        assert sorted({name for model in models(Settings) for name in model.model_fields} - read) == []

    def test_every_setting_says_what_it_is(self) -> None:
        silent = [
            f"{model.__name__}.{name}" for model in models(Settings) for name, field in model.model_fields.items() if not field.description
        ]
        assert silent == []


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    from typing import get_args

    def inside(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from inside(argument)

    found, waiting = set[type[BaseModel]](), [model]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [inner for field in one.model_fields.values() for inner in inside(field.annotation)]
    return found

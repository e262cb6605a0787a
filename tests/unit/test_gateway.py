"""The cluster's gateway: what its controller may do, what its Envoys are, and what a stack may not say of them."""

import json
from functools import cache
from typing import Any

import yaml

from cluster import definitions
from cluster.gateway_guard import rule
from rendering.processes import run
from settings.clusters import ClusterSettings, Route, live_route, load
from tests.unit.rendering import Registered

EDGE = Route(namespace="lamp-a", gateway=True)
PLAIN = Route(namespace="lamp-b", loki="lamp-b")
DIGESTS = {name: f"registry.example.com/{name}@sha256:" + "0" * 64 for name in ("envoy-gateway", "envoy", "otel-collector")}
READING = {"get", "list", "watch"}


@cache
def build(*kinds: str) -> tuple[Registered, ...]:
    return tuple(run(_built, kinds))


def _built(kinds: tuple[str, ...]) -> list[Registered]:
    from cluster.program import ClusterWide, site_of
    from rendering.program import recorded
    from settings.stack import Cluster

    gateway: dict[str, Any] = {"image": DIGESTS["envoy-gateway"], "proxy": DIGESTS["envoy"]}
    settings = load({"image": DIGESTS["otel-collector"], "gateway": gateway | {"always": "always" in kinds}, "digest": "abc"})
    routes = [{"edge": EDGE, "plain": PLAIN}[kind] for kind in kinds if kind != "always"]
    site = site_of("company", Cluster(identifier="company", context="company"), settings)
    return recorded("switchyard-cluster", "company", lambda: _program(ClusterWide, settings, routes, site))


def _program(component: Any, settings: ClusterSettings, routes: list[Route], site: Any) -> None:
    component("cluster", settings, routes, site)


def of(kind: str, *kinds: str) -> list[Registered]:
    return [one for one in build(*kinds) if one.kind == kind]


def one(kind: str, name: str) -> dict[str, Any]:
    [found] = [found for found in of(kind, "edge") if found.inputs["metadata"]["name"] == name]
    return dict(found.inputs)


def proxies() -> dict[str, Any]:
    return one("EnvoyProxy", "proxy")["spec"]["provider"]["kubernetes"]


class TestWhereItIs:
    def test_a_cluster_without_a_gateway_has_no_controller_and_no_new_kinds(self) -> None:
        assert not of("Deployment", "plain") and not of("CustomResourceDefinition", "plain")

    def test_one_stack_with_a_gateway_brings_the_controller_and_its_class(self) -> None:
        assert [found.inputs["metadata"]["name"] for found in of("GatewayClass", "edge")] == ["switchyard"]
        assert of("Deployment", "edge") and not of("DaemonSet", "edge")

    def test_the_sandbox_keeps_it_while_no_stack_has_a_gateway(self) -> None:
        assert of("Deployment", "always", "plain")

    def test_what_it_was_made_of_is_written_down_last(self) -> None:
        [record] = of("ConfigMap", "edge")[-1:] if of("ConfigMap", "edge")[-1].name == "record" else []
        assert record.inputs["data"] == {"digest": "abc"}
        assert any(before.endswith("gateway") for before in record.depends_on)


class TestRights:
    def rules(self, kind: str, name: str) -> list[dict[str, Any]]:
        return one(kind, name)["rules"]

    def test_outside_its_namespace_it_reads_and_tells_what_became_of_gateways_and_changes_nothing_else(self) -> None:
        for found in self.rules("ClusterRole", "switchyard-gateway"):
            changes = set(found["verbs"]) - READING
            told = all(name.endswith("/status") or name == "gatewayclasses" for name in found["resources"])
            assert not changes or told, found

    def test_it_makes_envoys_in_its_own_namespace_and_no_secret_and_no_pod(self) -> None:
        made = {name for found in self.rules("Role", "envoy-gateway") if "create" in found["verbs"] for name in found["resources"]}
        assert "deployments" in made and not made & {"secrets", "pods", "roles", "rolebindings"}

    def test_its_lease_is_named(self) -> None:
        leases = [found for found in self.rules("Role", "envoy-gateway") if "leases" in found["resources"]]
        assert [found.get("resourceNames") for found in leases if "update" in found["verbs"]] == [["5b9825d2.gateway.envoyproxy.io"]]

    def test_its_namespace_admits_restricted_pods_alone(self) -> None:
        labels = one("Namespace", "switchyard-gateway")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    def test_it_passes_over_namespaces_that_do_not_say_its_class(self) -> None:
        [config] = [found for found in of("ConfigMap", "edge") if found.name.startswith("envoy-gateway")]
        said = yaml.safe_load(config.inputs["data"]["envoy-gateway.yaml"])
        watched = said["provider"]["kubernetes"]["watch"]
        assert watched == {"type": "NamespaceSelector", "namespaceSelector": {"matchLabels": {"switchyard.dev/gateway": "switchyard"}}}
        assert said["extensionApis"] == {"enableEnvoyPatchPolicy": False, "enableBackend": False}


class TestPackets:
    def test_its_metrics_are_asked_for_by_the_prometheus_of_stacks_that_it_serves_and_by_nobody_else(self) -> None:
        [policy] = [found.inputs["spec"] for found in of("NetworkPolicy", "edge") if found.kube_name == "gateway-metrics-in"]
        [rule] = policy["ingress"]
        assert rule["ports"] == [{"port": 19001, "protocol": "TCP"}]
        assert rule["from"] == [
            {
                "namespaceSelector": {"matchLabels": {"switchyard.dev/gateway": "switchyard"}},
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "prometheus"}},
            }
        ]

    def test_envoys_dial_the_controller_and_stacks_with_a_gateway_and_nobody_else(self) -> None:
        out = [found.inputs["spec"] for found in of("NetworkPolicy", "edge") if found.inputs["spec"].get("egress")]
        own = [spec for spec in out if spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == "envoy"]
        peers = [peer for spec in own for found in spec["egress"] for peer in found["to"]]
        assert [peer.get("namespaceSelector", {}).get("matchLabels") for peer in peers] == [None, {"switchyard.dev/gateway": "switchyard"}]
        assert peers[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "envoy-gateway"

    def test_from_outside_only_envoys_are_reached_where_they_listen_for_80_and_443(self) -> None:
        open_to_all = [
            found.inputs["spec"]
            for found in of("NetworkPolicy", "edge")
            for admitted in found.inputs["spec"].get("ingress", [])
            if not admitted.get("from")
        ]
        [spec] = open_to_all
        assert [port["port"] for port in spec["ingress"][0]["ports"]] == [10080, 10443]
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "proxy"


class TestProxies:
    def test_clients_keep_their_addresses(self) -> None:
        assert proxies()["envoyService"]["externalTrafficPolicy"] == "Local"

    def test_they_run_with_a_read_only_root_and_both_containers_have_limits(self) -> None:
        said = proxies()["envoyDeployment"]
        assert said["container"]["securityContext"]["readOnlyRootFilesystem"] is True
        [manager] = said["patch"]["value"]["spec"]["template"]["spec"]["containers"]
        assert set(manager["resources"]["limits"]) == set(said["container"]["resources"]["limits"]) == {"memory", "ephemeral-storage"}

    def test_what_they_write_of_a_request_leaves_out_its_query_where_tokens_are(self) -> None:
        [settings] = one("EnvoyProxy", "proxy")["spec"]["telemetry"]["accessLog"]["settings"]
        paths = [said for said in settings["format"]["json"].values() if "PATH" in said]
        assert paths == ["%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%"]

    def test_a_drain_takes_one_at_a_time(self) -> None:
        assert proxies()["envoyPDB"] == {"maxUnavailable": 1}


class TestGuard:
    def test_what_leads_to_a_key_may_be_left_out(self) -> None:
        assert rule("object.spec", "bootstrap") == "!(has(object.spec) && has(object.spec.bootstrap))"

    def test_a_stack_may_not_add_files_programs_or_accounts_to_pods_that_run_beside_others(self) -> None:
        said = one("ValidatingAdmissionPolicy", "switchyard-gateway-parameters")["spec"]
        messages = " ".join(found["message"] for found in said["validations"])
        for key in ("pod.volumes", "container.volumeMounts", "initContainers", "envoyServiceAccount", "bootstrap", "envoyDeployment.patch"):
            assert key in messages
        assert said["failurePolicy"] == "Fail"


class TestDefinitions:
    def test_all_that_is_named_is_there_and_serves_a_version(self) -> None:
        found = {one["metadata"]["name"]: one for one in definitions.definitions()}
        assert list(found) == definitions.names()
        assert all(any(version["served"] for version in one["spec"]["versions"]) for one in found.values())

    def test_their_status_is_apart_where_the_controller_writes_it(self) -> None:
        for found in definitions.definitions():
            apart = any("status" in version.get("subresources", {}) for version in found["spec"]["versions"])
            assert apart == (found["spec"]["names"]["plural"] in definitions.OWNED)

    def test_they_stay_when_the_gateway_goes(self) -> None:
        # With a kind go all of its objects, also those of somebody else.
        assert all(found.retained for found in of("CustomResourceDefinition", "edge"))

    def test_descriptions_are_left_out_and_nothing_else(self, tmp_path: Any) -> None:
        folder = tmp_path / "charts/gateway-helm/charts/crds/crds/generated"
        folder.mkdir(parents=True)
        schema = {"description": "words", "properties": {"description": {"type": "string", "description": "words"}}}
        made = {"kind": "CustomResourceDefinition", "metadata": {"name": definitions.names()[-1]}, "spec": {"schema": schema}}
        (folder / "one.yaml").write_text("{{- if .Values.x }}\n" + yaml.safe_dump(made))
        [text] = definitions.made_of(tmp_path).values()
        assert json.loads(text)["spec"] == {"schema": {"properties": {"description": {"type": "string"}}}}


class TestSettings:
    def test_images_without_a_digest_are_named_where_they_would_run(self) -> None:
        assert ClusterSettings().loose([EDGE]) == ["gateway.image", "gateway.proxy"]
        assert ClusterSettings().loose([PLAIN]) == ["image"]
        assert ClusterSettings().loose([]) == []

    def test_on_the_sandbox_a_stack_that_has_nothing_but_a_gateway_changes_nothing_of_the_clusters(self) -> None:
        assert not list(live_route({"metadata": {"name": "lamp-a", "labels": {"switchyard.dev/gateway": "switchyard"}}}))

"""The edge: what it makes, whom it believes, and what is refused of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from cli.maintenance import refuse_without_gateway, urns
from cli.stack import Stack
from cli.stack_file import with_value
from cli.up import dns_records
from components.edge_gateway import PAGE
from components.gateway_class import missing
from settings import SettingsError, proxies, resolve
from settings.edge import Certificate, Edge
from settings.edge_certificate import key_wrong, wrong
from settings.gateway import CONTROLLER_NAME
from settings.loader import ROOT
from tests.unit.rendering import Registered, render
from tests.unit.stacks import UNWATCHED, house, laid, stack
from tools.errors import UserError

NAMED = {"identifier": "company"}
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def said(edge: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {**UNWATCHED, "tier": "staging", "cluster": NAMED, "domain": "edge.example", "edge": {"where": "gateway", **edge}, **others}


stack_of = said
"""The same, where `said` is the name of something else."""


def refusals(edge: dict[str, Any], **others: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolve("trying", said(edge, **others))
    return [problem.removeprefix("Pulumi.trying.yaml: ") for problem in caught.value.problems]


@cache
def made() -> tuple[Registered, ...]:
    two = {"routes": {"web": {"paths": ["/", "/api"]}, "admin": {"hosts": ["admin.edge.example"], "streams": True}}}
    more: dict[str, Any] = {"allow_from": ["198.51.100.0/24"], "address": "203.0.113.7", "annotations": {"a": "b"}}
    return tuple(
        render("trying", said(two | more, web={"admin": {"command": ["bin/admin"], "port": 4000}}, postgres={"max_connections": 300}))
    )


def one(kind: str, name: str, resources: tuple[Registered, ...] | list[Registered] | None = None) -> dict[str, Any]:
    [found] = [each for each in resources or made() if each.kind == kind and each.in_cluster and each.kube_name == name]
    return dict(found.inputs["spec"])


class TestGateway:
    def test_it_ends_tls_with_a_certificate_of_the_stacks_own_and_takes_routes_of_its_namespace_alone(self) -> None:
        http, https = one("Gateway", "edge")["listeners"]
        assert (http["port"], https["port"]) == (80, 443)
        assert http["allowedRoutes"] == https["allowedRoutes"] == {"namespaces": {"from": "Same"}}
        [secret] = [each for each in made() if each.kind == "Secret" and each.inputs.get("type") == "kubernetes.io/tls"]
        assert https["tls"]["certificateRefs"] == [{"group": "", "kind": "Secret", "name": secret.kube_name}]

    def test_an_issuer_is_asked_for_a_certificate_of_each_host_and_port_80_leads_to_none(self) -> None:
        issuer = {"by": "issuer", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}
        settings = said({"certificate": issuer, "routes": {"web": {"hosts": ["a.edge.example", "b.edge.example"]}}})
        resources = render("trying", settings)
        [gateway] = [each for each in resources if each.kind == "Gateway"]
        assert gateway.inputs["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
        shown = {each.get("hostname"): each["tls"]["certificateRefs"][0]["name"] for each in gateway.inputs["spec"]["listeners"][1:]}
        assert shown == {"a.edge.example": "edge-tls", "b.edge.example": "edge-tls-2"}
        assert {ref["sectionName"] for ref in one("HTTPRoute", "web", resources)["parentRefs"]} == set(shown)

    def test_clients_keep_their_addresses_and_only_those_that_are_said_may_come(self) -> None:
        service = one("EnvoyProxy", "edge")["provider"]["kubernetes"]["envoyService"]
        assert service["externalTrafficPolicy"] == "Local"
        assert service["loadBalancerSourceRanges"] == ["198.51.100.0/24"]
        assert (service["loadBalancerIP"], service["annotations"]) == ("203.0.113.7", {"a": "b"})

    @pytest.mark.parametrize("said", [{"edge": {"placement": {"spread": "zones"}}}, {"placement": {"spread": "zones"}}])
    def test_its_proxies_are_kept_apart_as_the_placement_says(self, said: dict[str, Any]) -> None:
        resources = render("trying", laid(stack_of({}), said))
        pod = one("EnvoyProxy", "edge", resources)["provider"]["kubernetes"]["envoyDeployment"]["pod"]
        zones, nodes = pod["topologySpreadConstraints"]
        assert (zones["topologyKey"], zones["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
        assert (nodes["topologyKey"], nodes["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
        assert zones["labelSelector"]["matchLabels"]["gateway.envoyproxy.io/owning-gateway-namespace"] == "lamp-trying"
        assert pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"] == 100

    def test_two_proxies_that_may_never_share_a_node_are_told_to(self) -> None:
        resources = render("trying", stack_of({"placement": {"spread": "nodes"}}))
        pod = one("EnvoyProxy", "edge", resources)["provider"]["kubernetes"]["envoyDeployment"]["pod"]
        assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    def test_cloudflares_addresses_are_let_in_by_one_word(self) -> None:
        only, all_of = (
            one("EnvoyProxy", "edge", render("trying", said(edge)))["provider"]["kubernetes"]["envoyService"]
            for edge in ({"allow_from": ["cloudflare", "198.51.100.7"]}, {})
        )
        fours = [one for one in proxies.cloudflare() if ":" not in one]
        assert only["loadBalancerSourceRanges"] == [*fours, "198.51.100.7/32"] and len(fours) > 10
        assert "loadBalancerSourceRanges" not in all_of

    def test_who_proves_to_an_issuer_that_a_host_is_ours_is_reached_by_this_gateway_alone(self) -> None:
        issuer = {"by": "issuer", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}
        policy = one("NetworkPolicy", "edge-challenges", render("trying", said({"certificate": issuer})))
        assert policy["podSelector"]["matchLabels"] == {"acme.cert-manager.io/http01-solver": "true"}
        [rule] = policy["ingress"]
        assert rule["ports"] == [{"port": 8089, "protocol": "TCP"}]
        assert rule["from"] == one("NetworkPolicy", "app-web-edge")["ingress"][0]["from"]
        assert not [each for each in made() if each.kube_name == "edge-challenges"]

    def test_port_80_leads_to_443_and_to_nothing_else(self) -> None:
        redirect = one("HTTPRoute", "edge-redirect")
        assert [parent["sectionName"] for parent in redirect["parentRefs"]] == ["http"]
        [rule] = redirect["rules"]
        assert "backendRefs" not in rule and rule["filters"][0]["requestRedirect"]["scheme"] == "https"
        for name in ("web", "admin"):
            assert [parent["sectionName"] for parent in one("HTTPRoute", name)["parentRefs"]] == ["https"]

    def test_port_80_names_its_hosts_so_that_a_challenge_takes_none_of_them_away(self) -> None:
        hosts = [f"a{number}.example" for number in range(16)]
        many = render(
            "trying",
            said(
                {"routes": {"web": {"hosts": hosts}, "admin": {"hosts": ["admin.example"]}}},
                web={"admin": {"command": ["bin/admin"], "port": 4000}},
                postgres={"max_connections": 300},
            ),
        )
        named = [one("HTTPRoute", name, many)["hostnames"] for name in ("edge-redirect", "edge-redirect-2")]
        assert named == [hosts, ["admin.example"]]

    def test_an_answer_may_take_longer_than_the_balancer_stays_idle(self) -> None:
        route = one("HTTPRoute", "web", render("trying", said({"limits": {"answer_within": "30m"}})))
        assert route["rules"][0]["timeouts"] == {"request": "1800s"}

    def test_each_process_is_reached_by_its_own_names_and_paths(self) -> None:
        web, admin = one("HTTPRoute", "web"), one("HTTPRoute", "admin")
        assert (web["hostnames"], admin["hostnames"]) == (["edge.example"], ["admin.edge.example"])
        assert [match["path"]["value"] for match in web["rules"][0]["matches"]] == ["/", "/api"]
        assert web["rules"][0]["backendRefs"] == [{"name": "web", "port": 80}]

    def test_forwarded_addresses_are_believed_of_proxies_alone_by_the_gateway_and_by_rails(self) -> None:
        client = one("ClientTrafficPolicy", "edge")
        trusted = client["clientIPDetection"]["xForwardedFor"]["trustedCIDRs"]
        assert trusted == list(proxies.cloudflare())
        assert {"Client-IP", "X-Forwarded-Host", "X-Sendfile-Type"} <= set(client["headers"]["earlyRequestHeaders"]["remove"])
        [web] = [each for each in made() if each.kind == "Deployment" and each.kube_name == "web"]
        env = {each["name"]: each.get("value") for each in web.inputs["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert env["TRUSTED_PROXIES"] == ",".join(trusted)

    def test_the_app_is_told_one_address_and_that_tls_was_ended(self) -> None:
        [told] = one("HTTPRoute", "web")["rules"][0]["filters"]
        said = {each["name"]: each["value"] for each in told["requestHeaderModifier"]["set"]}
        assert said == {"X-Forwarded-Proto": "https", "X-Forwarded-For": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}

    def test_every_hop_that_serves_keeps_a_connection_longer_than_the_one_that_asks(self) -> None:
        asks = one("BackendTrafficPolicy", "edge")["timeout"]["http"]["connectionIdleTimeout"]
        [web] = [each for each in made() if each.kind == "Deployment" and each.kube_name == "web"]
        env = {each["name"]: each.get("value") for each in web.inputs["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert int(env["PUMA_PERSISTENT_TIMEOUT"]) > int(asks.removesuffix("s"))
        kept = Edge().keep_alive
        gateway, balancer = (int(each.removesuffix("s")) for each in (kept.gateway, kept.balancer))
        assert one("ClientTrafficPolicy", "edge")["timeout"]["http"]["idleTimeout"] == kept.gateway
        assert gateway > balancer > 900

    def test_a_proxy_that_is_told_to_go_takes_connections_until_balancers_have_noticed_and_ends_with_the_last_answer(self) -> None:
        shutdown = one("EnvoyProxy", "edge")["shutdown"]
        assert shutdown == {"minDrainDuration": "30s", "drainTimeout": "120s"}

    def test_lengths_of_time_are_said_as_the_gateway_takes_them_and_tls_is_waited_for_no_longer_than_a_request(self) -> None:
        resources = render("trying", said({"keep_alive": {"gateway": "1d"}, "limits": {"headers_within": "1m", "answer_within": "2m"}}))
        timeout = one("ClientTrafficPolicy", "edge", resources)["timeout"]
        assert timeout["http"] == {"idleTimeout": "86400s", "requestHeadersReceivedTimeout": "60s", "requestReceivedTimeout": "60s"}
        assert timeout["tcp"] == {"connectionInspectionTimeout": "60s", "tlsHandshakeTimeout": "60s"}
        assert one("HTTPRoute", "web", resources)["rules"][0]["timeouts"] == {"request": "120s"}

    def test_requests_are_taken_in_whole_except_where_they_are_streamed(self) -> None:
        whole, streamed = one("BackendTrafficPolicy", "edge"), one("BackendTrafficPolicy", "edge-streams")
        assert whole["requestBuffer"] == {"limit": str(20 * 2**20)} and "requestBuffer" not in streamed
        assert [ref["name"] for ref in whole["targetRefs"]] == ["web"]
        assert [ref["name"] for ref in streamed["targetRefs"]] == ["admin"]

    def test_what_the_app_may_have_seen_is_never_asked_again(self) -> None:
        triggers = one("BackendTrafficPolicy", "edge")["retry"]["retryOn"]["triggers"]
        assert set(triggers) == {"connect-failure", "refused-stream", "reset-before-request"}

    def test_its_proxies_alone_reach_the_web_and_only_those_of_this_stack(self) -> None:
        rules = one("NetworkPolicy", "app-web-edge")["ingress"]
        [peer] = rules[0]["from"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "switchyard-gateway"}
        assert peer["podSelector"]["matchLabels"] == {
            "gateway.envoyproxy.io/owning-gateway-namespace": "lamp-trying",
            "gateway.envoyproxy.io/owning-gateway-name": "edge",
        }

    def test_a_web_process_that_nothing_leads_to_is_closed(self) -> None:
        settings = said({"routes": {"web": {}}}, web={"inner": {"command": ["bin/inner"]}}, postgres={"max_connections": 300})
        names = [each.kube_name for each in render("trying", settings) if each.kind == "NetworkPolicy"]
        assert "app-web-edge" in names and "app-inner-edge" not in names


class TestWatched:
    WATCHED: ClassVar[dict[str, Any]] = {"metrics": {"where": "cluster"}}

    @staticmethod
    def files(**edge: Any) -> dict[str, str]:
        resources = render("trying", said(edge, **TestWatched.WATCHED))
        [data] = [each.inputs["data"] for each in resources if each.kind == "ConfigMap" and "expectations.yml" in each.inputs["data"]]
        return data

    def test_the_clusters_controller_is_asked_whether_it_is_there_and_nothing_else_is_kept(self) -> None:
        files = self.files()
        [job] = [each for each in yaml.safe_load(files["prometheus.yml"])["scrape_configs"] if each["job_name"].startswith("gateway/")]
        [place] = job["dns_sd_configs"]
        assert (place["names"], place["port"]) == (["envoy-gateway.switchyard-gateway.svc"], 19001)
        assert [(each["action"], each["regex"]) for each in job["metric_relabel_configs"]] == [("keep", "process_start_time_seconds")]
        assert "switchyard:gateway" in files["expectations.yml"] and "alerts-gateway.yml" in files

    def test_of_a_controller_that_is_somebody_elses_nothing_is_known(self) -> None:
        files = self.files(class_name="others")
        assert "switchyard:gateway" not in files["expectations.yml"] and "alerts-gateway.yml" not in files
        assert "component: edge" in files["expectations.yml"], "its certificate is looked at all the same"


class TestMaintenance:
    def test_it_answers_with_a_page_and_touches_no_workload(self) -> None:
        on, off = (render("trying", said({"maintenance": state})) for state in (True, False))
        assert one("HTTPRoute", "web", on)["rules"][0]["filters"][0]["extensionRef"]["name"] == "maintenance"
        assert "backendRefs" not in one("HTTPRoute", "web", on)["rules"][0]
        changed = {each.kind for each in on if each not in off}
        assert changed == {"HTTPRoute"}

    def test_grafana_is_not_the_app_and_stays_there_for_those_who_mend_it(self) -> None:
        grafana = {"where": "cluster", "edge": True, "root_url": "https://figures.example/"}
        settings = said({"maintenance": True}, grafana=grafana, metrics={"where": "cluster"})
        resources = render("trying", settings)
        assert one("HTTPRoute", "grafana", resources)["rules"][0]["backendRefs"] == [{"name": "grafana", "port": 3000}]
        assert "backendRefs" not in one("HTTPRoute", "web", resources)["rules"][0]

    def test_the_page_is_a_503_that_nobody_keeps(self) -> None:
        answer = one("HTTPRouteFilter", "maintenance")["directResponse"]
        assert answer["statusCode"] == 503
        assert answer["body"]["inline"] == PAGE.read_text().replace("%", "%%")
        assert {"name": "Cache-Control", "value": "no-store"} in answer["header"]["set"]

    def test_the_switch_is_written_into_the_stacks_file_and_keeps_what_else_is_there(self) -> None:
        before = "config:\n  switchyard:edge:\n    replicas: 3  # two were few\n  switchyard:tier: staging\n"
        on = with_value(before, ["config", "switchyard:edge", "maintenance"], True)
        assert on == before.replace("few\n", "few\n    maintenance: true\n")
        assert with_value(on, ["config", "switchyard:edge", "maintenance"], False) == on.replace("true", "false")

    def test_the_switch_changes_the_routes_and_not_the_redirect(self) -> None:
        kind = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
        state = [{"type": kind, "urn": f"urn::{name}"} for name in ("edge-web", "edge-redirect")]
        assert urns([*state, {"type": "kubernetes:apps/v1:Deployment", "urn": "urn::app-web"}]) == ["urn::edge-web"]

    def test_a_stack_without_a_gateway_has_no_page_to_show(self) -> None:
        stack = Stack("trying", ROOT / "Pulumi.sandbox.yaml", resolve("trying", said({"where": "none"})), (), False)
        with pytest.raises(UserError, match="has no Gateway of its own"):
            refuse_without_gateway(stack)


def test_up_tells_the_dns_records_by_their_types() -> None:
    records = {"a.example": "203.0.113.7", "b.example": "lb.cloud.example", "c.example": "2001:db8::1", "d.example": ""}
    assert dns_records({"dns": records}) == [
        ("a.example", "A", "203.0.113.7"),
        ("b.example", "CNAME", "lb.cloud.example"),
        ("c.example", "AAAA", "2001:db8::1"),
        ("d.example", "A", "no address yet: run the same command again"),
    ]


def test_a_class_that_the_cluster_does_not_have_is_refused_with_those_that_it_has() -> None:
    there = {"switchyard": CONTROLLER_NAME}
    assert missing("gateway", "switchyard", there, "company") == []
    [sentence] = missing("gateway", "switchyrad", there, "company")
    assert "edge.class_name: 'switchyrad': cluster company has no GatewayClass of that name (it has switchyard)" in sentence
    assert "./sy cluster up" in sentence and "install its controller" in missing("ingress", "nginx", {}, "company")[0]
    assert missing("ingress", "nginx", {"nginx": "k8s.io/ingress-nginx"}, "company") == []


def test_a_class_of_a_controller_that_would_pass_over_limits_and_addresses_is_refused() -> None:
    there = {"istio": "istio.io/gateway-controller", "edge": "gateway.envoyproxy.io/other"}
    [sentence] = missing("gateway", "istio", there, "company")
    assert sentence.startswith("edge.class_name: 'istio': is served by istio.io/gateway-controller")
    assert sentence.endswith("expected a class of Envoy Gateway's: name edge")
    assert missing("gateway", "edge", there, "company") == []


class TestIngress:
    def test_it_has_the_same_hosts_and_the_issuers_secret(self) -> None:
        issuer = {"by": "issuer", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}
        ingress = {"where": "ingress", "class_name": "nginx", "namespaces": ["ingress"], "certificate": issuer}
        resources = render("trying", said(ingress))
        made = one("Ingress", "edge", resources)
        assert made["ingressClassName"] == "nginx" and made["tls"] == [{"hosts": ["edge.example"], "secretName": "edge-tls"}]
        [rule] = made["rules"]
        assert rule["host"] == "edge.example" and rule["http"]["paths"][0]["backend"]["service"] == {"name": "web", "port": {"number": 80}}
        assert not [each for each in resources if "gateway" in each.type]


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "the whole Internet trusted",
        {"trusted_proxies": ["0.0.0.0/0"]},
        {},
        "edge.trusted_proxies.0: '0.0.0.0/0': trusts the whole Internet",
    ),
    ("half of it", {"trusted_proxies": ["::/1"]}, {}, "edge.trusted_proxies.0: '::/1': trusts a large part of the Internet"),
    ("no range", {"trusted_proxies": ["10.0.0.1/8"]}, {}, "did you mean 10.0.0.0/8?, or the word cloudflare"),
    ("half and half", {"trusted_proxies": ["0.0.0.0/8", "1.0.0.0/8"]}, {}, "edge.trusted_proxies: these ranges together are 0.0.0.0/7"),
    ("all of IPv4 as IPv6 writes it", {"trusted_proxies": ["::ffff:0:0/96"]}, {}, "edge.trusted_proxies.0: '::ffff:0:0/96': has addresses"),
    ("all of IPv4 inside", {"trusted_proxies": ["::/16"]}, {}, "edge.trusted_proxies.0: '::/16': has addresses of IPv4"),
    ("an address of one interface", {"trusted_proxies": ["fe80::1%eth0"]}, {}, "did you mean fe80::1/128?"),
    ("a word in capitals", {"trusted_proxies": ["Cloudflare"]}, {}, 'did you mean "cloudflare"?'),
    ("nobody let in", {"allow_from": []}, {}, "edge.allow_from: "),
    (
        "a balancer that hangs up on Cloudflare",
        {"keep_alive": {"balancer": "350s"}},
        {},
        "edge.keep_alive.balancer: '350s': Cloudflare",
    ),
    (
        "a gateway that hangs up on the balancer",
        {"keep_alive": {"gateway": "920s"}},
        {},
        "edge.keep_alive.gateway: '920s': the load",
    ),
    ("a Puma that hangs up on the gateway", {}, {"web": {"web": {"keep_alive": "60s"}}}, "web.web.keep_alive: '60s': the gateway takes up"),
    ("a route to nowhere", {"routes": {"wbe": {}}}, {}, "edge.routes.wbe: there is no web.wbe; under web there is web"),
    (
        "two routes for one path",
        {"routes": {"web": {"paths": ["/", "/"]}}},
        {},
        "edge.routes.web.paths: edge.example/ leads to",
    ),
    (
        "two ways to write one path",
        {"routes": {"web": {"paths": ["/api", "/api/"]}}},
        {},
        "edge.routes.web.paths: edge.example/api/ leads to web.web already",
    ),
    *(
        (f"a path that no request has: {path}", {"routes": {"web": {"paths": [path]}}}, {}, f"edge.routes.web.paths.0: {path!r}: expected")
        for path in ("/a b", "//", "/a/../b", "/.", "/ü", "/a?b", "/a#b", "/a%2Fb", "/a%2", "/api/*", "api")
    ),
    (
        "more hosts than a route may have",
        {"routes": {"web": {"hosts": [f"{number}.example" for number in range(17)]}}},
        {},
        "edge.routes.web.hosts: expected a list of at most 16 items, not 17",
    ),
    (
        "a star for a host",
        {"routes": {"web": {"hosts": ["*.edge.example"]}}},
        {},
        "edge.routes.web.hosts.0: '*.edge.example': expected a host name",
    ),
    ("a host in another script", {"routes": {"web": {"hosts": ["édge.example"]}}}, {}, "did you mean xn--dge-9la.example?"),
    (
        "a name that devices dial too",
        {},
        {"mqtt": {"host_names": ["edge.example"]}},
        "mqtt.host_names: 'edge.example': devices dial the broker's load balancer by this name",
    ),
    (
        "a host that devices dial too",
        {"routes": {"web": {"hosts": ["mqtt.edge.example"]}}},
        {},
        "edge.routes: 'mqtt.edge.example': devices dial the broker's load balancer by this name",
    ),
    (
        "a Grafana where the app is",
        {},
        {"grafana": {"where": "cluster", "edge": True, "root_url": "https://edge.example/"}, "metrics": {"where": "cluster"}},
        "grafana.root_url: 'edge.example': people reach the app by this host",
    ),
    (
        "an issuer without a host",
        {"certificate": {"by": "issuer", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}},
        {"domain": None},
        "edge.certificate.by: 'issuer': an issuer makes certificates for host names alone",
    ),
    ("a certificate that is not there", {"certificate": {"by": "given", "key": "K"}}, {}, "edge.certificate.pem: is missing"),
    ("a certificate for nobody", {"certificate": {"by": "issuer"}}, {}, "edge.certificate.annotations: nobody is asked"),
    ("a certificate that nobody looks at", {"certificate": {"key": "K"}}, {}, "edge.certificate.by: 'authority' by default: would never"),
    ("a day and more", {"keep_alive": {"gateway": "2d"}}, {}, "edge.keep_alive.gateway: '2d': expected at most 86400s"),
    ("a proxy too small for its requests", {"resources": {"memory": "149Mi"}}, {}, "edge.resources.memory: '149Mi': 4 requests of"),
    ("requests too large for a proxy", {"limits": {"body": "100Mi"}}, {}, "edge.resources.memory: '256Mi' by default: 4 requests of"),
    (
        "an Ingress of no class",
        {"where": "ingress", "namespaces": ["x"]},
        {},
        "edge.class_name: 'switchyard' by default: is the",
    ),
    ("an Ingress whose controller is shut out", {"where": "ingress", "class_name": "nginx"}, {}, "edge.namespaces: the Ingress controller"),
    (
        "an Ingress in maintenance",
        {"where": "ingress", "class_name": "nginx", "namespaces": ["x"], "maintenance": True},
        {},
        "edge.maintenance: True: an Ingress has no answer of its own",
    ),
    (
        "an Ingress that would let in everybody",
        {"where": "ingress", "class_name": "nginx", "namespaces": ["x"], "allow_from": ["198.51.100.0/24"]},
        {},
        "edge.allow_from: is the load balancer's of a Gateway",
    ),
    (
        "an Ingress at an address",
        {"where": "ingress", "class_name": "nginx", "namespaces": ["x"], "address": "203.0.113.7"},
        {},
        "edge.address: '203.0.113.7': is the load balancer's of a Gateway",
    ),
    ("a class that no object is called", {"class_name": "My Class"}, {}, "edge.class_name: 'My Class': expected a name such as nginx"),
    ("a namespace that can be none", {"namespaces": ["My Own"]}, {}, "edge.namespaces.0: 'My Own': expected a namespace's name"),
    ("an annotation that can be none", {"annotations": {"not a key": "x"}}, {}, "edge.annotations.not a key: expected a key"),
    (
        "a label that can be none",
        {"placement": {"node_selector": {"pool": "a b"}}},
        {},
        "edge.placement.node_selector.pool: 'a b': expected",
    ),
    ("a taint that can be none", {"placement": {"tolerations": [{"key": "a b"}]}}, {}, "edge.placement.tolerations.0.key: expected a key"),
    ("no web at all", {}, {"web": {"web": None}}, "edge.where: 'gateway': there is no process under web"),
    (
        "a balancer that forgets lamps",
        {},
        {"mqtt": {"balancer_idle": "60s"}},
        "mqtt.balancer_idle: '60s': devices send something every 60s (mqtt.keep_alive), the broker waits for 90 s",
    ),
    ("an address that is none", {"address": "1.2.3"}, {}, "edge.address: '1.2.3': expected an address such as 203.0.113.7"),
    ("a page that is not there", {"maintenance_page": "pages/none.html"}, {}, "edge.maintenance_page: 'pages/none.html': can not be read"),
    (
        "what the edge says itself",
        {},
        {"app": {"config": {"TRUSTED_PROXIES": "x"}}},
        "app.config.TRUSTED_PROXIES: say edge",
    ),
]


@pytest.mark.parametrize(("edge", "others", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_it_is_refused_before_anything_changes(edge: dict[str, Any], others: dict[str, Any], sentence: str) -> None:
    assert any(sentence in found for found in refusals(edge, **others)), refusals(edge, **others)


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
DAY = timedelta(days=1)


@dataclass
class Signed:
    """A certificate and its key, as PEM; `signer` makes another one signed by it."""

    pem: str
    key: str
    own: Key
    name: str

    @classmethod
    def of(
        cls,
        names: list[str],
        begins: datetime = NOW - DAY,
        ends: datetime = NOW + DAY,
        *,
        key: Key | None = None,
        name: str = "test",
        by: "Signed | None" = None,
    ) -> "Signed":
        own = key or ec.generate_private_key(ec.SECP256R1())
        called, signer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, by.name if by else name))
        builder = x509.CertificateBuilder().subject_name(called).issuer_name(signer).public_key(own.public_key()).serial_number(1)
        builder = builder.not_valid_before(begins).not_valid_after(ends)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        signing = by.own if by else own
        made = builder.sign(signing, None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        plain = serialization.NoEncryption()
        pem = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
        return cls(made.public_bytes(serialization.Encoding.PEM).decode(), pem, own, name)


class TestCertificate:
    @staticmethod
    def pem(names: list[str], begins: datetime, ends: datetime) -> tuple[str, str]:
        made = Signed.of(names, begins, ends)
        return made.pem, made.key

    def test_those_after_it_must_be_its_signers_one_after_the_other_and_in_time(self) -> None:
        authority = Signed.of([], name="authority")
        between = Signed.of([], name="between", by=authority)
        own = Signed.of(["edge.example"], name="own", by=between)
        names = ["edge.example"]
        assert wrong(own.pem + between.pem, names, NOW) is None
        assert wrong(own.pem + between.pem + authority.pem, names, NOW) is None
        assert "must begin with the stack's own" in str(wrong(between.pem + own.pem, names, NOW))
        assert "certificate 2 of 3, CN=authority, is not that of" in str(wrong(own.pem + authority.pem + between.pem, names, NOW))
        late = Signed.of([], NOW - 3 * DAY, NOW - 2 * DAY, name="between", by=authority)
        assert "certificate 2 of 2, CN=between, ended on 2026-11-21" in str(wrong(own.pem + late.pem, names, NOW))

    @pytest.mark.parametrize(
        ("key", "sentence"),
        [
            (ec.generate_private_key(ec.SECP384R1()), None),
            (rsa.generate_private_key(65537, 2048), None),
            (rsa.generate_private_key(65537, 1024), "has an RSA key of 1024 bits"),
            (ec.generate_private_key(ec.SECP256K1()), "has a key that browsers do not know"),
            (ed25519.Ed25519PrivateKey.generate(), "has a key that browsers do not know"),
        ],
        ids=["P-384", "RSA", "a short RSA key", "another curve", "Ed25519"],
    )
    def test_its_key_must_be_one_that_the_gateway_takes(self, key: Key, sentence: str | None) -> None:
        found = wrong(Signed.of(["edge.example"], key=key).pem, ["edge.example"], NOW)
        assert found is None if sentence is None else sentence in str(found)

    def test_a_key_beside_it_is_refused_and_not_shown(self) -> None:
        made = Signed.of(["edge.example"])
        [found] = refusals({"certificate": {"by": "given", "pem": made.pem + made.key, "key": "EDGE_TLS_KEY"}})
        assert found.startswith("edge.certificate.pem: has a private key in it") and "PRIVATE KEY-----" not in found

    def test_a_key_with_a_passphrase_or_behind_something_else_is_refused(self) -> None:
        made = Signed.of(["edge.example"])
        said = Certificate(by="given", pem=made.pem, key="EDGE_TLS_KEY")
        encrypted = serialization.BestAvailableEncryption(b"secret")
        for kind in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            locked = made.own.private_bytes(serialization.Encoding.PEM, kind, encrypted).decode()
            assert "without a passphrase" in str(key_wrong(said, locked))
        plain = made.own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        assert key_wrong(said, plain) is None
        parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        assert "begins with EC PARAMETERS" in str(key_wrong(said, parameters + plain))

    def test_one_that_ended_or_has_not_begun_or_is_for_another_name_is_refused(self) -> None:
        day = timedelta(days=1)
        good, _ = self.pem(["edge.example", "*.edge.example"], NOW - day, NOW + day)
        assert wrong(good, ["edge.example", "admin.edge.example"], NOW) is None
        assert "ended on 2026-11-24" in str(wrong(good, ["edge.example"], NOW + 3 * day))
        assert "begins on 2026-11-22" in str(wrong(good, ["edge.example"], NOW - 3 * day))
        assert wrong(good, ["a.b.edge.example"], NOW) == "is not for a.b.edge.example: it names edge.example, *.edge.example"

    def test_a_key_must_be_its_own_and_is_never_shown(self) -> None:
        pem, key = self.pem(["edge.example"], NOW, NOW + timedelta(days=1))
        _, other = self.pem(["edge.example"], NOW, NOW + timedelta(days=1))
        said = Certificate(by="given", pem=pem, key="EDGE_TLS_KEY")
        assert key_wrong(said, key) is None
        assert key_wrong(said, other) == "is the key of another certificate than edge.certificate.pem"
        assert "hunter2" not in str(key_wrong(said, "hunter2"))

    def test_production_does_not_show_what_no_browser_knows(self) -> None:
        settings = resolve("trying", said({}) | {"tier": "production"})
        lacks = settings.lacks(settings.cures("trying"), [])
        assert any(sentence.startswith("edge.certificate is signed by the stack's own authority") for sentence in lacks)

    def test_a_given_one_asks_for_its_key(self) -> None:
        pem, _ = self.pem(["edge.example"], datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1))
        settings = resolve("trying", said({"certificate": {"by": "given", "pem": pem, "key": "EDGE_TLS_KEY"}}))
        assert "EDGE_TLS_KEY" in settings.secret_names()


class TestProxies:
    def test_the_list_is_cloudflares_and_has_a_date(self) -> None:
        assert len(proxies.cloudflare()) == 22
        assert all(ip_network(one).prefixlen >= proxies.WIDEST[ip_network(one).version] for one in proxies.cloudflare())
        assert proxies.looked_at() <= date.today()

    def test_an_old_list_is_told_and_only_to_those_who_trust_it(self) -> None:
        later = proxies.looked_at() + timedelta(days=200)
        assert "was last compared with Cloudflare's own list 200 days ago" in str(proxies.outdated(["cloudflare"], later))
        assert proxies.outdated(["cloudflare"], proxies.looked_at() + timedelta(days=100)) is None
        assert proxies.outdated(["10.0.0.0/8"], later) is None

    def test_a_date_that_is_missing_is_told(self) -> None:
        with pytest.raises(ValueError, match="expected a line"):
            proxies.looked_at("10.0.0.0/8\n")


def test_two_stacks_can_not_claim_one_host_of_grafana(tmp_path: Path) -> None:
    grafana = {"where": "cluster", "edge": True, "root_url": "https://graphs.example/"}
    stacks = {"one": stack("one", {"grafana": grafana, "metrics": {"where": "cluster"}}), "two": stack("two", {"domain": "graphs.example"})}
    root = house(tmp_path, stacks)
    for name, sentence in (
        ("one", "grafana.root_url: 'graphs.example': is also said in Pulumi.two.yaml"),
        ("two", "domain: 'graphs.example': is also said in Pulumi.one.yaml"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            resolve(name, stacks[name], root=root)


def test_two_stacks_can_not_claim_one_host_of_a_route() -> None:
    assert (ROOT / "Pulumi.production.yaml").is_file()
    assert any("is also said in Pulumi.production.yaml" in found for found in refusals({"routes": {"web": {"hosts": ["lamps.example"]}}}))

"""What a stack says about the cluster it stands on reaches every object that it concerns."""

import base64
import json
from typing import Any

import pytest

from settings import SettingsError, resolve
from tests.unit.rendering import render
from tests.unit.stacks import UNWATCHED
from tests.unit.test_contract import NAMED, SECRETS, STACKS, Rendered, rendered, templates

BASE = {"tier": "staging", "cluster": NAMED, **UNWATCHED}

LOST = [
    {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
    for condition in ("not-ready", "unreachable")
]
SAID = [
    {"key": "dedicated", "operator": "Equal", "value": "apps", "effect": "NoSchedule"},
    {"key": "spot", "operator": "Exists"},
]


def real() -> Rendered:
    return rendered("real-cluster")


class TestPlacement:
    def test_every_pod_goes_where_the_stack_says_also_the_migration_and_what_runs_at_set_times(self) -> None:
        pods = [pod for pod in templates(real()) if pod.component != "postgres"]
        assert {pod.owner.kind for pod in pods} == {"Deployment", "StatefulSet", "Job", "CronJob"}
        for pod in pods:
            assert pod.spec["nodeSelector"] == {"pool": "apps"}, pod.component
            assert pod.spec["tolerations"] == [*LOST, *SAID], pod.component

    def test_a_component_that_says_where_it_goes_takes_nothing_of_the_stacks(self) -> None:
        [postgres] = [pod for pod in templates(real()) if pod.component == "postgres"]
        assert postgres.spec["nodeSelector"] == {"pool": "data"}
        assert postgres.spec["tolerations"] == LOST

    def test_a_stack_that_says_nothing_goes_anywhere(self) -> None:
        for pod in templates(rendered("production")):
            assert "nodeSelector" not in pod.spec, pod.component
            assert pod.spec["tolerations"] == LOST, pod.component


WATCHING = {"prometheus": "ssd", "alertmanager": "ssd"}


class TestVolumes:
    def test_every_claim_is_of_the_stacks_class_and_of_its_own_where_it_names_one(self) -> None:
        assert classes(real()) == {"postgres": "fast", "mqtt": "ssd", "redis-jobs": "ssd", "elasticsearch": "ssd", "loki": "ssd"} | WATCHING

    def test_without_a_class_the_clusters_default_is_taken(self) -> None:
        assert set(classes(rendered("production")).values()) == {None}


class TestAddressesOfTheCluster:
    def test_patroni_reaches_the_api_server_at_its_address_and_port_and_nowhere_else(self) -> None:
        [postgres] = [pod for pod in templates(real()) if pod.component == "postgres"]
        reached = {
            (address, port)
            for address in ("198.51.100.10", "198.51.100.11")
            for port in (443, 6443, 8443)
            if real().network.lets_out(postgres.labels, address, port)
        }
        assert reached == {("198.51.100.10", 8443)}

    def test_names_are_asked_of_the_pods_that_the_stack_names(self) -> None:
        [policy] = [one for one in real().of("NetworkPolicy") if one.kube_name == "dns"]
        servers = policy.inputs["spec"]["egress"][0]["to"][0]
        assert servers["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "dns"}
        assert servers["podSelector"]["matchLabels"] == {"app": "coredns"}


def classes(stack: Rendered) -> dict[str, Any]:
    return {
        pod.component: claim["spec"].get("storageClassName")
        for pod in templates(stack)
        for claim in pod.owner.inputs["spec"].get("volumeClaimTemplates", [])
    }


class TestDomain:
    def test_devices_dial_a_name_under_the_domain_unless_others_are_said(self) -> None:
        assert dialled({"domain": "lamps.example.com"})[0] == "mqtt.lamps.example.com"
        assert dialled({"domain": "lamps.example.com", "mqtt": {"host_names": ["broker.example.net"]}})[0] == "broker.example.net"
        assert dialled({})[0] == "mqtt.lamp-named.svc"

    def test_the_name_is_not_in_the_certificate_when_others_are_said(self) -> None:
        said = {"domain": "lamps.example.com", "mqtt": {"host_names": ["broker.example.net"]}}
        assert "mqtt.lamps.example.com" not in dialled(said)


def dialled(said: dict[str, Any]) -> list[str]:
    """The names that the broker's certificate is valid for."""
    [request] = [one for one in render("named", {**BASE, **said}) if one.name == "mqtt-tls-request"]
    return request.inputs["dnsNames"]


class TestTheAppsIdentity:
    def test_every_pod_of_the_app_runs_as_an_account_of_its_own_without_rights_in_the_cluster(self) -> None:
        pods = [pod for pod in templates(rendered("production")) if "switchyard.dev/app" in pod.labels]
        assert pods
        assert {pod.spec["serviceAccountName"] for pod in pods} == {"app"}
        bound = [subject["name"] for one in rendered("production").of("RoleBinding") for subject in one.inputs["subjects"]]
        assert "app" not in bound

    def test_its_annotations_are_those_that_the_stack_says(self) -> None:
        [account] = [one for one in real().of("ServiceAccount") if one.kube_name == "app"]
        assert account.inputs["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/lamp"}
        assert account.inputs["automountServiceAccountToken"] is False

    def test_pods_are_made_anew_for_another_identity_which_they_get_when_they_are_made(self) -> None:
        one, other = ({"app": {"service_account_annotations": {"iam.gke.io/gcp-service-account": name}}} for name in ("a@x", "b@x"))
        assert annotations(one)["web"] != annotations(other)["web"]
        assert annotations(one)["postgres"] == annotations(other)["postgres"]
        assert annotations({})["web"] == {}

    def test_no_pod_starts_before_the_account_is_there(self) -> None:
        [job] = real().of("Job")
        assert "app" in job.depends_on


class TestWhatTheAppReaches:
    def test_it_reaches_the_private_addresses_that_the_stack_names_on_the_apps_ports_alone(self) -> None:
        [web] = [pod for pod in templates(real()) if pod.component == "web"]
        reached = {
            (address, port)
            for address in ("10.9.0.7", "10.9.1.7", "198.51.100.7")
            for port in (443, 587, 22)
            if real().network.lets_out(web.labels, address, port)
        }
        assert reached == {("10.9.0.7", 443), ("10.9.0.7", 587), ("198.51.100.7", 443), ("198.51.100.7", 587)}

    def test_a_range_around_the_metadata_address_does_not_open_it(self) -> None:
        [web] = [pod for pod in templates(real()) if pod.component == "web"]
        assert real().network.lets_out(web.labels, "169.254.1.1", 443)
        assert not real().network.lets_out(web.labels, "169.254.169.254", 443)

    @pytest.mark.parametrize("said", ["169.254.169.254/32", "169.254.169.254"])
    def test_who_names_the_metadata_address_by_itself_gets_it(self, said: str) -> None:
        assert opened(said) == {"cidr": "169.254.169.254/32"}

    def test_the_metadata_address_of_the_other_protocol_is_left_out_as_well(self) -> None:
        assert opened("fd00::/8") == {"cidr": "fd00::/8", "except": ["fd00:ec2::254/128"]}
        assert opened("0.0.0.0/0") == {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}

    def test_it_does_not_reach_an_api_server_at_a_public_address_that_the_stack_names(self) -> None:
        pods = {pod.component: pod for pod in templates(real())}
        reached = {name for name, pod in pods.items() if real().network.lets_out(pod.labels, "198.51.100.10", 8443)}
        assert reached == {"postgres", "prometheus", "kube-state-metrics"}
        web = pods["web"].labels
        assert not real().network.lets_out(web, "198.51.100.10", 443)
        assert real().network.lets_out(web, "198.51.100.11", 443)

    def test_while_nobody_says_where_the_api_server_is_no_metadata_is_reached_and_the_app_keeps_its_services(self) -> None:
        stack = rendered("production")
        pods = {pod.component: pod.labels for pod in templates(stack)}
        assert not stack.network.lets_out(pods["postgres"], "169.254.169.254", 443)
        assert stack.network.lets_out(pods["web"], "198.51.100.11", 443)

    def test_without_ports_it_reaches_nobody_outside(self) -> None:
        made = render("named", BASE | {"app": {"egress_ports": []}})
        [policy] = [one for one in made if one.kind == "NetworkPolicy" and one.name == "app-saas"]
        assert policy.inputs["spec"] == {**policy.inputs["spec"], "policyTypes": ["Egress"], "egress": []}


NOBODY: tuple[dict[str, Any], ...] = (
    {"mqtt": {"allow_from": []}},
    {"cluster": {"identifier": "company", "api_server": []}},
    {"cluster": {"identifier": "company", "api_server_ports": []}},
    {"metrics": {"kubelet_ranges": []}},
    {"postgres": {"where": "external", "external": {"host": "db.example.com", "port": 5432, "ranges": []}}},
    {"elasticsearch": {"snapshots": {"repository": {"type": "s3", "s3": {"bucket": "abc", "endpoint": "s3.example.com", "ranges": []}}}}},
    {"logs": {"storage": "s3", "s3": {"bucket": "abc", "endpoint": "s3.example.com", "ranges": []}}},
)


@pytest.mark.parametrize("said", NOBODY, ids=lambda said: next(iter(said)))
def test_a_list_of_nobody_is_refused_which_kubernetes_would_take_for_everybody(said: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"(allow_from|ranges|api_server|api_server_ports): .*at least 1"):
        resolve("named", BASE | said)


class TestRegistryLogin:
    def test_every_pod_pulls_with_the_stacks_own_account_besides_the_secrets_it_names(self) -> None:
        for pod in templates(real()):
            assert pod.spec["imagePullSecrets"] == [{"name": "mirror"}, {"name": "registry-login"}], pod.component

    def test_the_secret_is_what_docker_login_would_have_written(self) -> None:
        [made] = [one for one in real().of("Secret") if one.kube_name == "registry-login"]
        assert made.inputs["type"] == "kubernetes.io/dockerconfigjson"
        assert made.secret_paths == ("stringData",)
        [(server, account)] = json.loads(made.inputs["stringData"][".dockerconfigjson"])["auths"].items()
        assert server == "ghcr.io"
        assert base64.b64decode(account["auth"]).decode() == f"robot:{SECRETS['REGISTRY_PASSWORD']}"

    def test_another_password_changes_that_secret_and_nothing_else(self) -> None:
        said = STACKS["real-cluster"]
        one, other = (
            {(r.type, r.name): r.inputs for r in render("real-cluster", said, {"REGISTRY_PASSWORD": word})} for word in ("a", "b")
        )
        assert one.keys() == other.keys()
        assert [name for (_, name), inputs in one.items() if other[_, name] != inputs] == ["registry-login"]

    def test_a_stack_that_says_none_makes_no_secret(self) -> None:
        assert "registry-login" not in {one.kube_name for one in rendered("production").of("Secret")}


def annotations(said: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The annotations of each component's pods."""
    stack = Rendered("named", resolve("named", BASE | said), render("named", BASE | said))
    found = {pod.component: pod.owner.inputs["spec"] for pod in templates(stack)}
    return {component: spec["template"]["metadata"].get("annotations", {}) for component, spec in found.items()}


def opened(said: str) -> dict[str, Any]:
    """The block of addresses that the app's policy has for this range."""
    made = render("named", BASE | {"app": {"egress_ranges": [said]}})
    [policy] = [one for one in made if one.kind == "NetworkPolicy" and one.name == "app-saas"]
    return policy.inputs["spec"]["egress"][0]["to"][1]["ipBlock"]

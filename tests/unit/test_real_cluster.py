"""What a stack says about the cluster it stands on reaches every object that it concerns."""

from typing import Any

from tests.unit.rendering import render
from tests.unit.test_contract import NAMED, Rendered, rendered, templates

BASE = {"tier": "staging", "cluster": NAMED}

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


class TestVolumes:
    def test_every_claim_is_of_the_stacks_class_and_of_its_own_where_it_names_one(self) -> None:
        assert classes(real()) == {"postgres": "fast", "mqtt": "ssd", "redis-jobs": "ssd"}

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

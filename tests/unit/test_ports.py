"""What counts as opening a port, and what does not."""

from typing import Any

import pytest

from reports.ports import opened


def policy(direction: str = "ingress", rules: Any = None, **more: Any) -> dict[str, Any]:
    return {"spec": {"podSelector": {}, "policyTypes": [direction.capitalize()], **({direction: rules} if rules else {}), **more}}


def rule(peers: Any = None, ports: Any = None) -> dict[str, Any]:
    return {**({"from": peers} if peers else {}), **({"ports": ports} if ports else {})}


def block(cidr: str, *kept_out: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(kept_out)} if kept_out else {})}}


def service(kind: str, *ports: int, **more: Any) -> dict[str, Any]:
    return {"spec": {"type": kind, "ports": [{"port": port} for port in ports], **more}}


def deployment(*ports: int, **more: Any) -> dict[str, Any]:
    containers = [{"name": "app", "ports": [{"containerPort": port} for port in ports]}]
    return {"spec": {"template": {"spec": {"containers": containers, **more}}}}


WEB = {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "web"}}}
HTTP = {"port": 80}

OPENS = {
    "a policy that lets web in": (policy(), policy(rules=[rule([WEB], [HTTP])]), "ingress from pods web on port 80"),
    "a new policy": (None, policy(rules=[rule([WEB], [HTTP])]), "ingress from pods web on port 80"),
    "another port": (
        policy(rules=[rule([WEB], [HTTP])]),
        policy(rules=[rule([WEB], [HTTP, {"port": 81}])]),
        "ingress from pods web on port 81",
    ),
    "every port": (policy(rules=[rule([WEB], [HTTP])]), policy(rules=[rule([WEB])]), "ingress from pods web on every port"),
    "another protocol": (
        policy(rules=[rule([WEB], [HTTP])]),
        policy(rules=[rule([WEB], [{"port": 80, "protocol": "UDP"}])]),
        "ingress from pods web on port 80/UDP",
    ),
    "everybody": (policy(rules=[rule([WEB], [HTTP])]), policy(rules=[rule(None, [HTTP])]), "ingress from everybody on port 80"),
    "a wider range of addresses": (policy(rules=[rule([block("10.1.0.0/16")])]), policy(rules=[rule([block("10.0.0.0/8")])]), "10.0.0.0/8"),
    "an exception that is gone": (
        policy(rules=[rule([block("10.0.0.0/8", "10.9.0.0/16")])]),
        policy(rules=[rule([block("10.0.0.0/8")])]),
        "10.0.0.0/8",
    ),
    "a wider range of ports": (
        policy(rules=[rule([WEB], [{"port": 80, "endPort": 85}])]),
        policy(rules=[rule([WEB], [{"port": 80, "endPort": 90}])]),
        "ports 80 to 90",
    ),
    "the same rule for other pods": (
        policy(rules=[rule([WEB])]),
        policy(rules=[rule([WEB])], podSelector={"matchLabels": {"a": "b"}}),
        "pods web",
    ),
    "the end of the refusal": (policy(), None, "ingress is no longer refused by default"),
    "a policy that refuses one direction fewer": (
        policy(policyTypes=["Ingress", "Egress"]),
        policy(),
        "egress is no longer refused by default",
    ),
    "to the outside": (
        None,
        {"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block("0.0.0.0/0")], "ports": [{"port": 443}]}]}},
        "egress to 0.0.0.0/0 on port 443",
    ),
}

OPENS_NOT = {
    "the same": (policy(rules=[rule([WEB], [HTTP])]), policy(rules=[rule([WEB], [HTTP])])),
    "one port fewer": (policy(rules=[rule([WEB], [HTTP, {"port": 81}])]), policy(rules=[rule([WEB], [HTTP])])),
    "one port of a range": (policy(rules=[rule([WEB], [{"port": 80, "endPort": 90}])]), policy(rules=[rule([WEB], [{"port": 85}])])),
    "some instead of everybody": (policy(rules=[rule(None, [HTTP])]), policy(rules=[rule([WEB], [HTTP])])),
    "a narrower range of addresses": (policy(rules=[rule([block("10.0.0.0/8")])]), policy(rules=[rule([block("10.1.0.0/16")])])),
    "a range that keeps the exception": (
        policy(rules=[rule([block("10.0.0.0/8", "10.9.0.0/16")])]),
        policy(rules=[rule([block("10.9.0.0/17", "10.9.0.0/16"), block("10.2.0.0/16")])]),
    ),
    "rules in another order": (
        policy(rules=[rule([WEB]), rule([block("10.0.0.0/8")])]),
        policy(rules=[rule([block("10.0.0.0/8")]), rule([WEB])]),
    ),
    "a rule that is gone": (policy(rules=[rule([WEB])]), None),
    "a policy that begins to refuse": (None, policy()),
}


@pytest.mark.parametrize(("before", "after", "phrase"), OPENS.values(), ids=OPENS.keys())
def test_a_policy_opens(before: Any, after: Any, phrase: str) -> None:
    said = opened("NetworkPolicy", before, after)
    assert len(said) == 1
    assert phrase in said[0]


@pytest.mark.parametrize(("before", "after"), OPENS_NOT.values(), ids=OPENS_NOT.keys())
def test_a_policy_opens_nothing(before: Any, after: Any) -> None:
    assert opened("NetworkPolicy", before, after) == []


def test_a_service_opens_a_port_when_it_is_reached_from_outside() -> None:
    inside, outside = service("ClusterIP", 80), service("LoadBalancer", 80)
    assert opened("Service", inside, outside) == ["LoadBalancer on port 80"]
    assert opened("Service", None, service("NodePort", 80, 81)) == ["NodePort on port 80", "NodePort on port 81"]
    assert opened("Service", outside, service("LoadBalancer", 80, 8883)) == ["LoadBalancer on port 8883"]
    assert opened("Service", None, service("ClusterIP", 80, externalIPs=["192.0.2.1"])) == ["ClusterIP on port 80"]
    assert opened("Service", inside, service("ClusterIP", 80, 81)) == []
    assert opened("Service", outside, inside) == []
    assert opened("Service", outside, None) == []


def test_a_load_balancer_opens_for_addresses_that_were_kept_out() -> None:
    narrow = service("LoadBalancer", 80, loadBalancerSourceRanges=["10.0.0.0/8"])
    wide = service("LoadBalancer", 80, loadBalancerSourceRanges=["10.0.0.0/8", "192.0.2.0/24"])
    assert opened("Service", narrow, wide) == ["LoadBalancer for 192.0.2.0/24"]
    assert opened("Service", narrow, service("LoadBalancer", 80)) == ["LoadBalancer for 0.0.0.0/0"]
    assert opened("Service", wide, narrow) == []


def test_a_pod_opens_new_container_ports_and_those_of_its_node() -> None:
    assert opened("Deployment", deployment(3000), deployment(3000, 9394)) == ["container port 9394"]
    assert opened("Deployment", None, deployment(3000)) == []
    assert opened("Deployment", deployment(3000), deployment()) == []
    assert opened("Deployment", None, deployment(hostNetwork=True)) == ["the node's own network"]


def test_what_leads_in_from_outside_counts_when_it_changes() -> None:
    before, after = {"spec": {"hostnames": ["a"]}}, {"spec": {"hostnames": ["a", "b"]}}
    assert opened("HTTPRoute", before, after) == ["publishes HTTPRoute"]
    assert opened("HTTPRoute", before, before) == []
    assert opened("HTTPRoute", before, None) == []

"""How NetworkPolicies are read: as Kubernetes reads them."""

from typing import Any

import pytest

from reports.connectivity import Network, Place, reaches

WEB, DB, OTHER = ({"app": name} for name in ("web", "db", "other"))


def policy(labels: dict[str, str], direction: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"podSelector": {"matchLabels": labels}, "policyTypes": [direction], direction.lower(): list(rules)}}


def pods(labels: dict[str, str]) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels}}


def network(*policies: dict[str, Any], name: str = "lamp") -> Network:
    return Network(name, policies)


def test_a_pod_that_no_policy_selects_talks_to_everybody() -> None:
    assert network().connects(WEB, DB, 5432)


def test_a_rule_is_for_its_ports_and_its_peers_and_one_without_either_is_for_all() -> None:
    rule = {"from": [pods(WEB)], "ports": [{"port": 5432}]}
    one = network(policy(DB, "Ingress", rule))
    assert one.connects(WEB, DB, 5432)
    assert not one.connects(WEB, DB, 5433)
    assert not one.connects(OTHER, DB, 5432)
    assert network(policy(DB, "Ingress", {})).connects(OTHER, DB, 1)
    assert not network(policy(DB, "Ingress", {"ports": [{"port": 53, "protocol": "UDP"}]})).connects(OTHER, DB, 53)
    ranged = network(policy(DB, "Ingress", {"ports": [{"port": 80, "endPort": 82}]}))
    assert [ranged.connects(OTHER, DB, port) for port in (79, 80, 82, 83)] == [False, True, True, False]


def test_both_ends_must_agree() -> None:
    door = policy(DB, "Ingress", {"from": [pods(WEB)]})
    assert not network(door, policy(WEB, "Egress")).connects(WEB, DB, 1)
    assert network(door, policy(WEB, "Egress", {"to": [pods(DB)]})).connects(WEB, DB, 1)


def test_a_pod_of_another_namespace_is_meant_only_by_a_namespace_selector() -> None:
    stranger = Place("10.1.1.1", WEB, "other")
    by_pod = network(policy(DB, "Ingress", {"from": [pods(WEB)]}))
    space = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}
    both, apart = (network(policy(DB, "Ingress", {"from": peers})) for peers in ([{**space, **pods(DB)}], [space, pods(DB)]))
    assert not by_pod.enters(stranger, DB, 1)
    assert not both.enters(stranger, DB, 1)
    assert apart.enters(stranger, DB, 1)


def test_a_namespace_may_be_meant_by_any_of_its_labels() -> None:
    served = network(policy(DB, "Ingress", {"from": [{"namespaceSelector": {"matchLabels": {"served": "yes"}}}]}))
    assert served.enters(Place("10.1.1.1", WEB, "other", {"served": "yes"}), DB, 1)
    assert not served.enters(Place("10.1.1.1", WEB, "other", {"served": "no"}), DB, 1)
    assert not served.enters(Place("10.1.1.1", WEB, "other"), DB, 1)


def test_a_range_of_addresses_covers_pods_as_well_but_for_what_it_leaves_out() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    one = network(policy(WEB, "Egress", {"to": [block]}))
    assert one.leaves(WEB, Place("198.51.100.1"), 443)
    assert not one.leaves(WEB, Place("10.1.1.1", DB, "lamp"), 443)
    assert network(policy(WEB, "Egress", {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})).leaves(WEB, Place("10.1.1.1", DB, "lamp"), 443)


def test_policies_of_the_targets_own_namespace_hold_as_well() -> None:
    ours = network(policy(WEB, "Egress", {"to": [{"namespaceSelector": {}}]}))
    theirs = network(policy(DB, "Ingress"), name="other")
    source, target = ours.pod(WEB), theirs.pod(DB)
    assert reaches([ours], source, target, 1)
    assert not reaches([ours, theirs], source, target, 1)


def test_a_selector_by_expressions_is_not_guessed_at() -> None:
    wanted = {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "policyTypes": ["Ingress"]}
    with pytest.raises(ValueError, match="expressions"):
        network({"spec": wanted}).connects(WEB, DB, 1)

"""Where pods go: what placements ask of nodes, which nodes satisfy them, and how pods of one kind are kept apart."""

from typing import Any

import pytest

import components.nodes
from components.ownership import OwnershipError
from settings import resolve
from settings.nodes import HOST, ZONE, asks_for_nodes, unsatisfied
from tests.unit.rendering import render
from tests.unit.stacks import UNWATCHED
from tests.unit.test_contract import NAMED, Rendered, rendered, templates

BASE: dict[str, Any] = {"tier": "staging", "cluster": NAMED, **UNWATCHED}
DATA = {"node_selector": {"pool": "data"}, "tolerations": [{"key": "dedicated", "value": "data"}]}
CURE = "label or add nodes, or say another placement"


def node(name: str, labels: dict[str, str] | None = None, *taints: str) -> dict[str, Any]:
    """A Node object; a taint is written key=value:effect."""
    made: list[dict[str, str]] = []
    for taint in taints:
        said, _, effect = taint.rpartition(":")
        key, _, value = said.partition("=")
        made.append({"key": key, "effect": effect, **({"value": value} if value else {})})
    return {"metadata": {"name": name, "labels": {HOST: name, **(labels or {})}}, "spec": {"taints": made} if made else {}}


def refused(said: dict[str, Any], *nodes: dict[str, Any]) -> list[str]:
    return unsatisfied(resolve("staging", BASE | said), nodes)


class TestPlacementsThatNoNodeSatisfies:
    def test_a_label_that_no_node_has_is_named_with_the_components_and_the_setting(self) -> None:
        said = {"postgres": {"placement": DATA}, "redis": {"jobs": {"placement": DATA}}}
        assert refused(said, node("a"), node("b", {"pool": "apps"})) == [
            f"postgres.placement: no node has the label pool=data (postgres); {CURE}",
            f"redis.jobs.placement: no node has the label pool=data (redis-jobs); {CURE}",
        ]

    def test_of_the_stacks_own_placement_all_components_are_named_that_follow_it(self) -> None:
        [sentence] = refused({"placement": {"node_selector": {"pool": "x"}}, "mqtt": {"placement": {}}}, node("a"))
        assert sentence.startswith("placement: no node has the label pool=x (postgres, redis-jobs, release, web,")
        assert "mqtt" not in sentence

    def test_two_labels_that_no_single_node_has(self) -> None:
        said = {"mqtt": {"placement": {"node_selector": {"pool": "data", "disk": "fast"}}}}
        [sentence] = refused(said, node("a", {"pool": "data"}), node("b", {"disk": "fast"}))
        assert "no node has all of the labels pool=data, disk=fast (mqtt)" in sentence

    def test_a_taint_that_is_not_put_up_with_is_named(self) -> None:
        said = {"postgres": {"placement": {"node_selector": {"pool": "data"}}}}
        [sentence] = refused(said, node("a", {"pool": "data"}, "dedicated=data:NoSchedule"), node("b"))
        assert "the taints of every node that is meant keep pods away (dedicated=data:NoSchedule): say `tolerations` (postgres)" in sentence

    @pytest.mark.parametrize(
        "tolerated",
        [{"key": "dedicated"}, {"key": "dedicated", "value": "data"}, {"key": "dedicated", "effect": "NoSchedule"}, {"key": ""}],
    )
    def test_a_taint_that_is_put_up_with_is_none(self, tolerated: dict[str, str]) -> None:
        said = {"postgres": {"placement": {"node_selector": {"pool": "data"}, "tolerations": [tolerated]}}}
        assert refused(said, node("a", {"pool": "data"}, "dedicated=data:NoSchedule"), node("b")) == []

    @pytest.mark.parametrize("taint", ["node.kubernetes.io/unschedulable:NoSchedule", "pool=x:PreferNoSchedule"])
    def test_a_node_that_is_drained_or_merely_put_off_counts(self, taint: str) -> None:
        assert refused({"postgres": {"placement": {"node_selector": {"pool": "data"}}}}, node("a", {"pool": "data"}, taint)) == []

    def test_the_proxies_of_the_edge_are_asked_for_too_although_they_stand_elsewhere(self) -> None:
        said = {"edge": {"where": "gateway", "placement": {"node_selector": {"pool": "edge"}}}}
        assert refused(said, node("a")) == [f"edge.placement: no node has the label pool=edge (edge); {CURE}"]
        assert refused(said | {"edge": {**said["edge"], "where": "none"}}, node("a")) == []

    def test_pods_that_each_want_a_node_are_counted(self) -> None:
        said = {"postgres": {"placement": {"spread": "nodes"}}}
        [sentence] = refused(said, node("a"), node("b"))
        assert "spread: nodes wants a node for each of 3 pods, and 2 take them (postgres)" in sentence
        assert refused(said, node("a"), node("b"), node("c")) == []

    def test_zones_need_nodes_that_tell_theirs(self) -> None:
        said = {"mqtt": {"placement": {"spread": "zones"}}}
        assert f"wants nodes with the label {ZONE}" in refused(said, node("a"))[0]
        assert refused(said, node("a", {ZONE: "west"})) == []

    def test_the_cluster_is_asked_only_by_stacks_that_ask_for_nodes(self) -> None:
        asking = {"placement": {"node_selector": {"a": "b"}}}, {"web": {"web": {"placement": {"spread": "zones"}}}}
        assert all(asks_for_nodes(resolve("staging", BASE | said)) for said in asking)
        tolerant = {"placement": {"tolerations": [{"key": "spot"}]}}
        assert not asks_for_nodes(resolve("staging", BASE | tolerant))


ELSEWHERE = {"placement": {"node_selector": {"pool": "data"}}, "cluster": NAMED | {"context": "company"}}


def checked(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[str]:
    """What the program says with a cluster that answers so."""

    def asked(*_: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(components.nodes, "asked", asked)
    return components.nodes.check(resolve("staging", BASE | ELSEWHERE))


class TestAsking:
    def test_a_cluster_that_answers_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [sentence] = checked(monkeypatch, ([node("a")], False))
        assert sentence.startswith("placement: no node has the label pool=data (postgres,")

    def test_without_an_answer_or_the_right_to_ask_nothing_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert checked(monkeypatch, OwnershipError("cluster company: listing nodes was refused: 403 Forbidden")) == []

    def test_where_something_adds_nodes_it_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        warned: list[str] = []
        monkeypatch.setattr(components.nodes.pulumi.log, "warn", warned.append)
        assert checked(monkeypatch, ([node("a")], True)) == []
        assert len(warned) == 1 and "no node has the label pool=data" in warned[0] and "`up` waits for one that fits" in warned[0]


class TestSpread:
    def test_every_pod_is_spread_over_zones_and_nodes_and_waits_for_neither(
        self,
    ) -> None:
        for pod in templates(rendered("production")):
            keys = {one["topologyKey"]: one["whenUnsatisfiable"] for one in pod.spec["topologySpreadConstraints"]}
            assert keys == {ZONE: "ScheduleAnyway", HOST: "ScheduleAnyway"}, pod.component
            assert "requiredDuringSchedulingIgnoredDuringExecution" not in pod.spec["affinity"]["podAntiAffinity"]

    def test_pods_are_counted_with_their_own_kind_and_revision_on_nodes_that_take_them(self) -> None:
        for pod in templates(rendered("production")):
            [term] = pod.spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            for one in [*pod.spec["topologySpreadConstraints"], term["podAffinityTerm"]]:
                assert one["labelSelector"]["matchLabels"].items() <= pod.labels.items()
                assert one["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == pod.component
                assert one["matchLabelKeys"] == ["pod-template-hash"]
            assert {one["nodeTaintsPolicy"] for one in pod.spec["topologySpreadConstraints"]} == {"Honor"}

    def test_a_component_that_says_zones_or_nodes_waits_for_them_and_no_other_does(self) -> None:
        said = BASE | {"postgres": {"placement": {"spread": "nodes"}}, "mqtt": {"placement": {"spread": "zones"}}}
        pods = {pod.component: pod.spec for pod in templates(Rendered("spread", resolve("spread", said), render("spread", said)))}
        strict = {name: spec["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule" for name, spec in pods.items()}
        assert {name for name, yes in strict.items() if yes} == {"mqtt"}
        required = {name for name, spec in pods.items() if "required" in str(spec["affinity"])}
        assert required == {"postgres"}


class TestDrains:
    def test_a_pod_that_serves_nobody_holds_up_no_drain_but_a_member_that_is_catching_up_does(self) -> None:
        stack = rendered("production")
        kept = {one.kube_name for one in stack.of("StatefulSet")}
        said = {one.kube_name: one.inputs["spec"]["unhealthyPodEvictionPolicy"] for one in stack.of("PodDisruptionBudget")}
        assert said and said == {name: "IfHealthyBudget" if name in kept else "AlwaysAllow" for name in said}

"""The budget report: what stacks ask for, against what they declare, and what a lost node would leave."""

import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from cli import budget as module
from cli.__main__ import main
from cli.budget import asked, command, declared
from cli.stack import names
from reports import budget_text
from reports.budget import Amount, Share, over, peak, shares, steady
from reports.budget_text import Cluster
from reports.nodes import Node, losses, without_room
from settings import SettingsError
from settings.footprint import total
from settings.stack import Budget
from tests.unit.stacks import house, stack, subjects
from tools.errors import UserError

GI = 2**30
LARGE = {
    "web": {"web": {"replicas": 4}, "admin": {"command": ["bin/admin"], "port": 4000, "singleton": True, "replicas": 1}},
    "redis": {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}},
    "elasticsearch": {"where": "cluster"},
    "processes": {"clock": {"command": ["bin/clock"], "singleton": True, "resources": {"memory": "300M"}}},
    "schedules": {"nightly": {"command": ["bin/nightly"], "cron": "0 3 * * *", "resources": {"cpu": "1.5"}}},
}
STACKS = {
    "plain": stack("plain"),
    "large": stack("large", LARGE),
    "mqtt-mode": stack("mqtt-mode", {"consumer": {"mode": "mqtt", "replicas": 1}, "mqtt": {"queues": {"falls": None}}}),
    "tiny": stack("tiny", tier="small"),
    "over": stack("over", {"budget": {"cpu": "2", "memory": "20Gi", "storage": "100Gi"}}),
    "within": stack("within", {"budget": {"cpu": "4", "memory": "20Gi", "storage": "100Gi"}}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return house(tmp_path_factory.mktemp("house"), STACKS)


def deployment(containers, init=(), *, replicas=1, strategy=None, kind="Deployment"):
    spec = {"replicas": replicas, "template": {"spec": {"containers": containers, "initContainers": list(init)}}}
    return {"kind": kind, "metadata": {"name": "web"}, "spec": {**spec, **({"strategy": strategy} if strategy else {})}}


def container(cpu="100m", memory="1Gi", limit=None, **more):
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit or memory}}, **more}


def share(component, replicas, memory=GI, cpu="100m", storage=0):
    pod = Amount(cpu=Decimal(cpu.removesuffix("m")) / 1000, memory=memory, limit=memory)
    return Share(component=component, replicas=replicas, extra=0, pod=pod, storage=storage)


class TestCounting:
    @pytest.mark.parametrize("name", ["plain", "large", "mqtt-mode", "tiny"])
    def test_what_settings_expect_is_what_the_objects_ask_for(self, root, name):
        subject = subjects(root, [name])[name]
        parts, expected = shares(subject.rendered.objects()), subject.settings.footprint()
        assert {part.component: part.replicas + part.extra for part in parts} == {part.component: part.pods for part in expected}
        most, foreseen = peak(parts), total(expected)
        assert (most.cpu, most.memory, most.storage) == (foreseen.cpu, foreseen.memory, foreseen.storage)

    def test_a_pod_asks_for_its_containers_together_or_for_its_largest_init_container(self):
        [small] = shares([deployment([container(), container()], [container(memory="512Mi", cpu="1")])])
        assert (small.pod.memory, small.pod.cpu) == (2 * GI, Decimal(1))
        [large] = shares([deployment([container()], [container(memory="3Gi")])])
        assert large.pod.memory == 3 * GI

    def test_a_sidecar_counts_beside_the_containers(self):
        [found] = shares([deployment([container()], [container(restartPolicy="Always"), container()])])
        assert found.pod.memory == 2 * GI

    @pytest.mark.parametrize(
        ("strategy", "replicas", "extra"),
        [
            ({"type": "Recreate"}, 1, 0),
            ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, 4, 1),
            ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%"}}, 4, 2),
            (None, 5, 2),
        ],
    )
    def test_a_deployment_has_more_pods_while_it_rolls_out(self, strategy, replicas, extra):
        [found] = shares([deployment([container()], replicas=replicas, strategy=strategy)])
        assert (found.replicas, found.extra) == (replicas, extra)
        assert (steady([found]).memory, peak([found]).memory) == (replicas * GI, (replicas + extra) * GI)

    def test_a_job_counts_only_at_the_most(self):
        [found] = shares([deployment([container()], kind="Job")])
        assert (steady([found]).memory, peak([found]).memory) == (0, GI)

    def test_each_replica_has_its_volume(self):
        made = deployment([container()], kind="StatefulSet", replicas=3)
        made["spec"]["volumeClaimTemplates"] = [{"spec": {"resources": {"requests": {"storage": "10Gi"}}}}]
        assert steady(shares([made])).storage == 30 * GI

    def test_the_limit_is_told_apart_from_the_request(self):
        [found] = shares([deployment([container(limit="2Gi")], replicas=2)])
        assert (steady([found]).memory, steady([found]).limit) == (2 * GI, 4 * GI)


class TestBudget:
    def test_a_stack_over_its_budget_is_reported_although_its_settings_are_refused(self, root):
        with pytest.raises(SettingsError, match="the budget is 2"):
            subjects(root, ["over"])
        [found], _ = asked(["over"], root)
        assert found.over == ["cpu"]
        assert "over its budget at the most: cpu (cpu 125 %" in "\n".join(budget_text.table(found, Cluster()))

    def test_one_within_it_says_how_near_it_is(self, root):
        [found], _ = asked(["within"], root)
        assert found.over == []
        assert "within its budget at the most: cpu 62 %, memory 54 %" in "\n".join(budget_text.table(found, Cluster()))

    def test_what_is_asked_for_exactly_is_not_too_much(self):
        exact = Amount(cpu=Decimal(2), memory=4 * GI, storage=GI)
        assert over(exact, Budget(cpu="2000m", memory="4Gi", storage="1Gi")) == []
        assert over(exact, Budget(cpu="1999m", memory="4095Mi", storage="1Gi")) == ["cpu", "memory"]

    def test_a_budget_that_is_none_is_refused_by_its_key(self, tmp_path):
        made = house(tmp_path, {"wrong": stack("wrong", {"budget": {"cpu": "2", "memory": "lots", "storage": "1Gi"}})})
        with pytest.raises(SettingsError, match=r"budget\.memory"):
            declared("wrong", made)

    def test_stacks_that_can_not_be_used_are_all_named_and_the_others_still_told_of(self, tmp_path, monkeypatch, capsys):
        wrong = {"replicas": stack("replicas", {"web": {"web": {"replicas": "many"}}}), "typo": stack("typo", {"wob": {}})}
        made = house(tmp_path, {"good": stack("good"), "unread": {}, **wrong})
        (made / "Pulumi.unread.yaml").write_text("config: [\n")
        monkeypatch.setattr(module, "names", lambda _root=made: names(made))
        monkeypatch.setattr(module, "asked", lambda stacks: asked(stacks, made))
        done = CliRunner().invoke(command, ["--json"])
        assert [one["stack"] for one in json.loads(done.stdout)["stacks"]] == ["good"]
        assert isinstance(done.exception, SettingsError)
        assert all(f"Pulumi.{name}.yaml" in str(done.exception) for name in ("replicas", "typo", "unread"))
        assert main(["budget"]) == 2
        said = capsys.readouterr()
        assert "good" in said.out and "Pulumi.typo.yaml" in said.err

    def test_an_unknown_stack_is_said(self, root):
        with pytest.raises(UserError, match="there is no stack 'nope'"):
            asked(["plain", "nope"], root)

    def test_the_command_fails_when_over_and_adds_stacks_up(self, root, monkeypatch):
        told = asked(["plain", "over"], root)
        monkeypatch.setattr(module, "asked", lambda _stacks: told)
        done = CliRunner().invoke(command, ["plain", "over", "--json"])
        assert done.exit_code == 1
        made = json.loads(done.stdout)
        assert [one["over"] for one in made["stacks"]] == [[], ["cpu"]]
        assert made["all"]["peak"]["memory"] == sum(one["peak"]["memory"] for one in made["stacks"])
        assert "all 2 stacks" in CliRunner().invoke(command, ["plain", "over"]).stdout


class TestALostNode:
    @pytest.mark.parametrize(
        ("component", "replicas", "nodes", "lost", "stops"),
        [
            ("web", 2, 3, 1, False),
            ("web", 2, 2, 1, False),
            ("web", 2, 1, 2, True),
            ("redis-jobs", 1, 3, 1, True),
            ("mqtt", 3, 3, 1, False),
            ("mqtt", 3, 2, 2, True),
            ("mqtt", 5, 3, 2, False),
            ("postgres", 3, 2, 2, False),
        ],
    )
    def test_a_component_stops_without_pods_or_without_the_majority_it_needs(self, component, replicas, nodes, lost, stops):
        [found] = losses([share(component, replicas)], nodes)
        assert (found.lost, found.stops) == (lost, stops)

    def test_what_fits_on_the_nodes_that_are_left_is_placed_one_by_one(self):
        parts = [share("web", 4), share("redis", 1, memory=3 * GI)]
        assert without_room(parts, 2, Node(memory=4 * GI)) == []
        assert without_room(parts, 2, Node(memory=3 * GI)) == ["web-3"]

    def test_a_pod_larger_than_a_node_never_has_room_although_the_sum_does(self):
        assert without_room([share("es", 1, memory=5 * GI)], 2, Node(memory=4 * GI)) == ["es-0"]

    def test_cpu_counts_as_memory_does(self):
        assert without_room([share("web", 3, cpu="1500m")], 2, Node(cpu=Decimal(2))) == ["web-2"]

    def test_the_report_names_what_stops_and_why(self, root):
        [found], _ = asked(["plain"], root)
        told = "\n".join(budget_text.table(found, Cluster(2, Node(Decimal(8), 32 * GI))))
        assert "mqtt: 1 of 3 members left, and it needs 2" in told
        assert "redis-jobs: its only pod" in told
        assert "all pods fit on the other 1" in told

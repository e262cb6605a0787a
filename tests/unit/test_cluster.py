"""What a cluster has once: routes out of the stacks' files, the collector's configuration, and what its pod may do."""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.cluster_target import ClusterTarget, Standing, digest, missing
from cluster.configuration import LEVELS, PATTERNS, configuration, lanes
from rendering.processes import run
from settings import SettingsError
from settings.clusters import ClusterSettings, LogFiles, Route, live_route, load, outage_seconds, stacks_on
from tests.unit.checkout import checkout
from tests.unit.rendering import Registered
from tests.unit.stacks import UNWATCHED

LAMP = Route(namespace="lamp-a", loki="lamp-a", components=["web", "web-admin", "postgres"])
SMALL = Route(namespace="lamp-b", loki="lamp-a", components=["web"], kubelet=True)
IMAGE = "registry.example.com/otel-collector@sha256:" + "0" * 64
CLUSTER = {"identifier": "company", "context": "company"}
KEPT = {"where": "cluster"}


def made(**said: Any) -> dict[str, Any]:
    return yaml.safe_load(configuration(ClusterSettings(**said), [LAMP, SMALL]))


def pod(namespace: str, name: str, file: str = "0.log") -> str:
    return f"/var/log/pods/{namespace}_{name}_11111111-2222-3333-4444-555555555555/app/{file}"


def readers(path: str) -> list[str]:
    """Return the lanes that read a file."""
    found = {name: (one["include"], one["exclude"]) for name, one in made()["receivers"].items()}
    reads = [name for name, (ours, others) in found.items() if _any(path, ours) and not _any(path, others)]
    return [name.removeprefix("file_log/") for name in reads]


def _any(path: str, patterns: list[str]) -> bool:
    # A star does not cross folders.
    return any(len(path.split("/")) == len(p.split("/")) and all(map(fnmatch, path.split("/"), p.split("/"))) for p in patterns)


def build(kind: str) -> list[Registered]:
    return run(_built, kind)


def _built(kind: str) -> list[Registered]:
    from cluster.program import ClusterWide, site_of
    from rendering.program import recorded
    from settings.stack import Cluster

    settings = ClusterSettings(image=IMAGE, digest="abc")
    routes = {"two": [LAMP, SMALL], "none": []}[kind]
    return recorded("switchyard-cluster", "company", lambda: _program(ClusterWide, settings, routes, site_of, Cluster))


def _program(component: Any, settings: ClusterSettings, routes: list[Route], site_of: Any, cluster: Any) -> None:
    component("cluster", settings, routes, site_of("company", cluster(**CLUSTER), settings))


def of(kind: str, resources: list[Registered]) -> list[Registered]:
    return [one for one in resources if one.kind == kind]


class TestRoutes:
    def test_they_are_those_of_the_files_that_name_the_cluster_and_keep_their_lines(self, tmp_path: Path) -> None:
        root = checkout(
            tmp_path,
            {
                "a": {"tier": "staging", "cluster": CLUSTER, "logs": KEPT},
                "b": {"tier": "staging", "cluster": CLUSTER, "logs": {"where": "shared", "namespace": "lamp-a"}},
                "silent": {"tier": "staging", "cluster": CLUSTER, **UNWATCHED},
                "only-figures": {"tier": "staging", "cluster": CLUSTER, "logs": {"where": "none"}},
                "elsewhere": {"tier": "staging", "cluster": {"identifier": "other"}, "logs": KEPT},
            },
        )
        found = stacks_on("company", root)
        assert [(route.namespace, route.loki) for route in found.routes] == [
            ("lamp-a", "lamp-a"),
            ("lamp-b", "lamp-a"),
            ("lamp-only-figures", None),
        ]
        assert {"web", "consumer", "loki", "sidekiq-alerts"} <= set(found.routes[0].components)
        assert found.access and found.access.context == "company" and found.unread == []

    def test_a_file_that_can_not_be_read_is_named_and_its_stack_left_out(self, tmp_path: Path) -> None:
        root = checkout(tmp_path, {"a": {"tier": "staging", "cluster": CLUSTER, "logs": KEPT}, "bad": {"tier": "nothing"}})
        found = stacks_on("company", root)
        assert len(found.routes) == 1 and found.unread[0].startswith("Pulumi.bad.yaml is left out, because it can not be read: ")

    def test_a_namespace_tells_the_same_as_its_file(self) -> None:
        about = {
            "name": "lamp-a",
            "labels": {"switchyard.dev/logs": "lamp-a"},
            "annotations": {"switchyard.dev/components": "postgres,web"},
        }
        assert list(live_route({"metadata": about})) == [Route(namespace="lamp-a", loki="lamp-a", components=["postgres", "web"])]
        assert list(live_route({"metadata": about | {"labels": {}}})) == []
        assert list(live_route({"metadata": about | {"deletionTimestamp": "2026-11-22T10:00:00Z"}})) == []


class TestConfiguration:
    @pytest.mark.parametrize(
        ("path", "lane"),
        [
            (pod("lamp-a", "web-7d9f8b6c5d-x2x4z"), "lamp-a.web"),
            (pod("lamp-a", "web-admin-7d9f8b6c5d-x2x4z"), "lamp-a.web-admin"),
            (pod("lamp-a", "postgres-0", "1.log.20261122-101112"), "lamp-a.postgres"),
            (pod("lamp-a", "somebody-elses-0"), "lamp-a.rest"),
            (pod("lamp-b", "web-7d9f8b6c5d-x2x4z"), "lamp-b.web"),
        ],
    )
    def test_each_file_is_read_by_one_lane_alone(self, path: str, lane: str) -> None:
        assert readers(path) == [lane]

    def test_packed_files_and_other_namespaces_are_read_by_nobody(self) -> None:
        assert readers(pod("lamp-a", "postgres-0", "0.log.20261122-101112.gz")) == []
        assert readers(pod("lamp-abc", "postgres-0")) == readers(pod("kube-system", "web-0")) == []

    def test_each_lane_has_a_queue_of_its_own_and_the_tenant_of_its_namespace(self) -> None:
        document = made(queue="16Mi")
        for name, pipeline in document["service"]["pipelines"].items():
            lane = name.removeprefix("logs/")
            assert (pipeline["receivers"], pipeline["exporters"]) == ([f"file_log/{lane}"], [f"otlp_http/{lane}"])
            exporter = document["exporters"][f"otlp_http/{lane}"]
            assert exporter["headers"] == {"X-Scope-OrgID": lane.partition(".")[0]}
            assert exporter["endpoint"] == "http://loki.lamp-a.svc:3100/otlp"
            queue = exporter["sending_queue"]
            assert (queue["storage"], queue["queue_size"], queue["block_on_overflow"]) == ("file_storage", 16 * 2**20, True)

    def test_nothing_is_given_up(self) -> None:
        document = made()
        waits = [one["retry_on_failure"]["max_elapsed_time"] for one in document["receivers"].values()]
        waits += [one["retry_on_failure"]["max_elapsed_time"] for one in document["exporters"].values()]
        assert set(waits) == {0, "0s"}
        assert all(one["start_at"] == "beginning" and one["storage"] == "file_storage" for one in document["receivers"].values())

    def test_the_longest_line_fits_into_a_batch(self) -> None:
        for receiver, exporter in zip(made()["receivers"].values(), made()["exporters"].values(), strict=True):
            assert receiver["operators"][0]["max_log_size"] * 1.1 < exporter["sending_queue"]["batch"]["max_size"]

    def test_a_line_that_is_read_again_is_the_same_line(self) -> None:
        document = made()
        assert document["processors"]["transform"]["log_statements"] == ["set(log.observed_time_unix_nano, 0)"]
        assert all("transform" in pipeline["processors"] for pipeline in document["service"]["pipelines"].values())

    def test_a_dollar_sign_is_no_variable_of_the_collectors(self) -> None:
        text = configuration(ClusterSettings(), [LAMP])
        assert "$$" in text and text.replace("$$", "").replace("${env:NODE_NAME}", "").count("$") == 0

    def test_a_component_whose_name_begins_another_leaves_that_ones_files(self) -> None:
        found = {name: others for name, _, others in lanes(LAMP)}
        assert found["web"] == ["lamp-a_web-admin-*_*/*/*.log", "lamp-a_web-admin-*_*/*/*.log.2*"]
        assert found["web-admin"] == found["postgres"] == []

    @pytest.mark.parametrize(
        ("line", "level"),
        [
            ('{"time":"x","level":"ERROR","msg":"boom"}', "error"),
            ("I, [2026-11-22T10:00:00.1 #7]  INFO -- : Started GET", "info"),
            ("2026-11-22 22:00:00 UTC [7] LOG:  ready", "info"),
            ("2026-11-22 22:00:00.000 [warning] <0.1.0> disk", "warn"),
            ('ts=2026-11-22T10:00:00Z caller=main.go level="debug" msg=x', "debug"),
            ("1:M 22 Nov 2026 10:00:00.000 # Out of memory", "warn"),
            ("[2026-11-22T10:00:00,000][FATAL][o.e.n.Node] bye", "fatal"),
            ("Completed 200 OK in 5ms", None),
            ("an error happened", None),
        ],
    )
    def test_the_level_is_found_where_programs_write_it(self, line: str, level: str | None) -> None:
        import re

        def found(regex: str) -> str | None:
            # Go writes flags inside a group; Python wants the same.
            match = re.search(regex, line)
            return match["level"] if match else None

        told = next((word for regex, _ in PATTERNS if (word := found(regex))), None)
        assert next((name for name, words in LEVELS.items() if told and told.lower() in words), None) == level


class TestProgram:
    def test_the_pod_sees_of_its_node_the_log_files_and_a_folder_of_its_own_and_nothing_else(self) -> None:
        [daemons] = of("DaemonSet", build("two"))
        spec = daemons.inputs["spec"]["template"]["spec"]
        paths = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
        assert paths == {"pods": "/var/log/pods", "state": "/var/lib/switchyard-collector"}
        [container] = spec["containers"]
        mounts = {one["name"]: one.get("readOnly", False) for one in container["volumeMounts"]}
        assert mounts == {"config": True, "pods": True, "state": False}
        assert spec["automountServiceAccountToken"] is False and "hostNetwork" not in spec and "hostPID" not in spec

    def test_it_is_root_without_roots_rights(self) -> None:
        [daemons] = of("DaemonSet", build("two"))
        spec = daemons.inputs["spec"]["template"]["spec"]
        assert spec["securityContext"] == {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
        assert spec["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_it_runs_on_every_node_whatever_its_taints(self) -> None:
        [daemons] = of("DaemonSet", build("two"))
        assert daemons.inputs["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]

    def test_it_dials_the_lokis_of_its_routes_and_nobody_else(self) -> None:
        policies = {one.name: one.inputs["spec"] for one in of("NetworkPolicy", build("two"))}
        assert set(policies) == {"network-default-deny", "network-dns", "collector-lokis-out", "collector-metrics-in"}
        [rule] = policies["collector-lokis-out"]["egress"]
        assert [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["to"]] == ["lamp-a"]

    def test_only_who_asks_for_the_kubelets_figures_may_read_them(self) -> None:
        [binding] = of("ClusterRoleBinding", build("two"))
        assert binding.inputs["subjects"] == [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "lamp-b"}]
        [role] = of("ClusterRole", build("two"))
        assert role.inputs["rules"] == [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}]

    def test_without_a_stack_there_is_no_collector(self) -> None:
        assert not of("DaemonSet", build("none")) and of("Namespace", build("none"))


class TestSettings:
    def test_what_is_wrong_names_its_key(self) -> None:
        with pytest.raises(SettingsError, match=r"queue: expected a quantity of bytes"):
            load({"queue": "much"})

    def test_a_digest_changes_with_the_routes(self) -> None:
        one, other = ({"routes": [route.model_dump()]} for route in (LAMP, SMALL))
        assert digest(one) == digest({**one, "digest": "whatever"}) != digest(other)

    def test_how_long_a_loki_may_be_away(self) -> None:
        minutes = {count: outage_seconds(LogFiles(size="10Mi", count=count), "20Mi", 10 * 1024) / 60 for count in (1, 5)}
        assert minutes[1] == pytest.approx(0.7 * 20 * 1024 / 10 / 60)
        assert minutes[5] == pytest.approx((0.7 * 20 + 10) * 1024 / 10 / 60)


class TestStanding:
    def test_nodes_with_an_old_configuration_count_as_missing(self) -> None:
        status = {"desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 1, "observedGeneration": 3}
        old = Standing({"metadata": {"generation": 3}, "status": status})
        assert old.nodes == (1, 2) and not old.ready
        new = Standing({"metadata": {"generation": 3}, "status": status | {"updatedNumberScheduled": 2}})
        assert new.ready and not Standing(None).ready

    def test_a_stack_whose_lines_are_not_sent_is_missing(self) -> None:
        standing = Standing({"metadata": {"generation": 1, "annotations": {"switchyard.dev/namespaces": "lamp-a"}}})
        target = ClusterTarget("company", None, None, ClusterSettings(), [LAMP, SMALL], on_sandbox=False)  # type: ignore[arg-type]
        assert missing(target, standing) == ["lamp-b"]
        assert json.dumps(standing.namespaces) == '["lamp-a"]'

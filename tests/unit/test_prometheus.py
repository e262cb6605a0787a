"""Prometheus: it asks exactly what components say, keeps the answers under their names, and may be reached by nobody else."""

import re
from typing import Any

import pytest
import yaml

from components.loki import collected
from components.prometheus_configuration import COMPONENT_OF_OBJECT, configuration, files, recorded, scraping, watched
from components.watch import Expectation, Scrape, Watch, members
from reports.connectivity import Network
from settings import SettingsError, resolve
from settings.fixed import servers
from tests.unit.rendering import Registered, render
from tests.unit.test_contract import matrix, rendered, templates

ABOUT = {"namespace": "lamp-x", "stack": "lamp.x"}
WEB = Scrape(job="web", component="web", port=9394)
SAID: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "c"}}


def refusal(metrics: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolve("x", {**SAID, "metrics": {"where": "cluster", **metrics}})
    return caught.value.problems


def relabelled(labels: dict[str, str], rules: Any) -> dict[str, str]:
    """Return what Prometheus makes of a series' labels by rules of the action `replace`."""
    made = dict(labels)
    for rule in rules:
        text = ";".join(made.get(label, "") for label in rule["source_labels"])
        if found := re.fullmatch(rule["regex"], text):
            made[rule["target_label"]] = found.expand(rule.get("replacement", r"\1"))
    return made


class TestTheDisk:
    def test_more_than_four_fifths_of_the_volume_are_refused_with_the_sum(self) -> None:
        [said] = refusal({"volume": {"size": "10Gi"}, "retention_size": "9Gi"})
        assert said.startswith("Pulumi.x.yaml: metrics.retention_size: '9Gi': is more than 0.8 of metrics.volume.size, 0.8 x 10Gi = 8Gi")

    def test_exactly_four_fifths_fit(self) -> None:
        assert resolve("x", {**SAID, "metrics": {"where": "cluster", "volume": {"size": "10Gi"}, "retention_size": "8Gi"}})

    def test_a_retention_that_needs_more_than_its_size_is_refused_with_the_sum(self) -> None:
        [said] = refusal({"retention": "400d", "series": 10000})
        assert "10000 x 34560000 / 10 x 2 = 64.37Gi, and metrics.retention_size is 8Gi: the oldest would be gone before" in said

    def test_series_that_do_not_fit_into_its_memory_are_refused_with_the_sum(self) -> None:
        [said] = refusal({"series": 100_000, "retention": "1d"})
        assert "metrics.resources.memory: '768Mi' by default: 64Mi for itself + 100000 series x 10Ki = 1.02Gi" in said
        assert resolve("x", {**SAID, "metrics": {"where": "cluster", "series": 72_000, "retention": "1d"}})

    def test_kubelets_at_no_address_are_refused_because_a_policy_would_take_that_for_all(self) -> None:
        [said] = refusal({"kubelet": True, "kubelet_ranges": []})
        assert "metrics.kubelet_ranges: expected a list of at least 1 item" in said

    def test_what_is_off_is_not_checked(self) -> None:
        off = {"metrics": {"where": "none", "retention": "3000d"}, "canary": {"where": "none"}}
        assert resolve("x", SAID | off)


class TestAsking:
    def test_the_pods_of_the_component_are_asked_at_the_one_port(self) -> None:
        keep = scraping(WEB)["relabel_configs"][0]
        assert keep["source_labels"][0] == "__meta_kubernetes_pod_label_app_kubernetes_io_component"
        assert (keep["regex"], keep["action"]) == ("web;9394", "keep")

    def test_only_pods_of_its_own_namespace_are_looked_for_and_all_jobs_look_alike(self) -> None:
        said = configuration(Watch(scrapes=(WEB, Scrape(job="a", component="b", port=1))), ABOUT, alertmanager=None, kubelet=False)
        looked = [job["kubernetes_sd_configs"] for job in said["scrape_configs"]]
        assert looked == [[{"role": "pod", "namespaces": {"own_namespace": True}}]] * 2

    def test_series_are_called_after_their_pod_and_not_after_an_address(self) -> None:
        made = {rule["target_label"]: rule for rule in scraping(WEB)["relabel_configs"] if "target_label" in rule}
        assert made["component"]["replacement"] == "web"
        assert made["pod"]["source_labels"] == ["__meta_kubernetes_pod_name"]
        assert made["instance"]["source_labels"][0] == "__meta_kubernetes_pod_name"

    def test_an_exporter_speaks_for_the_component_that_it_tells_of(self) -> None:
        made = scraping(Scrape(job="postgres", component="postgres-exporter", port=9187, about="postgres"))["relabel_configs"]
        assert made[0]["regex"] == "postgres-exporter;9187"
        assert {"target_label": "component", "replacement": "postgres"} in made

    def test_pods_of_another_namespace_are_found_by_their_service_and_what_they_tell_of_others_is_dropped(self) -> None:
        [scrape] = collected("lamp-x").scrapes
        said = scraping(scrape)
        assert said["dns_sd_configs"] == [{"names": ["collector.switchyard-cluster.svc"], "type": "A", "port": 8888}]
        assert "kubernetes_sd_configs" not in said
        keep, name = said["metric_relabel_configs"]
        assert keep["action"] == "keep" and keep["regex"] == name["regex"] and name["target_label"] == "component"
        lanes = ("otlp_http/lamp-x.web;", ";file_log/lamp-x.web", "otlp_http/lamp-xy.web;", ";file_log/lamp.web", ";")
        found = [re.fullmatch(keep["regex"], lane) for lane in lanes]
        assert [match and "".join(filter(None, match.groups())) for match in found] == ["web", "web", None, None, None]

    def test_what_kube_state_metrics_tells_of_a_pod_does_not_get_its_own_name(self) -> None:
        said = scraping(Scrape(job="k", component="k", port=1, honor_labels=True))
        assert said["honor_labels"]
        assert {rule.get("target_label") for rule in said["relabel_configs"]} == {None, "job", "instance"}

    def test_every_job_has_a_name_of_its_own(self) -> None:
        watches = [*(watch for watch in all_watches())]
        said = configuration(watched(watches), ABOUT, alertmanager=None, kubelet=True)
        names = [job["job_name"] for job in said["scrape_configs"]]
        assert len(names) == len(set(names)) > 5

    def test_kubelets_are_asked_only_where_settings_say_so_and_other_namespaces_are_dropped(self) -> None:
        jobs = configuration(Watch(), ABOUT, alertmanager=None, kubelet=True)["scrape_configs"]
        assert [job["metrics_path"] for job in jobs] == ["/metrics/resource", "/metrics"]
        assert {job["kubernetes_sd_configs"][0]["role"] for job in jobs} == {"pod"}, "to list nodes takes a right of the whole cluster"
        for job in jobs:
            assert job["metric_relabel_configs"][0] == {"source_labels": ["namespace"], "regex": "lamp-x", "action": "keep"}
        assert configuration(Watch(), ABOUT, alertmanager=None, kubelet=False)["scrape_configs"] == []

    def test_alerts_go_to_the_alertmanager_if_there_is_one(self) -> None:
        said = configuration(Watch(), ABOUT, alertmanager="alertmanager:9093", kubelet=False)
        assert said["alerting"]["alertmanagers"][0]["static_configs"] == [{"targets": ["alertmanager:9093"]}]
        assert "alerting" not in configuration(Watch(), ABOUT, alertmanager=None, kubelet=False)


@pytest.mark.parametrize(
    ("labels", "component"),
    [
        ({"pod": "web-7d9f8c6b5d-x7k2q"}, "web"),
        ({"pod": "sidekiq-alerts-5b4c8d7f9-bcdfg"}, "sidekiq-alerts"),
        ({"pod": "postgres-0"}, "postgres"),
        ({"pod": "redis-jobs-10"}, "redis-jobs"),
        ({"pod": "release-0a1b2c3d4e-k7q2x"}, "release"),
        ({"pod": "nightly-29345678-k7q2x"}, "nightly"),
        ({"deployment": "redis-jobs-exporter"}, "redis-jobs-exporter"),
        ({"statefulset": "mqtt"}, "mqtt"),
        ({"job_name": "nightly-29345678"}, "nightly"),
        ({"job_name": "release-0a1b2c3d4e"}, "release"),
        ({"persistentvolumeclaim": "data-redis-jobs-0"}, "redis-jobs"),
        ({"namespace": "lamp-x"}, None),
    ],
)
def test_a_component_is_read_off_the_names_of_its_objects(labels: dict[str, str], component: str | None) -> None:
    assert relabelled(labels, COMPONENT_OF_OBJECT).get("component") == component


class TestExpectations:
    def test_each_is_a_series_of_its_own_name(self) -> None:
        [group] = recorded([members("web", 2)])["groups"]
        assert group["rules"] == [{"record": "switchyard:members", "expr": "vector(2)", "labels": {"component": "web"}}]

    def test_one_that_two_components_say_is_recorded_once(self) -> None:
        said = watched([Watch(expectations=(members("web", 2),)), Watch(expectations=(members("web", 3), members("a", 1)))])
        assert [(fact.labels["component"], fact.value) for fact in said.expectations] == [("web", 3), ("a", 1)]

    def test_what_is_called_like_a_sidekiq_pool_is_not_taken_for_one(self) -> None:
        stack = SAID | {"processes": {"sidekiq-web": {"command": ["bin/admin"]}}}
        [said] = [one.inputs["data"] for one in render("x", stack) if "expectations.yml" in one.inputs.get("data", {})]
        facts = yaml.safe_load(said["expectations.yml"])["groups"][0]["rules"]
        assert [fact["labels"]["component"] for fact in facts if fact["record"] == "switchyard:sidekiq"] == ["sidekiq-alerts"]

    def test_the_queue_that_the_consumer_reads_is_expected_to_be_read(self) -> None:
        assert Expectation(record="switchyard:queue", value=1, labels={"queue": "falls"}) in watched(all_watches()).expectations


class TestTheStack:
    def test_every_volume_is_told_of_by_a_container_beside_its_server(self) -> None:
        stack = rendered("everything")
        kept = {server.name for server in servers(stack.settings) if server.volume}
        beside = {pod.component: one for pod in templates(stack) for one in pod.containers if one["name"] == "volume"}
        assert set(beside) == kept
        for one in beside.values():
            assert one["volumeMounts"] == [{"name": "data", "mountPath": "/volume", "readOnly": True}]
        jobs = config(stack.resources)["scrape_configs"]
        assert {job["job_name"] for job in jobs if job["job_name"].startswith("volumes/")} == {f"volumes/{name}:9100" for name in kept}

    def test_nothing_stands_beside_a_server_that_nobody_watches(self) -> None:
        assert not [one for pod in templates(rendered("mqtt-mode")) for one in pod.containers if one["name"] == "volume"]

    def test_prometheus_reaches_every_port_that_it_asks_and_nobody_else_does(self) -> None:
        stack = rendered("everything")
        network = stack.network
        asked = {(job["job_name"].partition("/")[0], *job["relabel_configs"][0]["regex"].split(";")) for job in pod_jobs(stack.resources)}
        pods = {pod.component: pod for pod in templates(stack)}
        for _, component, port in asked:
            assert network.connects(pods["prometheus"].labels, pods[component].labels, int(port)), (component, port)
            assert not network.connects(pods["web"].labels, pods[component].labels, int(port)), (component, port)

    def test_it_reaches_the_collector_where_the_stacks_lines_are_kept(self) -> None:
        for where in ("cluster", "none"):
            made = render("x", {**SAID, "metrics": {"where": "cluster"}, "logs": {"where": where}})
            policies = [one.inputs for one in made if one.kind == "NetworkPolicy" and one.kube_name == "prometheus-collector"]
            assert bool(policies) is (where == "cluster")
            for policy in policies:
                [rule] = policy["spec"]["egress"]
                assert [one["port"] for one in rule["ports"]] == [8888]
                assert rule["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "switchyard-cluster"}

    def test_prometheus_reaches_no_port_that_it_does_not_ask(self) -> None:
        stack = rendered("everything")
        asked = {tuple(job["relabel_configs"][0]["regex"].split(";")) for job in pod_jobs(stack.resources)}
        reached = {(target, str(port)) for source, target, port in matrix(stack) if source == "prometheus"}
        assert {("postgres", "8008"), ("mqtt", "15692")} <= reached <= asked

    def test_it_may_look_for_pods_and_change_nothing(self) -> None:
        [role] = [one for one in rendered("everything").of("Role") if one.kube_name == "prometheus"]
        assert {verb for rule in role.inputs["rules"] for verb in rule["verbs"]} == {"list", "watch"}

    def test_nodes_are_reached_only_where_kubelets_are_asked(self) -> None:
        for kubelet in (True, False):
            made = render("x", {**SAID, "metrics": {"where": "cluster", "kubelet": kubelet, "kubelet_ranges": ["10.1.0.0/16"]}})
            network = Network("lamp-x", [one.inputs for one in made if one.kind == "NetworkPolicy"])
            labels = {"app.kubernetes.io/name": "lamp", "app.kubernetes.io/component": "prometheus"}
            assert network.lets_out(labels, "10.1.2.3", 10250) is kubelet

    def test_it_has_no_administrative_api_and_keeps_what_settings_say(self) -> None:
        said = {"where": "cluster", "retention": "3d", "retention_size": "1Gi", "volume": {"size": "2Gi"}}
        made = render("x", {**SAID, "metrics": said})
        [server] = [one for one in made if one.kind == "StatefulSet" and one.kube_name == "prometheus"]
        command = server.inputs["spec"]["template"]["spec"]["containers"][0]["command"]
        assert "--storage.tsdb.retention.time=259200s" in command
        assert "--storage.tsdb.retention.size=1024MB" in command
        assert not [word for word in command if "admin-api" in word or "lifecycle" in word]

    def test_queues_of_lamps_are_left_out_and_the_consumers_secret_id_is_not_told(self) -> None:
        [job] = [one for one in pod_jobs(rendered("everything").resources) if one["job_name"].startswith("mqtt-queues")]
        session, kept = job["metric_relabel_configs"]
        assert re.fullmatch(session["regex"], f"mqtt-subscription-{'a1B' * 7}xyqos1")
        assert session["replacement"] == "consumer-session"
        assert [
            name for name in ("falls", "", "consumer-session", "mqtt-subscription-lamp-1qos1") if re.fullmatch(kept["regex"], name)
        ] == [
            "falls",
            "",
            "consumer-session",
        ]


def all_watches() -> list[Watch]:
    """Everything that the largest stack asks, as Prometheus' own file has it, is tested below; here only what needs no engine."""
    from components import consumer, kube_state_metrics, mqtt, prometheus, watch

    settings = rendered("everything").settings
    return [
        watch.volumes(settings),
        mqtt.watch(settings.mqtt),
        consumer.watch(settings.consumer),
        kube_state_metrics.watch(),
        prometheus.itself(),
    ]


def config(resources: list[Registered]) -> dict[str, Any]:
    [made] = [one for one in resources if one.kind == "ConfigMap" and one.name.startswith("prometheus-")]
    return yaml.safe_load(made.inputs["data"]["prometheus.yml"])


def pod_jobs(resources: list[Registered]) -> list[dict[str, Any]]:
    return [
        job
        for job in config(resources)["scrape_configs"]
        if job["job_name"] not in ("containers", "kubelet") and "dns_sd_configs" not in job
    ]


def test_every_rule_file_that_is_named_is_in_the_config_map() -> None:
    made = files(watched(all_watches()), ABOUT, alertmanager=None, kubelet=False)
    named = [path.rpartition("/")[2] for path in yaml.safe_load(made["prometheus.yml"])["rule_files"]]
    assert set(named) == set(made) - {"prometheus.yml"}

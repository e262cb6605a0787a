"""Grafana as it is rendered: no image of it can be had here, so what it would read is checked instead."""

import configparser
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from components.grafana import CONFIG, DataSource, configuration, provisioned
from settings import SettingsError, resolve
from settings.grafana import Grafana
from tests.unit.rendering import Registered
from tests.unit.stacks import UNWATCHED
from tests.unit.test_contract import SECRETS, Rendered, render, rendered, templates

NAMED = {"identifier": "company"}


@pytest.fixture(scope="module")
def stack() -> Rendered:
    return rendered("everything")


def objects(stack: Rendered, kind: str) -> list[Registered]:
    return [one for one in stack.of(kind) if one.inputs["metadata"]["labels"]["app.kubernetes.io/component"] == "grafana"]


def tree(stack: Rendered) -> dict[str, str]:
    """The files of /etc/grafana, by their paths in it."""
    [pod] = [pod for pod in templates(stack) if pod.component == "grafana"]
    data = {one.kube_name: one.inputs["data"] for one in objects(stack, "ConfigMap")}
    [volume] = [volume for volume in pod.spec["volumes"] if volume["name"] == "config"]
    sources = [source["configMap"] for source in volume["projected"]["sources"]]
    return {item["path"]: data[source["name"]][item["key"]] for source in sources for item in source["items"]}


def ini(text: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(text)
    return read


class TestProvisioning:
    def test_each_data_source_is_a_service_and_port_of_the_stack_that_grafana_may_reach(self, stack: Rendered) -> None:
        services = {one.kube_name: one.inputs["spec"] for one in stack.of("Service")}
        [grafana] = [pod for pod in templates(stack) if pod.component == "grafana"]
        said = yaml.safe_load(tree(stack)["provisioning/datasources/datasources.yaml"])
        assert said["apiVersion"] == 1 and said["datasources"]
        for source in said["datasources"]:
            place = urlsplit(source["url"])
            [port] = [port for port in services[str(place.hostname)]["ports"] if port["port"] == place.port]
            [target] = [pod for pod in templates(stack) if services[str(place.hostname)]["selector"].items() <= pod.labels.items()]
            assert stack.network.connects(grafana.labels, target.labels, port["targetPort"]), source["url"]
            assert source["access"] == "proxy" and source["editable"] is False

    def test_loki_is_asked_for_the_lines_of_this_stack(self, stack: Rendered) -> None:
        said = yaml.safe_load(tree(stack)["provisioning/datasources/datasources.yaml"])
        [loki] = [source for source in said["datasources"] if source["type"] == "loki"]
        assert loki["jsonData"]["httpHeaderName1"] == "X-Scope-OrgID"
        assert loki["secureJsonData"] == {"httpHeaderValue1": "lamp-everything"}

    def test_a_shared_loki_is_asked_in_its_own_namespace_for_this_stacks_lines(self) -> None:
        said = {"tier": "staging", "cluster": NAMED, "logs": {"where": "shared", "namespace": "lamp-big"}, "grafana": {"where": "cluster"}}
        stack = Rendered("small", resolve("small", said), render("small", said))
        [loki] = yaml.safe_load(tree(stack)["provisioning/datasources/datasources.yaml"])["datasources"][-1:]
        assert loki["url"] == "http://loki.lamp-big.svc:3100"
        assert loki["secureJsonData"] == {"httpHeaderValue1": "lamp-small"}

    def test_every_dashboard_is_in_the_folder_that_is_provisioned(self, stack: Rendered) -> None:
        files = tree(stack)
        [provider] = yaml.safe_load(files["provisioning/dashboards/dashboards.yaml"])["providers"]
        folder = provider["options"]["path"].removeprefix(f"{CONFIG}/")
        shown = {path: json.loads(text) for path, text in files.items() if path.endswith(".json")}
        assert "dashboards/overview.json" in shown
        for path, dashboard in shown.items():
            assert path == f"{folder}/{dashboard['uid']}.json"

    def test_dashboards_name_data_sources_by_the_uids_that_are_provisioned(self, stack: Rendered) -> None:
        files = tree(stack)
        known = {source["uid"] for source in yaml.safe_load(files["provisioning/datasources/datasources.yaml"])["datasources"]}
        for path, text in files.items():
            if path.endswith(".json"):
                panels = [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]
                assert panels, path
                assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} <= known, path

    def test_a_changed_dashboard_makes_another_config_map(self, stack: Rendered) -> None:
        maps = [one for one in objects(stack, "ConfigMap") if any(key.endswith(".json") for key in one.inputs["data"])]
        assert maps
        assert all(len(one.inputs["data"]) == 1 and one.inputs["immutable"] for one in maps)


class TestConfiguration:
    def test_nobody_gets_in_without_the_password_which_is_read_from_a_file(self, stack: Rendered) -> None:
        said = ini(tree(stack)["grafana.ini"])
        assert said["auth.anonymous"]["enabled"] == "false"
        assert said["users"]["allow_sign_up"] == "false"
        assert said["security"]["admin_password"] == "$__file{/run/secrets/grafana/admin-password}"
        [keys] = objects(stack, "Secret")
        assert set(keys.inputs["stringData"]) == {"admin-password", "secret-key"}

    def test_it_tells_nobody_anything_installs_nothing_and_alerts_nobody(self, stack: Rendered) -> None:
        said = ini(tree(stack)["grafana.ini"])
        assert {said["analytics"][key] for key in said["analytics"]} == {"false"}
        assert said["plugins"]["preinstall_disabled"] == "true"
        assert said["unified_alerting"]["enabled"] == "false"
        assert said["log"]["mode"] == "console"

    def test_what_it_writes_to_are_empty_folders(self, stack: Rendered) -> None:
        [pod] = [pod for pod in templates(stack) if pod.component == "grafana"]
        [container] = pod.spec["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {"/tmp", "/var/lib/grafana"}

    def test_cookies_are_for_https_alone_where_that_is_its_address(self) -> None:
        assert ini(configuration(Grafana(root_url="https://grafana.example.com/"), None))["security"]["cookie_secure"] == "true"
        assert ini(configuration(Grafana(), None))["security"]["cookie_secure"] == "false"

    def test_only_prometheus_is_asked_where_a_panel_names_nobody(self) -> None:
        made = [provisioned(DataSource(kind=kind, url="http://x:1", client_labels={})) for kind in ("prometheus", "loki", "alertmanager")]
        assert [source["isDefault"] for source in made] == [True, False, False]


class TestWhoMayReachIt:
    def reached(self, said: dict[str, Any]) -> bool:
        edge = {"namespaces": ["gateway"], "ranges": ["10.9.0.0/24"]}
        whole = {"tier": "staging", "cluster": NAMED, "logs": {"where": "cluster"}, "grafana": {"where": "cluster", **said}, "edge": edge}
        stack = Rendered("reach", resolve("reach", whole), render("reach", whole))
        [pod] = [pod for pod in templates(stack) if pod.component == "grafana"]
        return stack.network.admits("10.9.0.7", pod.labels, 3000)

    def test_nobody_unless_it_says_so(self) -> None:
        assert not self.reached({})

    def test_those_of_the_edge_where_it_has_an_address(self) -> None:
        assert self.reached({"edge": True, "root_url": "https://grafana.example.com/"})


class TestRefusals:
    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            (
                {"logs": {"where": "none"}, "metrics": {"where": "none"}, "canary": {"where": "none"}},
                "grafana.where: 'cluster': there is nothing to look at",
            ),
            ({"grafana": {"edge": True}}, "grafana.root_url: who comes from the edge needs an address"),
            (
                {"grafana": {"edge": True, "root_url": "https://g.example.com"}, "edge": {"where": "none"}},
                "grafana.edge: True: lets in whom `edge` names",
            ),
            ({"grafana": {"root_url": "grafana.example.com"}}, "expected an address such as https://grafana.example.com/"),
            ({"grafana": {"dashboards": ["../x.json"]}}, "expected a path inside the repository"),
        ],
    )
    def test_what_could_not_work_is_refused(self, said: dict[str, Any], sentence: str) -> None:
        base: dict[str, Any] = {
            "tier": "staging",
            "cluster": NAMED,
            **UNWATCHED,
            "logs": {"where": "cluster"},
            "edge": {"namespaces": ["gateway"]},
        }
        grafana = {"where": "cluster", **said.get("grafana", {})}
        with pytest.raises(SettingsError) as refused:
            resolve("x", {**base, **said, "grafana": grafana})
        assert sentence in str(refused.value)


def test_no_value_of_a_secret_is_in_what_is_provisioned(stack: Rendered) -> None:
    text = "".join(tree(stack).values())
    assert not any(value in text for value in SECRETS.values())

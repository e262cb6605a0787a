"""Elasticsearch as a stack runs it: its heap, its configuration, who gets in."""

from typing import Any

import pytest
import yaml

from components import elasticsearch
from components.kube.passwords import account, generations
from components.site import Site
from settings import resolve
from settings.backing import Elasticsearch
from tests.unit.test_contract import NAMED, Rendered, rendered, templates

STACK: dict[str, Any] = {"tier": "staging", "cluster": NAMED}


def said(**more: Any) -> Elasticsearch:
    return Elasticsearch.model_validate({"where": "cluster", **more})


def configuration(**more: Any) -> dict[str, Any]:
    site = Site.of(resolve("staging", STACK), "staging")
    return yaml.safe_load(elasticsearch.configuration(said(**more), site))


def everything() -> Rendered:
    return rendered("everything")


@pytest.mark.parametrize(
    ("settings", "mebibytes"),
    [
        ({"resources": {"memory": "4Gi"}}, 2048),
        ({"resources": {"memory": "128Gi"}}, 31 * 1024),
        ({"resources": {"memory": "4Gi"}, "heap": "1Gi"}, 1024),
    ],
)
def test_the_heap_is_half_of_the_memory_below_31_gib_unless_said_otherwise(settings: dict[str, Any], mebibytes: int) -> None:
    assert elasticsearch.heap_bytes(said(**settings)) == mebibytes * 2**20
    site = Site.of(resolve("staging", STACK), "staging")
    options = elasticsearch.files(said(**settings), site)["jvm.options"].splitlines()
    assert {f"-Xms{mebibytes}m", f"-Xmx{mebibytes}m"} <= set(options)


def test_several_nodes_find_each_other_by_name_and_one_alone_looks_for_nobody() -> None:
    three = configuration(members=3)
    assert three["discovery.seed_hosts"] == [f"elasticsearch-{number}.elasticsearch-members:9300" for number in range(3)]
    assert "discovery.type" not in three
    one = configuration(members=1)
    assert one["discovery.type"] == "single-node" and "discovery.seed_hosts" not in one


def test_lines_are_encrypted_on_both_ports_and_nobody_is_let_in_without_a_password() -> None:
    made = configuration()
    assert made["xpack.security.enabled"] is made["xpack.security.http.ssl.enabled"] is made["xpack.security.transport.ssl.enabled"] is True
    assert made["xpack.security.authc.reserved_realm.enabled"] is False, "or the superuser's password would have to be set"
    assert not [key for key in made if "anonymous" in key]


def test_files_are_not_mapped_because_that_needs_a_setting_of_the_machine() -> None:
    assert configuration()["node.store.allow_mmap"] is False


def test_the_app_may_do_everything_with_indices_and_nothing_with_the_cluster() -> None:
    roles = yaml.safe_load((elasticsearch.FILES / "roles.yml").read_text())
    assert roles["app"]["indices"] == [{"names": ["*"], "privileges": ["all"]}]
    assert not {"all", "manage", "manage_security"} & set(roles["app"]["cluster"])


def test_the_monitors_account_reads_figures_of_all_and_documents_of_none() -> None:
    roles = yaml.safe_load((elasticsearch.FILES / "roles.yml").read_text())
    figures = {"cluster": ["monitor", "monitor_snapshot"], "indices": [{"names": ["*"], "privileges": ["monitor"]}]}
    assert roles["monitor"] == figures


def test_the_account_of_the_generation_before_is_still_let_in() -> None:
    assert [account("app", generation) for generation in generations(1)] == ["app"]
    assert [account("app", generation) for generation in generations(3)] == ["app-3", "app-2"]


def test_only_nodes_that_were_never_in_a_cluster_may_form_one() -> None:
    [pod] = [pod for pod in templates(everything()) if pod.component == "elasticsearch"]
    env = {one["name"]: one.get("value") for one in pod.spec["containers"][0]["env"]}
    assert env["FIRST_MEMBERS"] == "elasticsearch-0,elasticsearch-1,elasticsearch-2"
    assert "data/_state" in (elasticsearch.FILES / "start.sh").read_text()


def test_the_app_finds_it_by_https_with_the_stacks_own_authority() -> None:
    stack = everything()
    [config] = [one for one in stack.of("Secret") if one.name.startswith("app-config")]
    values = config.inputs["stringData"]
    assert values["ELASTICSEARCH_URL"].startswith("https://app:") and values["ELASTICSEARCH_URL"].endswith("@elasticsearch:9200")
    assert (values["ELASTICSEARCH_TLS"], values["ELASTICSEARCH_CA_FILE"]) == ("verify-full", "/etc/switchyard/ca/elasticsearch.pem")
    [trusted] = [one for one in stack.of("ConfigMap") if one.name.startswith("app-ca")]
    assert trusted.inputs["data"] == {"elasticsearch.pem": "certificate authority-certificate"}


def test_broker_and_search_share_one_authority() -> None:
    assert [one.name for one in everything().resources if one.type.endswith(":SelfSignedCert")] == ["authority-certificate"]


def test_memory_is_requested_in_full() -> None:
    [pod] = [pod for pod in templates(everything()) if pod.component == "elasticsearch"]
    resources = pod.spec["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "4Gi"

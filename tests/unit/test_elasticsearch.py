"""Elasticsearch as a stack runs it: its heap, its configuration, who gets in."""

import re
from typing import Any

import pytest
import yaml

from components import elasticsearch_configuration
from components.kube.passwords import account
from components.site import Site
from settings import SettingsError, resolve
from settings.elasticsearch import Elasticsearch
from tests.unit.rendering import render
from tests.unit.test_contract import BUCKET, NAMED, Rendered, rendered, templates

STACK: dict[str, Any] = {"tier": "staging", "cluster": NAMED}


def said(**more: Any) -> Elasticsearch:
    return Elasticsearch.model_validate({"where": "cluster", **more})


def configuration(**more: Any) -> dict[str, Any]:
    site = Site.of(resolve("staging", STACK), "staging")
    return yaml.safe_load(elasticsearch_configuration.configuration(said(**more), site))


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
    assert said(**settings).heap_bytes == mebibytes * 2**20
    site = Site.of(resolve("staging", STACK), "staging")
    options = elasticsearch_configuration.files(said(**settings), site)["jvm.options"].splitlines()
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


def test_files_are_mapped_on_nodes_that_are_prepared_for_it() -> None:
    assert configuration(prepared_nodes=True)["node.store.allow_mmap"] is True


def test_a_disk_is_never_filled() -> None:
    free = {key.rpartition(".")[2]: value for key, value in configuration(volume={"size": "50Gi"}).items() if "watermark" in key}
    assert free == {"low": "7680mb", "high": "5120mb", "flood_stage": "2560mb"}


def test_another_version_runs_another_image_and_the_app_is_told_of_it() -> None:
    assert (said().image, said(version="8.17.4").image) == ("elasticsearch", "elasticsearch-8.17.4")
    [pod] = [pod for pod in templates(rendered("real-cluster")) if pod.component == "elasticsearch"]
    assert pod.spec["containers"][0]["image"].endswith("/elasticsearch-8.17.4:latest")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"version": "8.19"}, "elasticsearch.version: '8.19': expected three numbers, as upstream names its images: 8.19.21"),
    (
        {"version": "7.17.29"},
        "elasticsearch.version: '7.17.29': expected 8.9 or later, and below 9: the nodes' configuration is that of 8, tried with 8.19.21. "
        "An older server stays where it is (where: external) until what it holds is indexed anew",
    ),
    (
        {"volume": {"size": "1023Mi"}},
        "elasticsearch.volume.size: '1023Mi': expected at least 1Gi: 512Mi of it stay free, below which a node takes no shard",
    ),
    (
        {"snapshots": {}},
        "elasticsearch.snapshots.repository.type: 'fs' by default: 3 nodes write one repository together, and a volume belongs to the pod "
        "of one: say type: s3 and a bucket, or elasticsearch.members: 1",
    ),
    (
        {"snapshots": {"repository": {"type": "s3"}}},
        "elasticsearch.snapshots.repository.type: 's3': needs s3: {bucket, endpoint, access_key, secret_key}",
    ),
    (
        {"snapshots": {"repository": {"type": "s3", "s3": {"bucket": "one", "endpoint": "s3.example.com"}}}},
        "elasticsearch.snapshots.repository.s3: expected access_key and secret_key, the names of two secrets: the nodes have no identity "
        "of their own",
    ),
    (
        {"snapshots": {"repository": {"type": "s3", "s3": BUCKET | {"ranges": []}}}},
        "elasticsearch.snapshots.repository.s3.ranges: expected a list of at least 1 item, not 0",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED)
def test_what_could_not_run_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve("x", {**STACK, "elasticsearch": {"where": "cluster", **settings}})
    assert [one.partition(": ")[2] for one in caught.value.problems] == [sentence]


def test_the_sandbox_has_one_version() -> None:
    with pytest.raises(SettingsError, match=r"the sandbox has 8\.19\.21 alone"):
        resolve("x", {"tier": "sandbox", "elasticsearch": {"where": "cluster", "version": "8.17.4"}})


class TestSnapshots:
    def test_the_jobs_account_takes_and_deletes_snapshots_and_does_nothing_else(self) -> None:
        roles = yaml.safe_load((elasticsearch_configuration.FILES / "roles.yml").read_text())
        assert roles["snapshots"].keys() == {"cluster"}
        actions = {"cluster:admin/repository/put", "cluster:admin/snapshot/create", "cluster:admin/snapshot/delete"}
        assert set(roles["snapshots"]["cluster"]) == {"monitor_snapshot", *actions}

    def test_who_restores_reads_no_document(self) -> None:
        roles = yaml.safe_load((elasticsearch_configuration.FILES / "roles.yml").read_text())
        assert roles["operator"]["indices"] == [{"names": ["*"], "privileges": ["manage"]}]

    def test_a_repository_on_a_volume_is_one_that_outlives_the_node(self) -> None:
        stack = rendered("real-cluster")
        [volume] = stack.of("PersistentVolumeClaim")
        assert volume.inputs["spec"]["resources"]["requests"]["storage"] == "20Gi"
        assert volume.inputs["spec"]["storageClassName"] == "ssd"
        [pod] = [pod for pod in templates(stack) if pod.component == "elasticsearch"]
        assert {"name": "snapshots", "persistentVolumeClaim": {"claimName": "elasticsearch-snapshots"}} in pod.spec["volumes"]
        assert configuration(members=1, snapshots={})["path.repo"] == ["/usr/share/elasticsearch/snapshots"]

    def test_the_buckets_keys_reach_the_servers_keystore_as_files(self) -> None:
        stack = everything()
        [pod] = [pod for pod in templates(stack) if pod.component == "elasticsearch"]
        [keystore] = [one for one in stack.of("Secret") if one.name.startswith("elasticsearch-keystore")]
        assert keystore.inputs["stringData"].keys() == {"s3.client.default.access_key", "s3.client.default.secret_key"}
        assert {"name": "keystore", "mountPath": "/run/secrets/elasticsearch-keystore", "readOnly": True} in pod.spec["containers"][0][
            "volumeMounts"
        ]
        assert "/run/secrets/elasticsearch-keystore/*" in (elasticsearch_configuration.FILES / "start.sh").read_text()

    def test_the_bucket_is_reached_where_it_is(self) -> None:
        made = configuration(snapshots={"repository": {"type": "s3", "s3": BUCKET | {"endpoint": "http://minio.example.com:9000"}}})
        assert {key: value for key, value in made.items() if key.startswith("s3.")} == {
            "s3.client.default.endpoint": "minio.example.com:9000",
            "s3.client.default.protocol": "http",
            "s3.client.default.region": "us-east-1",
            "s3.client.default.path_style_access": True,
        }
        [policy] = [one for one in everything().of("NetworkPolicy") if one.name == "elasticsearch-repository"]
        assert policy.inputs["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": 443}]

    def test_the_free_space_of_its_volume_is_told_as_well(self) -> None:
        said = {"tier": "sandbox", "metrics": {"where": "cluster"}}
        stack = Rendered("sandbox", resolve("sandbox", said), render("sandbox", said))
        [pod] = [pod for pod in templates(stack) if pod.component == "elasticsearch"]
        [exporter] = [one for one in pod.spec["initContainers"] if one["name"] == "volume"]
        assert {mount["name"] for mount in exporter["volumeMounts"]} == {"data", "snapshots"}
        [included] = [word.partition("=")[2] for word in exporter["command"] if "mount-points-include" in word]
        assert all(re.fullmatch(included, mount["mountPath"]) for mount in exporter["volumeMounts"])

    def test_the_job_may_reach_the_nodes(self) -> None:
        [pod] = [pod for pod in templates(everything()) if pod.component == "elasticsearch-snapshots"]
        assert pod.labels["switchyard.dev/client-of-elasticsearch"] == "true"


def test_a_node_of_several_tells_the_others_that_it_comes_back() -> None:
    def stops(stack: str) -> list[bool]:
        return ["lifecycle" in pod.spec["containers"][0] for pod in templates(rendered(stack)) if pod.component == "elasticsearch"]

    assert (stops("everything"), stops("real-cluster")) == ([True], [False])


def test_the_app_may_do_everything_with_indices_and_nothing_with_the_cluster() -> None:
    roles = yaml.safe_load((elasticsearch_configuration.FILES / "roles.yml").read_text())
    assert roles["app"]["indices"] == [{"names": ["*"], "privileges": ["all"]}]
    assert not {"all", "manage", "manage_security"} & set(roles["app"]["cluster"])


def test_the_monitors_account_reads_figures_of_all_and_documents_of_none() -> None:
    roles = yaml.safe_load((elasticsearch_configuration.FILES / "roles.yml").read_text())
    figures = {"cluster": ["monitor", "monitor_snapshot"], "indices": [{"names": ["*"], "privileges": ["monitor"]}]}
    assert roles["monitor"] == figures


def test_the_account_of_the_generation_before_is_still_let_in() -> None:
    assert [account("app", generation) for generation in said().accepted] == ["app"]
    assert [account("app", generation) for generation in said(rotation=3).accepted] == ["app-3", "app-2"]
    assert [account("app", generation) for generation in said(rotation=3, revoked=2).accepted] == ["app-3"]


def test_only_nodes_that_were_never_in_a_cluster_may_form_one() -> None:
    [pod] = [pod for pod in templates(everything()) if pod.component == "elasticsearch"]
    env = {one["name"]: one.get("value") for one in pod.spec["containers"][0]["env"]}
    assert env["FIRST_MEMBERS"] == "elasticsearch-0,elasticsearch-1,elasticsearch-2"
    assert "data/_state" in (elasticsearch_configuration.FILES / "start.sh").read_text()


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

"""Where the lines of a stack are kept: Loki as it is configured, who reaches it, and what is refused."""

from typing import Any

import pytest
import yaml

from cli import logs as logs_command
from cli import loki as loki_client
from components import loki
from settings import SettingsError, resolve
from settings.logs import Logs
from tests.unit.rendering import render
from tests.unit.stacks import UNWATCHED
from tests.unit.test_contract import NAMED, Rendered, rendered, templates
from tools.errors import UserError

COLLECTOR = {"app.kubernetes.io/component": "collector"}


def settings(logs: dict[str, Any], **more: Any) -> Any:
    return resolve("own", {"tier": "staging", "cluster": NAMED, **UNWATCHED, "logs": logs, **more})


def configuration(**said: Any) -> dict[str, Any]:
    return yaml.safe_load(loki.configuration(Logs.model_validate({"where": "cluster", **said})))


def refused(logs: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(logs)
    return str(caught.value)


class TestConfiguration:
    def test_nothing_is_taken_or_told_without_a_tenant(self) -> None:
        assert configuration()["auth_enabled"] is True

    def test_lines_are_deleted_by_age_and_by_nobody_who_asks(self) -> None:
        made = configuration(retention="14d")
        assert made["compactor"]["retention_enabled"] is True and made["compactor"]["delete_request_store"] == "filesystem"
        assert made["limits_config"]["retention_period"] == "336h"
        assert made["limits_config"]["deletion_mode"] == "disabled"

    def test_labels_are_few_and_a_pods_name_is_none(self) -> None:
        attributes = made = configuration()["limits_config"]["otlp_config"]["resource_attributes"]
        assert attributes["ignore_defaults"] is True
        assert made["attributes_config"] == [{"action": "index_label", "attributes": ["component", "container", "level"]}]

    def test_one_stream_is_refused_before_the_tenant_is_and_not_split_to_get_past_its_limit(self) -> None:
        limits = configuration(limits={"rate": "8Mi", "stream_rate": "1Mi"})["limits_config"]
        assert (limits["per_stream_rate_limit"], limits["ingestion_rate_mb"]) == (2**20, 8)
        assert limits["shard_streams"] == {"enabled": False}

    def test_a_long_line_is_cut(self) -> None:
        limits = configuration()["limits_config"]
        assert limits["max_line_size"] == 256 * 1024 and limits["max_line_size_truncate"] is True

    def test_it_reports_nothing_to_its_makers(self) -> None:
        assert configuration()["analytics"] == {"reporting_enabled": False}

    def test_an_object_store_takes_the_place_of_the_disk(self) -> None:
        made = configuration(storage="s3", s3={"bucket": "logs", "endpoint": "http://minio.example.com:9000"})
        assert (
            made["common"]["storage"]["s3"] | {"bucketnames": "logs", "endpoint": "minio.example.com:9000", "insecure": True}
            == (made["common"]["storage"]["s3"])
        )
        assert made["schema_config"]["configs"][0]["object_store"] == made["compactor"]["delete_request_store"] == "s3"


class TestStack:
    def test_the_clusters_collector_reaches_it_and_nobody_else_of_another_namespace(self) -> None:
        stack = rendered("everything")
        [policy] = [one for one in stack.of("NetworkPolicy") if one.name == "loki-collector-in"]
        [rule] = policy.inputs["spec"]["ingress"]
        namespaces = {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]: peer["podSelector"]["matchLabels"]
            for peer in rule["from"]
        }
        assert namespaces == {"switchyard-cluster": COLLECTOR, "lamp-other": {"switchyard.dev/client-of-loki": "true"}}
        assert [port["port"] for port in rule["ports"]] == [3100]

    def test_the_namespace_says_where_its_lines_are_kept_and_whose_there_are(self) -> None:
        [namespace] = rendered("everything").of("Namespace")
        assert namespace.inputs["metadata"]["labels"]["switchyard.dev/logs"] == "lamp-everything"
        components = namespace.inputs["metadata"]["annotations"]["switchyard.dev/components"].split(",")
        pods = {pod.component for pod in templates(rendered("everything"))}
        assert set(components) == pods

    def test_a_stack_that_would_share_its_own_is_refused(self) -> None:
        assert "logs.namespace: 'lamp-own': is this stack's own, which runs no Loki" in refused(
            {"where": "shared", "namespace": "lamp-own"}
        )

    def test_a_stack_that_shares_anothers_has_none_and_says_whose(self) -> None:
        made = Rendered("own", settings({"where": "shared", "namespace": "lamp-big"}), [])
        stack = Rendered("own", made.settings, render("own", {"tier": "staging", "cluster": NAMED, **UNWATCHED, "logs": SHARED}))
        [namespace] = stack.of("Namespace")
        assert namespace.inputs["metadata"]["labels"]["switchyard.dev/logs"] == "lamp-big"
        assert not [one for one in stack.of("StatefulSet") if one.kube_name == "loki"]
        assert stack.settings.image_names() == settings({"where": "none"}).image_names()

    def test_the_keys_of_an_object_store_are_a_file_and_no_variable(self) -> None:
        stack = rendered("real-cluster")
        [pod] = [pod for pod in templates(stack) if pod.component == "loki"]
        [container] = [one for one in pod.containers if one["name"] == "loki"]
        assert {"name": "AWS_SHARED_CREDENTIALS_FILE", "value": "/run/secrets/loki/credentials"} in container["env"]
        [keys] = [one for one in stack.of("Secret") if one.name.startswith("loki-store")]
        assert keys.inputs["stringData"]["credentials"].splitlines()[1].startswith("aws_access_key_id = generated-secret-")
        assert stack.network.lets_out(pod.labels, "198.51.100.7", 443)
        assert not stack.network.lets_out(pod.labels, "198.51.100.7", 80)

    def test_with_a_disk_of_its_own_it_dials_nobody(self) -> None:
        stack = rendered("everything")
        [pod] = [pod for pod in templates(stack) if pod.component == "loki"]
        assert not any(stack.network.lets_out(pod.labels, "198.51.100.7", port) for port in (80, 443))

    def test_a_running_loki_keeps_the_size_of_its_volume(self) -> None:
        from settings.fixed import servers

        assert [server.key for server in servers(rendered("everything").settings) if server.name == "loki"] == ["logs"]


SHARED = {"where": "shared", "namespace": "lamp-big"}


class TestRefusals:
    def test_retention_without_the_disk_for_it_shows_the_arithmetic(self) -> None:
        assert (
            "logs.volume.size: '10Gi': 2Gi a day x 0.35 compressed x (14 + 1 days) = 10.5Gi, and the write-ahead log takes up to the "
            "memory, 512Mi: 11Gi in all, and 0.9 of the volume is 9Gi; expected a larger volume, a shorter retention, fewer lines a day, "
            "or storage: s3"
        ) in refused({"where": "cluster", "daily": "2Gi", "volume": {"size": "10Gi"}})

    @pytest.mark.parametrize(("size", "fits"), [("1100Mi", False), ("1200Mi", True)])
    def test_what_just_fits_is_taken(self, size: str, fits: bool) -> None:
        said = {"where": "cluster", "daily": "100Mi", "volume": {"size": size}}
        # 100Mi x 0.35 x 15 + 512Mi = 1037Mi, of which 0.9 must be had.
        if fits:
            settings(said)
        else:
            assert "logs.volume.size" in refused(said)

    def test_with_an_object_store_the_volume_only_buffers(self) -> None:
        store = {"bucket": "logs", "endpoint": "s3.example.com"}
        settings({"where": "cluster", "storage": "s3", "s3": store, "daily": "100Gi", "volume": {"size": "1Gi"}})
        text = refused({"where": "cluster", "storage": "s3", "s3": store, "volume": {"size": "512Mi"}})
        assert "the write-ahead log takes up to the memory, 512Mi: 512Mi in all" in text

    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            ({"where": "shared"}, "logs.where: 'shared': needs namespace: that of the stack whose Loki keeps the lines"),
            ({"where": "cluster", "namespace": "lamp-big"}, "logs.namespace: 'lamp-big': is read with where: shared alone"),
            ({"where": "cluster", "retention": "36h"}, "logs.retention: '36h': expected whole days such as 14d"),
            ({"where": "cluster", "storage": "s3"}, "logs.storage: 's3': needs s3: {bucket, endpoint, access_key, secret_key}"),
            (
                {"where": "cluster", "storage": "s3", "s3": {"bucket": "logs", "endpoint": "s3.example.com", "access_key": "ID"}},
                "logs.s3: expected both access_key and secret_key",
            ),
        ],
    )
    def test_each_refusal_names_its_key(self, said: dict[str, Any], sentence: str) -> None:
        assert sentence in refused(said)


class Answering:
    """A Loki on this machine that has these lines, and gives at most PAGE of them."""

    def __init__(self, lines: list[loki_client.Line]) -> None:
        self.lines, self.asked = lines, list[int]()

    def ask(self, path: str, **params: Any) -> Any:
        assert path == "/loki/api/v1/query_range" and params["direction"] == "forward"
        self.asked.append(params["start"])
        found = [line for line in self.lines if params["start"] <= line.at < params["end"]][: params["limit"]]
        return {"data": {"result": [{"stream": {"pod": line.pod}, "values": [[str(line.at), line.text]]} for line in found]}}


class TestPrinting:
    def test_pages_follow_each_other_without_a_gap_or_a_line_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loki_client, "PAGE", 3)
        # Two lines of one moment, one on each side of the end of a page.
        lines = [loki_client.Line(at, "web-1", f"line {number}") for number, at in enumerate([10, 20, 30, 30, 40, 50, 60])]
        server = Answering(lines)
        monkeypatch.setattr(loki_client.Loki, "ask", lambda self, path, **params: server.ask(path, **params))
        assert list(loki_client.Loki("http://loki", "lamp", "lamp").lines("{}", 0, 100)) == lines
        assert server.asked == [0, 30, 40, 60]

    @pytest.mark.parametrize(
        ("component", "text", "asked"),
        [
            ("web", None, '{component="web"}'),
            (None, None, '{container=~".+"}'),
            ("web", 'a "quoted" \\ ü', '{component="web"} |= "a \\"quoted\\" \\\\ ü"'),
        ],
    )
    def test_the_question_names_component_and_text(self, component: str | None, text: str | None, asked: str) -> None:
        assert loki_client.query(component, text) == asked

    def test_a_line_of_the_cluster_reads_as_one_of_lokis(self) -> None:
        raw = "[pod/web-7d9f8b6c5d-x2x4z/app] 2026-11-22T10:00:00.123456789Z Started GET\n"
        line = logs_command.parsed(raw)
        assert line and line.shown() == "2026-11-22T10:00:00.123Z web-7d9f8b6c5d-x2x4z  Started GET"
        assert logs_command.parsed("error: no such container") is None

    def test_an_unknown_component_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(UserError, match="stack sandbox has no component 'wep' - did you mean web\\?; it has postgres, web"):
            logs_command.refuse_unknown("wep", ["postgres", "web"], "sandbox")

"""A preview of every stack file as it stands, by the real engine, without a cluster."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.engine.deployed import IMAGES, WATCHING
from tests.engine.project import Preview, Project
from tests.unit.stacks import UNWATCHED

STACKS = ("sandbox", "staging", "production")
SENTINEL = "hunter2-Do-Not-Print"


@pytest.fixture(scope="module")
def previews(make_project: Callable[[], Project]) -> Iterator[dict[str, Preview]]:
    """Every stack file of the repository, previewed once."""
    project = make_project()
    made: dict[str, Preview] = {}
    for stack in STACKS:
        project.init(stack)
        made[stack] = project.preview(stack)
    yield made


@pytest.mark.parametrize("stack", STACKS)
class TestAStackFileAsItStands:
    def test_it_previews(self, previews: dict[str, Preview], stack: str) -> None:
        preview = previews[stack]
        assert preview.code == 0, preview.text
        assert preview.errors == []
        assert {step["op"] for step in preview.steps} == {"create"}

    def test_it_makes_all_that_the_settings_name(self, previews: dict[str, Preview], stack: str) -> None:
        preview = previews[stack]
        members = 1 if stack == "sandbox" else 3
        assert preview.named("StatefulSet", "postgres")["spec"]["replicas"] == members
        assert preview.named("StatefulSet", "mqtt")["spec"]["replicas"] == members
        for name in ("web", "consumer", "sidekiq-alerts"):
            assert preview.named("Deployment", name)["spec"]["replicas"] >= 1
        assert preview.named("Namespace", f"lamp-{stack}")

    def test_it_lists_what_is_lacking_to_bring_it_up(self, previews: dict[str, Preview], stack: str) -> None:
        warnings = "\n".join(previews[stack].warnings)
        assert "cluster.context is not set" in warnings
        for image in [*IMAGES, *(name for name in WATCHING if name != "grafana" or stack != "sandbox")]:
            assert f"image {image} has no digest" in warnings

    def test_everything_goes_through_the_one_provider_of_the_stack(self, previews: dict[str, Preview], stack: str) -> None:
        for one in previews[stack].resources:
            if one["type"].startswith("kubernetes:"):
                assert "pulumi:providers:kubernetes::cluster::" in one["provider"], one["urn"]

    def test_no_resource_is_a_chart_a_file_of_yaml_or_a_kind_that_the_cluster_may_lack(
        self, previews: dict[str, Preview], stack: str
    ) -> None:
        known = ("kubernetes:", "random:", "tls:", "switchyard:index:", "pulumi:providers:", "pulumi:pulumi:Stack")
        for one in previews[stack].resources:
            assert one["type"].startswith(known), one["type"]
            assert not one["type"].startswith(("kubernetes:helm", "kubernetes:yaml", "kubernetes:kustomize", "kubernetes:apiextensions"))


def test_staging_and_production_differ_in_sizes_and_names_alone(previews: dict[str, Preview]) -> None:
    def shape(stack: str) -> list[tuple[str, str]]:
        made = [one for one in previews[stack].resources if not one["type"].startswith("pulumi:")]
        # A digest in a name is of what a stack says, its namespace included.
        names = [one["urn"].rsplit("::", 1)[-1].replace(stack, "STACK") for one in made]
        return sorted((one["type"], re.sub(r"-[0-9a-f]{10}$", "", name)) for one, name in zip(made, names, strict=True))

    assert shape("staging") == shape("production")


def test_settings_of_the_stack_file_reach_the_resources_through_all_layers(project: Project) -> None:
    project.init("staging")
    project.say("staging", {"postgres": {"members": 1, "resources": {"memory": "768Mi"}}, "namespace": "elsewhere"})
    preview = project.preview("staging")
    assert preview.code == 0, preview.text
    postgres = preview.named("StatefulSet", "postgres")
    assert postgres["spec"]["replicas"] == 1
    assert postgres["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "768Mi"
    assert postgres["metadata"]["namespace"] == "elsewhere"


def test_a_product_without_consumer_and_broker_is_a_valid_stack(project: Project) -> None:
    project.init("staging")
    project.say("staging", {**UNWATCHED, "consumer": {"where": "none"}, "mqtt": {"where": "none"}})
    preview = project.preview("staging")
    assert preview.code == 0, preview.text
    assert [one["urn"] for one in preview.resources if re.search(r"mqtt|consumer|authority", one["urn"])] == []
    assert preview.named("Deployment", "web")


def test_a_product_whose_services_are_all_external_previews_and_asks_for_their_secrets(project: Project) -> None:
    project.init("staging")
    project.say(
        "staging",
        {
            **UNWATCHED,
            "consumer": {"where": "none"},
            "mqtt": {"where": "none"},
            "postgres": {"where": "external", "external": {"host": "db.example.com", "port": 5432, "user": "u", "password": "DB_PASSWORD"}},
            "redis": {"jobs": {"where": "external", "external": {"host": "redis.example.com", "port": 6380, "password": "REDIS_PASSWORD"}}},
        },
    )
    preview = project.preview("staging")
    assert preview.code == 0, preview.text
    assert "StatefulSet" not in preview.kinds()
    for name in ("DB_PASSWORD", "REDIS_PASSWORD"):
        assert any(f"secret {name} is missing" in warning for warning in preview.warnings)


class TestSecrets:
    def test_a_secret_is_encrypted_in_the_stack_file_and_nowhere_shown(self, project: Project) -> None:
        project.init("staging")
        project.say("staging", {"app": {"secrets": ["SENTRY_DSN"]}})
        project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "staging", given=SENTINEL)
        assert "secure:" in (project.folder / "Pulumi.staging.yaml").read_text()
        preview = project.preview("staging", "--show-secrets=false")
        assert preview.code == 0, preview.text
        assert not any("SENTRY_DSN" in warning for warning in preview.warnings)
        plain = project.pulumi("preview", "--stack", "staging", "--diff")
        for said in (preview.text, plain.text, (project.folder / "Pulumi.staging.yaml").read_text()):
            assert SENTINEL not in said

    def test_another_value_of_a_secret_gives_the_release_another_configuration(self, project: Project) -> None:
        project.init("staging")
        project.say("staging", {"app": {"secrets": ["SENTRY_DSN"]}})
        names = list[str]()
        for value in ("one", "two", "one"):
            project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "staging", given=value)
            web = project.preview("staging").named("Deployment", "web")
            names.append(web["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"])
        assert names[0] == names[2] != names[1]


class TestTheUsersOwnCluster:
    def test_a_stack_that_names_no_cluster_asks_none(self, project: Project, tmp_path: Path) -> None:
        asked = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(60)
            threading.Thread(target=lambda: accept(listener, asked), daemon=True).start()
            kubeconfig = tmp_path / "kubeconfig"
            kubeconfig.write_text(yaml.safe_dump(kubeconfig_of(f"https://127.0.0.1:{listener.getsockname()[1]}")))
            project.init("staging")
            preview = project.preview("staging", env={"KUBECONFIG": str(kubeconfig)})
        assert preview.code == 0, preview.text
        assert not asked.is_set()


def test_a_placement_is_previewed_although_the_cluster_that_could_refuse_it_does_not_answer(project: Project, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_of("https://127.0.0.1:1")))
    project.init("staging")
    cluster = {"identifier": "company-staging", "kubeconfig": str(kubeconfig), "context": "company"}
    project.say("staging", {"cluster": cluster, "placement": {"node_selector": {"pool": "apps"}}, **UNWATCHED})
    preview = project.preview("staging")
    assert preview.code == 0, preview.text
    assert preview.named("StatefulSet", "postgres")["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "apps"}
    assert not any("pool=apps" in warning for warning in preview.warnings)


def accept(listener: socket.socket, asked: threading.Event) -> None:
    try:
        listener.accept()[0].close()
    except OSError:
        return
    asked.set()


def kubeconfig_of(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "company",
        "contexts": [{"name": "company", "context": {"cluster": "company", "user": "me"}}],
        "clusters": [{"name": "company", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {}}],
    }


def test_the_preview_is_json_that_a_pipeline_can_read(previews: dict[str, Preview]) -> None:
    assert json.loads(json.dumps(previews["staging"].steps)) == previews["staging"].steps

"""Bad input: a clear sentence from the real engine, and nothing changed."""

import re
from pathlib import Path

import pytest
import yaml

from tests.engine.deployed import IMAGES, WATCHING
from tests.engine.project import Project
from tests.engine.test_preview import kubeconfig_of

PINNED = {name: f"registry.example.com/{name}@sha256:{'0' * 64}" for name in (*IMAGES, *WATCHING)}


@pytest.fixture
def staging(project: Project) -> Project:
    project.init("staging")
    return project


def test_up_without_cluster_secret_and_digests_is_refused_with_all_of_them_and_changes_nothing(staging: Project) -> None:
    staging.say("staging", {"app": {"secrets": ["SENTRY_DSN"]}})
    result = staging.pulumi("up", "--yes", "--skip-preview", "--stack", "staging")
    assert result.code != 0
    assert "cluster.context is not set" in result.text
    assert "secret SENTRY_DSN is missing: set it with `pulumi -s staging config set --secret SENTRY_DSN`" in result.text
    assert "image lamp has no digest" in result.text
    assert "Traceback" not in result.text
    assert staging.state("staging") == []


def test_an_unreachable_cluster_is_named_and_nothing_is_changed(staging: Project, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_of("https://127.0.0.1:1")))
    cluster = {"identifier": "company-staging", "kubeconfig": str(kubeconfig), "context": "company"}
    staging.say("staging", {"cluster": cluster, "images": {"pinned": PINNED}})
    result = staging.pulumi("up", "--yes", "--skip-preview", "--stack", "staging")
    assert result.code != 0
    assert "cluster company-staging can not be reached (context company)" in result.text
    assert "Traceback" not in result.text
    assert staging.state("staging") == []


def test_a_context_that_the_kubeconfig_does_not_have_is_named(staging: Project, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_of("https://127.0.0.1:1")))
    cluster = {"identifier": "company-staging", "kubeconfig": str(kubeconfig), "context": "compny"}
    staging.say("staging", {"cluster": cluster, "images": {"pinned": PINNED}})
    result = staging.pulumi("up", "--yes", "--skip-preview", "--stack", "staging")
    assert result.code != 0
    assert "compny" in result.text
    assert "Traceback" not in result.text
    assert staging.state("staging") == []


def test_every_mistake_in_a_stack_file_is_named_at_once_and_no_resource_is_registered(staging: Project) -> None:
    staging.say("staging", {"postgres": {"membres": 3}, "web": {"web": {"port": 70000}}, "rediss": {}})
    preview = staging.preview("staging")
    assert preview.code != 0
    said = "\n".join(preview.errors)
    assert 'postgres.membres: unknown key - did you mean "members"?' in said
    assert "web.web.port: 70000: expected a number less than or equal to 65535" in said
    assert re.search(r'Pulumi\.staging\.yaml:\d+: rediss: unknown key - did you mean "redis"', said)
    assert "Pulumi.staging.yaml:" in said
    assert "Traceback" not in preview.text
    assert [one["type"] for one in preview.resources if one["type"] != "pulumi:pulumi:Stack"] == []


def test_a_stack_of_an_unknown_tier_is_told_the_tiers(staging: Project) -> None:
    staging.say("staging", {"tier": "prod"})
    preview = staging.preview("staging")
    assert preview.code != 0
    assert any("tier: 'prod': is no tier; expected one of sandbox, testing" in error for error in preview.errors)


def test_a_secret_that_nobody_asks_for_is_refused(staging: Project) -> None:
    staging.ok("config", "set", "--secret", "STRIPE_SECRET", "--stack", "staging", given="hunter2-Do-Not-Print")
    preview = staging.preview("staging")
    assert preview.code != 0
    assert any("STRIPE_SECRET: no part of the stack asks for this secret" in error for error in preview.errors)
    assert "hunter2" not in preview.text

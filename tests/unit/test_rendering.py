"""The renderer: plain manifests of a stack, with no secret in them and the same in every run."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cli.render import write
from rendering import SECRET, Rendered, RenderingError, Resource, render
from rendering.processes import run
from rendering.program import GENERATED
from settings import SettingsError
from settings.loader import ROOT
from tools.errors import UserError


@pytest.fixture(scope="module")
def production() -> Rendered:
    return render("production")


def test_two_runs_render_the_same(production):
    assert render("production") == production


def test_a_rendered_stack_survives_json(production):
    assert Rendered.from_json(json.loads(json.dumps(production.as_json()))) == production


def test_every_value_of_every_secret_is_a_placeholder(production):
    secrets = [one for one in production.objects() if one["kind"] == "Secret"]
    assert len(secrets) >= 3
    assert {value for one in secrets for value in one["stringData"].values()} == {SECRET}


def test_no_generated_value_is_left_in_any_resource(production):
    assert GENERATED not in json.dumps(production.as_json())


def test_every_object_is_one_that_kubectl_can_read(production):
    for one in production.objects():
        assert one["apiVersion"] and one["kind"] and one["metadata"]["name"], one
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "lamp-production"


def test_the_logical_name_leaves_the_contents_digest_out():
    made = Resource(type="kubernetes:core/v1:ConfigMap", name="postgres-0123456789", parent="", inputs={})
    assert (made.logical_name, made.kind) == ("postgres", "ConfigMap")
    assert Resource(type="kubernetes:apps/v1:Deployment", name="app-web", parent="", inputs={}).logical_name == "app-web"


def test_a_human_secret_changes_nothing_but_the_names_of_what_holds_it(tmp_path: Path):
    document = yaml.safe_load((ROOT / "Pulumi.production.yaml").read_text())
    document["config"]["switchyard:SENTRY_DSN"] = {"secure": "v1:nonce:ciphertext"}
    document["config"]["switchyard:app"] = {"secrets": ["SENTRY_DSN"]}
    file = tmp_path / "Pulumi.production.yaml"
    file.write_text(yaml.safe_dump(document))
    made = render("production", ROOT, file)
    config = next(one for one in made.resources if one.kind == "Secret" and one.logical_name == "app-config")
    assert config.inputs["stringData"]["SENTRY_DSN"] == SECRET
    assert "ciphertext" not in json.dumps(made.as_json())


def test_wrong_settings_are_told_as_settings(tmp_path: Path):
    file = tmp_path / "Pulumi.production.yaml"
    file.write_text("config: {'switchyard:tier': production, 'switchyard:cluster': {identifier: c}, 'switchyard:postgres': {membres: 3}}\n")
    with pytest.raises(SettingsError, match="membres: unknown key"):
        render("production", ROOT, file)


def test_a_stack_without_a_file_is_refused():
    with pytest.raises(SettingsError, match="there is no such stack"):
        render("nowhere")


def test_a_program_that_fails_or_dies_is_an_error_and_never_a_hang():
    with pytest.raises(RenderingError, match="ZeroDivisionError"):
        run(_divide, 0)
    with pytest.raises(RenderingError, match="without an answer"):
        run(os._exit, 3)


def _divide(by: int) -> float:
    return 1 / by


def test_the_module_prints_several_stacks_as_json():
    argv = [sys.executable, "-m", "rendering", "staging", "production"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name: Rendered.from_json(said).namespace for name, said in json.loads(done.stdout).items()} == {
        "staging": "lamp-staging",
        "production": "lamp-production",
    }


class TestWriting:
    def test_a_file_an_object_and_a_second_time_without_what_is_gone(self, production, tmp_path: Path):
        write(production, tmp_path / "out")
        files = sorted(path.name for path in (tmp_path / "out").glob("*.yaml"))
        assert len(files) == len(production.objects())
        assert yaml.safe_load((tmp_path / "out" / "deployment-web.yaml").read_text())["kind"] == "Deployment"
        (tmp_path / "out" / "mine.yaml").write_text("mine")
        write(replace(production, resources=tuple(one for one in production.resources if one.kind != "Deployment")), tmp_path / "out")
        left = sorted(path.name for path in (tmp_path / "out").glob("*.yaml"))
        assert left == sorted(["mine.yaml", *(name for name in files if not name.startswith("deployment-"))])

    def test_a_folder_with_something_else_in_it_is_left_alone(self, production, tmp_path: Path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(UserError, match="there is something else in it"):
            write(production, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

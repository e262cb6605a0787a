"""What the real `pulumi config` writes into a stack's file: the program and the editors' schema read it."""

from collections.abc import Callable

import jsonschema
import pytest
import yaml

from settings.loader import read_stack_file
from settings.schema import modeline, schemas
from tests.engine.project import Project

SECRET = "hunter2-Do-Not-Print"


@pytest.fixture(scope="module")
def staging(make_project: Callable[[], Project]) -> Project:
    project = make_project()
    project.init("staging")
    return project


def written(project: Project) -> str:
    return (project.folder / "Pulumi.staging.yaml").read_text()


def test_the_line_that_names_the_schema_survives_pulumi_config_set(staging: Project) -> None:
    first = modeline("stack.json", staging.folder, staging.folder)
    assert written(staging).splitlines()[0] == first
    staging.ok("config", "set", "--path", "switchyard:cluster.context", "company", "--stack", "staging")
    staging.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "staging", given=SECRET)
    staging.ok("config", "set", "--path", "switchyard:app.secrets[0]", "SENTRY_DSN", "--stack", "staging")
    assert written(staging).splitlines()[0] == first


def test_what_pulumi_writes_passes_the_schema_and_the_loader(staging: Project) -> None:
    staging.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "staging", given=SECRET)
    staging.ok("config", "set", "--path", "switchyard:app.secrets[0]", "SENTRY_DSN", "--stack", "staging")
    jsonschema.validate(yaml.safe_load(written(staging)), schemas()["stack.json"])
    said, others = read_stack_file(staging.folder / "Pulumi.staging.yaml")
    assert (said["app"], others) == ({"secrets": ["SENTRY_DSN"]}, ["SENTRY_DSN"])


def test_a_secret_inside_an_object_is_refused_by_the_program_and_not_repeated(project: Project) -> None:
    project.init("staging")
    project.ok("config", "set", "--secret", "--path", "switchyard:postgres.external.password", "--stack", "staging", given=SECRET)
    preview = project.preview("staging")
    assert preview.code != 0
    assert any("Pulumi.staging.yaml: postgres: a secret lies inside an object" in error for error in preview.errors), preview.text
    assert SECRET not in preview.text

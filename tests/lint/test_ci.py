"""What CI runs: the workflow files are right by actionlint and by GitHub's and GitLab's schemas, and keep our own rules."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import toolchain

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
GITLAB = [ROOT / ".gitlab-ci.yml", *sorted((ROOT / ".gitlab").glob("*.yml"))]
SCRIPTS = sorted((ROOT / "ci").iterdir())
IN_BASH = [script for script in SCRIPTS if script.read_text().startswith("#!/usr/bin/env bash\n")]
ONE_FOR_BOTH = {"check", "sameness", "scan", "affected", "preview", "comment", "up", "smoke", "testing-stack", "drift", "expired", "post"}

SCHEMAS = {
    "gitlab-ci": (GITLAB, ("--data-transform", "gitlab-ci")),
    "github-workflows": (WORKFLOWS, ()),
    "github-actions": (ACTIONS, ()),
}


def ok(*argv: object, given: str | None = None) -> str:
    words = [str(word) for word in argv]
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=ROOT, env=env, input=given, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.timeout(300)
def test_actionlint_finds_nothing_in_the_workflows_nor_in_their_shell_commands() -> None:
    actionlint = toolchain.ensure(["actionlint"]).program("actionlint")
    ok(actionlint, "-shellcheck", BIN / "shellcheck", "-pyflakes=", *WORKFLOWS)


def test_actionlint_would_find_what_is_wrong() -> None:
    actionlint = toolchain.ensure(["actionlint"]).program("actionlint")
    wrong = "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.event.pull_request.title }}\n"
    done = subprocess.run([str(actionlint), "-"], input=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "potentially untrusted" in done.stdout


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_files_follow_the_schema(schema: str) -> None:
    files, options = SCHEMAS[schema]
    assert files
    ok(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *options, *files)


@pytest.mark.parametrize("kind", ["preview", "up", "drift"])
@pytest.mark.parametrize("stacks", ["", "staging\nproduction\n", '["staging", "production"]\n'])
def test_the_child_pipelines_follow_the_schema_and_extend_what_is_there(kind: str, stacks: str, tmp_path: Path) -> None:
    text = ok(ROOT / "ci" / "gitlab-jobs", kind, given=stacks)
    file = tmp_path / "child.yml"
    file.write_text(text)
    ok(BIN / "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", file)
    shared = yaml.safe_load((ROOT / ".gitlab" / "jobs.yml").read_text())
    jobs = {name: job for name, job in yaml.safe_load(text).items() if name != "include"}
    assert len(jobs) == (1 if not stacks else 3 if kind == "preview" else 2)
    assert {job["extends"] for job in jobs.values() if "extends" in job} <= shared.keys()


def test_resellers_come_one_after_the_other_each_with_its_lock() -> None:
    jobs = yaml.safe_load(ok(ROOT / "ci" / "gitlab-jobs", "up", given="canary\nsecond\nthird\n"))
    assert [jobs[f"up {name}"]["needs"] for name in ("canary", "second", "third")] == [[], ["up canary"], ["up second"]]
    assert [jobs[f"up {name}"]["resource_group"] for name in ("canary", "second")] == ["pulumi-canary", "pulumi-second"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_can_be_run_by_hand_and_says_what_it_does(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert os.access(script, os.X_OK)
    if script in IN_BASH:
        assert lines[1].startswith("# ")
        assert "set -euo pipefail" in lines
    else:
        assert lines[:1] == ["#!/usr/bin/env python3"]
        assert lines[1].startswith('"""')
    assert len(lines) <= 200


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    ok(BIN / "shellcheck", *IN_BASH, ROOT / ".ci" / "run")


def test_github_and_gitlab_run_the_same_scripts() -> None:
    for files in (WORKFLOWS, GITLAB):
        called = set(re.findall(r"\bci/([\w-]+)", "\n".join(file.read_text() for file in files)))
        assert called >= ONE_FOR_BOTH
        assert called <= {script.name for script in SCRIPTS}


def jobs() -> list[Any]:
    return [
        pytest.param(file.name, job, id=f"{file.name}: {name}")
        for file in WORKFLOWS
        for name, job in yaml.safe_load(file.read_text())["jobs"].items()
    ]


@pytest.mark.parametrize(("file", "job"), jobs())
class TestAJob:
    def test_it_ends_by_itself_one_day(self, file: str, job: dict[str, Any]) -> None:
        assert "uses" in job or job["timeout-minutes"] <= 120

    def test_what_changes_a_stack_has_the_lock_of_that_stack_and_is_never_stopped_in_the_middle(
        self, file: str, job: dict[str, Any]
    ) -> None:
        runs = "\n".join(step.get("run", "") for step in job.get("steps", []))
        if re.search(r"ci/(up|testing-stack)\b", runs):
            assert job["concurrency"]["group"].startswith("pulumi-")
            assert job["concurrency"]["cancel-in-progress"] is False
            assert "exec ci/" in runs

    def test_secrets_are_given_only_where_an_environment_guards_them_and_to_no_fork(self, file: str, job: dict[str, Any]) -> None:
        if "secrets." in str(job):
            assert "environment" in job
            assert file != "checks.yml"

    def test_no_text_from_outside_is_pasted_into_a_command(self, file: str, job: dict[str, Any]) -> None:
        assert not [step for step in job.get("steps", []) if "${{" in step.get("run", "")]

    def test_a_checkout_leaves_no_token_behind(self, file: str, job: dict[str, Any]) -> None:
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_can_not_be_turned_against_us(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    # YAML 1.1 reads `on` as true.
    assert "pull_request_target" not in workflow[True]
    assert workflow["permissions"]["contents"] == "read"
    assert workflow["defaults"]["run"]["shell"] == "bash"
    if "pull_request" in workflow[True] and file.name != "checks.yml":
        first = next(iter(workflow["jobs"].values()))
        assert first["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
        assert all(job is first or "needs" in job for job in workflow["jobs"].values())


def test_only_actions_of_github_itself_are_used() -> None:
    used = {one for file in (*WORKFLOWS, *ACTIONS) for one in re.findall(r"uses: (\S+)", file.read_text())}
    assert {one for one in used if not one.startswith("./")} == {
        "actions/cache@v5",
        "actions/checkout@v6",
        "actions/download-artifact@v7",
        "actions/setup-go@v6",
        "actions/setup-python@v6",
        "actions/upload-artifact@v6",
    }


def test_what_changes_a_stack_on_gitlab_has_its_lock_and_is_not_interruptible() -> None:
    jobs = yaml.safe_load(GITLAB[0].read_text())
    changing = {name: job for name, job in jobs.items() if name.startswith("up ") or "ci/testing-stack" in str(job)}
    assert set(changing) == {"up staging", "up production", "testing stack", "no testing stack"}
    for job in changing.values():
        assert job["resource_group"].startswith("pulumi-")
        assert "interruptible" not in job
    assert yaml.safe_load(GITLAB[1].read_text())["default"]["interruptible"] is False

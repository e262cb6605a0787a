"""What the comment says of real changes: previews by the real engine of a stack that counts as brought up."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from reports.preview import StackPreview, markdown
from reports.risk import Risk
from settings.loader import ROOT
from tests.engine.deployed import IMAGES, bring_up, digest
from tests.engine.project import Project
from tests.unit.stacks import UNWATCHED

STACK = "staging"
SENTINEL = "hunter2-Do-Not-Print"


@pytest.fixture(scope="module")
def deployed(make_project: Callable[[], Project]) -> Project:
    """A checkout whose staging counts as brought up, with a secret of a human's."""
    project = make_project()
    edge = {"where": "none", "namespaces": ["envoy-gateway-system"]}
    project.say(STACK, {**UNWATCHED, "edge": edge, "app": {"secrets": ["SENTRY_DSN"]}})
    bring_up(project, STACK, {"SENTRY_DSN": f"{SENTINEL}-of-before"})
    return project


class Trying:
    """The deployed stack with other settings, for as long as one preview takes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.file = project.folder / f"Pulumi.{STACK}.yaml"

    def json(self, said: Mapping[str, Any], *words: str, secret: str = "") -> str:
        before = self.file.read_text()
        try:
            self.project.say(STACK, said)
            if secret:
                self.project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", STACK, given=secret)
            return self.project.pulumi("preview", "--json", "--stack", STACK, *words).output
        finally:
            self.file.write_text(before)

    def preview(self, said: Mapping[str, Any], *words: str, secret: str = "") -> StackPreview:
        return StackPreview.read(STACK, self.json(said, *words, secret=secret))


@pytest.fixture(scope="module")
def trying(deployed: Project) -> Trying:
    return Trying(deployed)


def named(preview: StackPreview, risk: Risk) -> list[str]:
    return [f"{change.op} {change.kind} {change.name}" for change in preview.at(risk)]


def test_a_stack_as_it_was_brought_up_changes_nothing(trying: Trying) -> None:
    preview = trying.preview({})
    assert (preview.changes, preview.errors) == ((), ())
    assert "no changes" in markdown([preview])


def test_a_deploy_restarts_the_consumer_and_puts_nothing_else_at_risk(trying: Trying) -> None:
    pinned = {name: f"registry.example.com/{name}@{digest('2' if name == 'lamp' else '1')}" for name in IMAGES}
    preview = trying.preview({"images": {"pinned": pinned}})
    assert named(preview, Risk.CONSUMER) == ["update Deployment consumer"]
    assert {change.kind for change in preview.at(Risk.REST)} == {"Deployment", "Job"}
    assert [preview.at(risk) for risk in (Risk.DATA, Risk.PORT, Risk.SECRET)] == [[], [], []]
    assert f"`registry.example.com/lamp@{digest('1')}` → `registry.example.com/lamp@{digest('2')}`" in markdown([preview])


def test_another_namespace_replaces_what_holds_data(trying: Trying) -> None:
    data = named(trying.preview({"namespace": "elsewhere"}), Risk.DATA)
    assert data == [
        "delete Namespace lamp-staging",
        "replace StatefulSet mqtt",
        "replace StatefulSet postgres",
        "replace StatefulSet redis-jobs",
    ]


def test_a_broker_that_is_turned_off_is_refused_and_the_comment_says_so_and_what_it_would_have_deleted(trying: Trying) -> None:
    preview = trying.preview({"mqtt": {"where": "none"}, "consumer": {"where": "none"}, "canary": {"where": "none"}})
    assert named(preview, Risk.DATA) == ["delete StatefulSet mqtt"]
    assert named(preview, Risk.CONSUMER) in ([], ["delete Deployment consumer"])
    text = markdown([preview])
    assert "the preview failed" in text
    assert "delete StatefulSet `mqtt`" in text
    assert "protect" in "".join(preview.errors)


def test_a_namespace_that_may_send_requests_opens_a_port_and_one_that_may_no_longer_does_not(trying: Trying) -> None:
    wider = trying.preview({"edge": {"where": "none", "namespaces": ["envoy-gateway-system", "another"]}})
    assert named(wider, Risk.PORT) == ["update NetworkPolicy app-web-edge"]
    assert wider.at(Risk.PORT)[0].opens == ("ingress from namespace another on port 3000",)
    narrower = trying.preview({"edge": {"where": "none", "namespaces": []}})
    assert narrower.changes
    assert narrower.at(Risk.PORT) == []


def test_another_secret_of_a_human_changes_a_secret_and_restarts_what_reads_it(trying: Trying) -> None:
    preview = trying.preview({}, secret=f"{SENTINEL}-of-after")
    # Both are named by what they hold, so which comes first is chance.
    assert sorted(change.op for change in preview.at(Risk.SECRET)) == ["create", "delete"]
    assert named(preview, Risk.CONSUMER) == ["update Deployment consumer"]


def test_a_rotated_password_changes_a_secret_of_the_database(trying: Trying) -> None:
    kinds = {change.kind for change in trying.preview({"postgres": {"rotation": 2}}).at(Risk.SECRET)}
    assert {"RandomPassword", "Secret"} <= kinds


@pytest.mark.parametrize("words", [(), ("--show-secrets",)], ids=["masked by the engine", "told to show secrets"])
def test_no_secret_of_the_stack_is_in_the_comment_nor_in_its_summary(trying: Trying, words: tuple[str, ...]) -> None:
    said = {"postgres": {"rotation": 2}, "redis": {"jobs": {"rotation": 2}}, "namespace": "elsewhere"}
    preview = trying.preview(said, *words, secret=f"{SENTINEL}-of-after")
    assert preview.changes
    state = json.loads(trying.project.ok("stack", "export", "--show-secrets", "--stack", STACK))
    secrets = {SENTINEL, *plaintexts(state)}
    assert len(secrets) > 20
    for text in (markdown([preview], 10_000_000), preview.brief()):
        assert [secret for secret in secrets if secret in text] == []


def plaintexts(state: object) -> set[str]:
    """Return every secret string of a state that was exported in clear."""
    if isinstance(state, list):
        return {text for one in state for text in plaintexts(one)}
    if not isinstance(state, dict):
        return set()
    if "plaintext" not in state:
        return {text for one in state.values() for text in plaintexts(one)}
    return {text for text in strings(json.loads(state["plaintext"])) if len(text) > 12}


def strings(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return {text for one in inner for text in strings(one)}


def test_a_stack_that_does_not_load_says_why_in_the_comment(trying: Trying) -> None:
    preview = trying.preview({"nonsense": 1})
    text = markdown([preview])
    assert "the preview failed" in text
    assert "nonsense: unknown key" in text


def test_the_command_makes_the_same_comment_of_a_preview_and_of_its_summary(trying: Trying, tmp_path: Path) -> None:
    raw = trying.json({"edge": {"where": "none", "namespaces": ["another"]}})
    brief = sy("comment", "--stack", STACK, "--brief", given=raw)
    assert "newState" not in brief
    (tmp_path / "staging.json").write_text(brief)
    direct = sy("comment", "--stack", STACK, given=raw)
    assert direct.startswith("<!-- switchyard-preview -->\n")
    assert "another" in direct
    assert sy("comment", f"{STACK}={tmp_path / 'staging.json'}") == direct


def sy(*words: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words], cwd=ROOT, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""The scripts in ci/, run as a CI machine runs them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.engine.machine import Machine

SENTINEL = "hunter2-Do-Not-Print"
TOKEN = "a-token-of-the-tests"
MARKER = "<!-- switchyard-preview -->"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("ci") / "home")


@pytest.fixture
def clean(machine: Machine) -> Iterator[Machine]:
    """The machine, whose checkout is as it was cloned again afterwards."""
    start = machine.git("rev-parse", "HEAD")
    yield machine
    machine.git("reset", "--quiet", "--hard", start)
    machine.git("clean", "--quiet", "-fd")


@pytest.mark.timeout(600)
def test_lint_and_unit_tests_run_in_a_clean_clone(machine: Machine) -> None:
    said = machine.ok("ci/check", "-k", "format or reached_from_outside")
    assert said.count("1 passed") == 2, said


@pytest.mark.timeout(600)
def test_another_product_is_not_held_against_the_unit_tests_of_the_demo(clean: Machine) -> None:
    file = clean.checkout / "product.yaml"
    file.write_text(file.read_text().replace("product: lamp", "product: shop"))
    result = clean.run("ci/check", "-k", "format")
    assert result.code == 0, result.text
    assert "1 passed" in result.output and "unit tests are left out" in result.text


@pytest.mark.timeout(600)
def test_rendering_parity_and_budget_need_no_secret(clean: Machine) -> None:
    without = {"PULUMI_BACKEND_URL": "", "PULUMI_CONFIG_PASSPHRASE_FILE": ""}
    result = clean.run("ci/sameness", "manifests", env=without)
    assert result.code == 0, result.text
    assert "identical" in result.output
    for stack in ("staging", "production"):
        assert list((clean.checkout / "manifests" / stack).glob("*"))


@pytest.mark.timeout(600)
def test_a_stack_that_differs_fails_the_job_and_the_budget_is_said_all_the_same(clean: Machine) -> None:
    file = clean.checkout / "Pulumi.production.yaml"
    file.write_text(file.read_text() + "  switchyard:app: {config: {ONLY_HERE: '1'}}\n")
    result = clean.run("ci/sameness")
    assert result.code == 1, result.text
    assert "ONLY_HERE" in result.output
    assert "requests" in result.output.lower()


@pytest.mark.timeout(600)
class TestAffected:
    def commit(self, machine: Machine, name: str, text: str) -> str:
        base = machine.git("rev-parse", "HEAD")
        file = machine.checkout / name
        file.write_text(file.read_text() + text)
        machine.git("commit", "--quiet", "--all", "--message", "A change")
        return base

    def test_a_change_of_one_stack_names_that_stack(self, clean: Machine) -> None:
        base = self.commit(clean, "Pulumi.production.yaml", "  switchyard:app: {config: {ONLY_HERE: '1'}}\n")
        assert json.loads(clean.ok("ci/affected", base)) == ["production"]

    def test_a_change_of_words_names_none(self, clean: Machine) -> None:
        base = self.commit(clean, "README.md", "\nMore.\n")
        assert json.loads(clean.ok("ci/affected", base)) == []


class TestStacks:
    def test_staging_and_production_come_first_and_the_sandbox_not_at_all(self, machine: Machine) -> None:
        assert machine.ok("ci/stacks").split()[:2] == ["staging", "production"]
        assert "sandbox" not in machine.ok("ci/stacks").split()

    def test_resellers_are_what_follows_production_canaries_first(self, clean: Machine) -> None:
        text = (clean.checkout / "Pulumi.production.yaml").read_text()
        for name, tier in (("azure", "production"), ("lime", "small"), ("pr-1", "testing"), ("second-staging", "staging")):
            (clean.checkout / f"Pulumi.{name}.yaml").write_text(text.replace("tier: production", f"tier: {tier}"))
        (clean.checkout / "Pulumi.trial.yaml").write_text(text.replace("company-production", "sandbox"))
        assert clean.ok("ci/stacks", "--resellers").split() == ["azure", "lime"]
        assert clean.ok("ci/stacks", "--resellers", env={"SWITCHYARD_CANARIES": "lime, other"}).split() == ["lime", "azure"]
        assert json.loads(clean.ok("ci/stacks", "--resellers", "--json")) == ["azure", "lime"]


@pytest.mark.timeout(600)
class TestPreview:
    def test_it_leaves_a_summary_without_secrets_of_which_one_comment_is_made(self, clean: Machine) -> None:
        file = clean.checkout / "Pulumi.staging.yaml"
        file.write_text(file.read_text() + "  switchyard:app: {secrets: [SENTRY_DSN]}\n")
        clean.ok("./sy", "pulumi", "-s", "staging", "stack", "init", "staging", "--no-select")
        clean.ok("./sy", "pulumi", "-s", "staging", "config", "set", "--secret", "SENTRY_DSN", given=SENTINEL)
        result = clean.run("ci/preview", "staging", "previews/staging.json")
        assert result.code == 0, result.text
        said = json.loads((clean.checkout / "previews" / "staging.json").read_text())
        assert (said["stack"], said["new"], said["errors"]) == ("staging", True, [])
        comment = clean.ok("ci/comment", "previews")
        assert comment.startswith(f"{MARKER}\n## Preview of 1 stack\n")
        assert "`staging`: a new installation" in comment
        for text in (result.text, json.dumps(said), comment):
            assert SENTINEL not in text

    def test_one_that_fails_fails_the_job_and_is_in_the_comment(self, clean: Machine) -> None:
        file = clean.checkout / "Pulumi.production.yaml"
        file.write_text(file.read_text() + "  switchyard:nonsense: 1\n")
        assert clean.run("ci/preview", "production", "previews/production.json").code != 0
        comment = clean.ok("ci/comment", "previews")
        assert "**the preview failed**" in comment

    def test_a_change_that_alters_no_stack_has_a_comment_too(self, clean: Machine) -> None:
        assert "alters no stack" in clean.ok("ci/comment", "previews")


def test_drift_that_can_not_be_known_is_an_alert(clean: Machine) -> None:
    file = clean.checkout / "Pulumi.production.yaml"
    file.write_text(file.read_text() + "  switchyard:nonsense: 1\n")
    result = clean.run("ci/drift", "production")
    assert result.code == 1
    assert result.output.startswith("<!-- switchyard-drift-production -->\n# Drift not known: `production`\n")
    assert "nonsense" in result.output


def test_up_says_what_the_stack_lacks_and_changes_nothing(machine: Machine) -> None:
    result = machine.run("ci/up", "production")
    assert result.code == 2
    assert "cluster.context is not set" in result.errors


@pytest.mark.parametrize("words", [("up", "x"), ("down", "1;ls"), ("up",), ("sideways", "1"), ("up", "0")])
def test_a_testing_stack_is_named_by_a_number_alone(machine: Machine, words: tuple[str, ...]) -> None:
    result = machine.run("ci/testing-stack", *words)
    assert (result.code, result.output) == (2, "")
    assert "usage" in result.errors


class Service(ThreadingHTTPServer):
    """As much of GitHub's and GitLab's API as a comment takes, kept in a list."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.texts: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def answer(self, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def said(self) -> dict[str, Any]:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.tokens.add(self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or "")
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def do_GET(self) -> None:
        self.said()
        page = int(self.path.rpartition("page=")[2]) if "page=" in self.path else 1
        self.answer({"id": 7} if self.path.endswith("/user") else self.server.texts[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        number = len(self.server.texts) + 1
        mine = {"id": number, "number": number, "iid": number, "user": {"type": "Bot"}, "author": {"id": 7}}
        self.server.texts.append({**mine, "html_url": f"text-{number}", "web_url": f"text-{number}", **self.said()})
        self.answer(self.server.texts[-1])

    def do_PATCH(self) -> None:
        number = int(self.path.rpartition("/")[2])
        self.server.texts[number - 1] |= self.said()
        self.answer(self.server.texts[number - 1])

    do_PUT = do_PATCH

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def github(machine: Machine, service: Service) -> dict[str, str]:
    event = machine.home / "event.json"
    event.write_text('{"number": 12}')
    return {
        "GITHUB_API_URL": service.url,
        "GITHUB_REPOSITORY": "company/lamps",
        "GITHUB_EVENT_PATH": str(event),
        "SWITCHYARD_COMMENT_TOKEN": TOKEN,
    }


@pytest.fixture
def gitlab(service: Service) -> dict[str, str]:
    variables = {"GITLAB_CI": "true", "CI_API_V4_URL": service.url, "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "12"}
    return {**variables, "SWITCHYARD_COMMENT_TOKEN": TOKEN}


@pytest.mark.parametrize("where", ["github", "gitlab"])
class TestPosting:
    def file(self, machine: Machine, text: str) -> str:
        path = machine.home / "text.md"
        path.write_text(f"{MARKER}\n{text}\n")
        return str(path)

    def test_there_is_one_comment_whatever_is_pushed(
        self, machine: Machine, service: Service, where: str, request: pytest.FixtureRequest
    ) -> None:
        env = request.getfixturevalue(where)
        for text in ("first", "second"):
            machine.ok("ci/post", "comment", self.file(machine, text), env=env)
        assert [one["body"] for one in service.texts] == [f"{MARKER}\nsecond\n"]
        assert service.tokens == {f"Bearer {TOKEN}" if where == "github" else TOKEN}
        assert not [asked for asked in service.asked if TOKEN in asked]

    def test_somebody_who_copies_the_marker_keeps_the_comment_and_ours_is_found_behind_a_hundred_others(
        self, machine: Machine, service: Service, where: str, request: pytest.FixtureRequest
    ) -> None:
        env = request.getfixturevalue(where)
        human = {"user": {"type": "User"}, "author": {"id": 8}, "body": f"{MARKER}\na human's"}
        service.texts = [{"id": number + 1, **human} for number in range(150)]
        for text in ("first", "second"):
            machine.ok("ci/post", "comment", self.file(machine, text), env=env)
        assert len(service.texts) == 151
        assert service.texts[-1]["body"] == f"{MARKER}\nsecond\n"
        assert service.texts[0]["body"] == f"{MARKER}\na human's"

    def test_drift_is_one_issue_that_is_closed_when_it_is_gone(
        self, machine: Machine, service: Service, where: str, request: pytest.FixtureRequest
    ) -> None:
        env, key = request.getfixturevalue(where), "body" if where == "github" else "description"
        file = self.file(machine, "drift")
        assert "nothing to close" in machine.ok("ci/post", "close", file, "Drift of staging", env=env)
        for _ in range(2):
            machine.ok("ci/post", "issue", file, "Drift of staging", env=env)
        machine.ok("ci/post", "close", self.file(machine, "gone"), "Drift of staging", env=env)
        assert len(service.texts) == 1
        assert service.texts[0][key] == f"{MARKER}\ngone\n"
        assert service.texts[0].get("state") == "closed" or service.texts[0].get("state_event") == "close"

    def test_a_text_without_a_marker_is_not_posted(
        self, machine: Machine, service: Service, where: str, request: pytest.FixtureRequest
    ) -> None:
        file = machine.home / "other.md"
        file.write_text("hello\n")
        result = machine.run("ci/post", "comment", str(file), env=request.getfixturevalue(where))
        assert (result.code, service.texts) == (2, [])
        assert "no marker" in result.errors


def test_the_kubeconfig_of_a_secret_is_in_a_file_that_only_its_owner_reads(machine: Machine, tmp_path: Path) -> None:
    variables = tmp_path / "variables"
    variables.touch()
    machine.ok("ci/credentials", env={"KUBECONFIG_TEXT": SENTINEL, "RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(variables)})
    file = tmp_path / "kubeconfig"
    assert variables.read_text() == f"KUBECONFIG={file}\n"
    assert (file.read_text(), oct(file.stat().st_mode & 0o777)) == (f"{SENTINEL}\n", "0o600")

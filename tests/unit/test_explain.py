"""`sy explain` says where each value comes from, and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import explain as command
from cli.__main__ import main
from cli.root import root
from settings.loader import ROOT

SENTINEL = "hunter2-Do-Not-Print"
STACK = """\
config:
  switchyard:tier: staging
  switchyard:cluster: {identifier: company}
  switchyard:postgres:
    members: 5
    volume:
      size: 40Gi
  switchyard:web:
    web: {threads: null}
  switchyard:app:
    secrets: [SENTRY_DSN, STRIPE_KEY]
    config: {PROXY: "http://hunter2-Do-Not-Print@proxy", API_KEY: hunter2-Do-Not-Print}
  switchyard:SENTRY_DSN:
    secure: v1:hunter2-Do-Not-Print
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiers = tmp_path / "settings" / "tiers"
    tiers.mkdir(parents=True)
    (tmp_path / "product.yaml").write_text("product: lamp\nweb:\n  web:\n    command: [puma]\n    threads: 4\npostgres: {members: 1}\n")
    (tiers / "staging.yaml").write_text("web:\n  web: {threads: 6}\n")
    (tmp_path / "Pulumi.blue.yaml").write_text(STACK)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


def explained(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(root, ["explain", "-s", "blue", "--json", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def line(*words: str) -> str:
    return CliRunner().invoke(root, ["explain", "-s", "blue", *words], catch_exceptions=False).output


@pytest.mark.usefixtures("project")
class TestOrigins:
    def test_a_value_has_its_layer_its_line_and_what_it_overrode(self) -> None:
        [said] = explained("postgres.members").values()
        assert said == {
            "value": 5,
            "layer": "Pulumi.blue.yaml",
            "line": 5,
            "overrides": [
                {"value": 1, "layer": "product.yaml", "line": 6},
                {"value": 3, "layer": "code default", "line": None},
            ],
        }

    def test_what_nobody_says_is_the_codes(self) -> None:
        [said] = explained("postgres.major").values()
        assert (said["value"], said["layer"], said["overrides"]) == (17, "code default", [])

    def test_null_brings_the_codes_default_back_and_is_named(self) -> None:
        [said] = explained("web.web.threads").values()
        assert (said["value"], said["layer"]) == (5, "code default")
        assert [(one["layer"], one["line"], one["value"]) for one in said["overrides"]] == [
            ("Pulumi.blue.yaml", 9, None),
            ("settings/tiers/staging.yaml", 2, 6),
            ("product.yaml", 5, 4),
        ]

    def test_a_default_of_a_part_is_that_of_its_place(self) -> None:
        assert explained("postgres.resources.memory")["postgres.resources.memory"]["value"] == "1Gi"
        assert explained("redis") == {"redis": {"value": {}, "layer": "code default", "line": None, "overrides": []}}

    def test_a_line_of_text_says_the_same(self) -> None:
        assert line("postgres.volume.size") == 'postgres.volume.size  "40Gi"  Pulumi.blue.yaml:7  over "10Gi" (code default)\n'

    def test_a_part_shows_all_that_is_in_it_and_nothing_else(self) -> None:
        assert {key.partition(".")[0] for key in explained("postgres")} == {"postgres"}
        assert "postgres.volume.size" in explained("postgres")

    def test_everything_is_shown_without_a_key(self) -> None:
        assert {"tier", "web.web.command", "mqtt.where", "SENTRY_DSN"} <= set(explained())


@pytest.mark.usefixtures("project")
class TestSecrets:
    def test_a_secret_is_set_or_missing(self) -> None:
        assert explained("secrets") == {"SENTRY_DSN": {"secret": "set"}, "STRIPE_KEY": {"secret": "missing"}}

    @pytest.mark.parametrize("words", [(), ("--json",), ("app",), ("app.config.PROXY",), ("SENTRY_DSN",)])
    def test_no_secret_is_ever_shown(self, words: tuple[str, ...]) -> None:
        text = line(*words)
        assert text
        assert SENTINEL not in text


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["postgres.membrs"], "there is no setting 'postgres.membrs' - did you mean \"postgres.members\"?"),
            (["xyz", "-s", "green"], "there is no stack 'green'"),
        ],
    )
    def test_one_sentence_says_what_is_meant(
        self, project: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert project
        assert main(["explain", "-s", "blue", *words]) == 2
        assert sentence in capsys.readouterr().err

    def test_a_stack_that_is_wrong_says_what_is_wrong(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (project / "Pulumi.blue.yaml").write_text(STACK.replace("members: 5", "membres: 5"))
        assert main(["explain", "-s", "blue"]) == 2
        assert "Pulumi.blue.yaml:5: postgres.membres: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize("stack", ["sandbox", "staging", "production"])
def test_every_setting_of_the_repositorys_stacks_has_an_origin_that_exists(stack: str) -> None:
    settings, _ = command.effective(stack)
    assert len(settings) > 100
    for one in settings:
        assert one.origin.layer == "code default" or (ROOT / one.origin.layer).is_file()
        assert one.origin.line or one.origin.layer == "code default", one.key

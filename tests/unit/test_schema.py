"""What is generated from the settings is current, and editors refuse what the loader refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from cli import schema as command
from cli.root import root
from settings import SettingsError, resolve
from settings.loader import ROOT, read_stack_file
from settings.schema import modeline, schemas

STACK, LAYER = schemas()["stack.json"], schemas()["layer.json"]
FILES = {
    **{path.name: "stack.json" for path in sorted(ROOT.glob("Pulumi.?*.yaml"))},
    "product.yaml": "layer.json",
    **{f"settings/tiers/{path.name}": "layer.json" for path in sorted((ROOT / "settings" / "tiers").glob("*.yaml"))},
}


def accepted(document: Any, schema: dict[str, Any]) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(document)


def test_what_is_generated_is_kept_in_the_repository_as_it_must_be_now() -> None:
    assert command.stale() == [], "run ./sy schema"


def test_check_exits_2_and_names_what_is_out_of_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    done = CliRunner().invoke(root, ["schema", "--check"])
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "docs/reference.md" in done.output


def test_schema_writes_what_is_out_of_date_and_then_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert CliRunner().invoke(root, ["schema"]).exit_code == 0
    assert CliRunner().invoke(root, ["schema", "--check"]).exit_code == 0


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(schemas()[name])


@pytest.mark.parametrize(("file", "schema"), FILES.items())
def test_every_settings_file_of_the_repository_passes_and_names_its_schema(file: str, schema: str) -> None:
    text = (ROOT / file).read_text()
    line = modeline(schema, (ROOT / file).parent, ROOT)
    # A fork's file begins with whose fork it is.
    assert line in text.splitlines()[:3]
    assert (ROOT / file).parent.joinpath(line.partition("$schema=")[2]).is_file()
    jsonschema.validate(yaml.safe_load(text), schemas()[schema])


SECRET = {"secure": "v1:abc:def"}
CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("nothing more", {}, True),
    ("a quantity", {"postgres": {"resources": {"memory": "1.5Gi"}}}, True),
    ("an exponent", {"postgres": {"volume": {"size": "12e9"}}}, True),
    ("a wrong unit", {"postgres": {"resources": {"memory": "1GB"}}}, False),
    ("an empty quantity", {"postgres": {"resources": {"memory": ""}}}, False),
    ("millibytes", {"postgres": {"resources": {"memory": "512m"}}}, False),
    ("infinite cpu", {"mqtt": {"resources": {"cpu": "Infinity"}}}, False),
    ("thousandths of cpu", {"mqtt": {"resources": {"cpu": "250m"}}}, True),
    ("cores as a number", {"mqtt": {"resources": {"cpu": 2}}}, True),
    ("half a core as a number", {"mqtt": {"resources": {"cpu": 0.5}}}, True),
    ("no cores as a number", {"mqtt": {"resources": {"cpu": 0}}}, False),
    ("memory as a number", {"mqtt": {"resources": {"memory": 512}}}, False),
    ("a duration", {"consumer": {"stop_within": "40s"}}, True),
    ("a duration without a unit", {"consumer": {"stop_within": "40"}}, False),
    ("null for a map", {"sidekiq": {"alerts": None}}, True),
    ("null for a value", {"postgres": {"members": None}}, True),
    ("an unknown key", {"postgres": {"membres": 3}}, False),
    ("an unknown top-level key", {"postgress": {}}, False),
    ("text for a number", {"postgres": {"members": "3"}}, False),
    ("too many", {"web": {"web": {"replicas": 101}}}, False),
    ("no such place", {"postgres": {"where": "extern"}}, False),
    ("no such tier", {"tier": "prod"}, False),
    ("a name that is none", {"web": {"Web_1": {"command": ["x"]}}}, False),
    ("a config var", {"app": {"config": {"A": "x"}}}, True),
    ("a config var that is none", {"app": {"config": {"A-B": "x"}}}, False),
    ("a number for a config var", {"app": {"config": {"A": 5}}}, False),
    ("an empty command", {"web": {"web": {"command": []}}}, False),
    ("a schedule", {"schedules": {"n": {"command": ["x"], "cron": "0 3 * * mon-fri", "time_zone": "Europe/Paris"}}}, True),
    ("a schedule in four fields", {"schedules": {"n": {"command": ["x"], "cron": "0 3 * *"}}}, False),
    ("a port", {"web": {"web": {"port": 70000}}}, False),
    ("a range", {"edge": {"ranges": ["10.0.0.0/8", "fd00::/8"]}}, True),
    ("no range", {"edge": {"ranges": ["nowhere"]}}, False),
    ("a domain", {"domain": "lamps.example.com"}, True),
    ("a URL for a domain", {"domain": "https://lamps.example.com"}, False),
    ("an image", {"images": {"pinned": {"lamp": f"registry.example.com:5000/lamp@sha256:{'0' * 64}"}}}, True),
    ("an image with a scheme and a space", {"images": {"pinned": {"lamp": "https://x y"}}}, False),
    ("a secret that is asked for", {"app": {"secrets": ["SENTRY_DSN"]}, "SENTRY_DSN": SECRET}, True),
    ("a secret in clear", {"app": {"secrets": ["SENTRY_DSN"]}, "SENTRY_DSN": "plain"}, False),
    ("a secret inside an object", {"app": {"config": {"A": SECRET}}}, False),
    ("a secret in place of an object", {"postgres": SECRET}, False),
    ("a secret in place of a map", {"app": {"config": SECRET}}, False),
]


@pytest.mark.parametrize(("said", "right"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_editors_and_the_loader_agree(said: dict[str, Any], right: bool, tmp_path: Path) -> None:
    config = {f"switchyard:{key}": value for key, value in {"tier": "staging", "cluster": {"identifier": "c"}, **said}.items()}
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    try:
        resolve("x", *read_stack_file(file))
        loads = True
    except SettingsError:
        loads = False
    assert (accepted({"config": config}, STACK), loads) == (right, right)


@pytest.mark.parametrize("key", ["secretsprovider", "encryptionsalt", "encryptedkey"])
def test_what_pulumi_writes_beside_the_config_is_welcome(key: str) -> None:
    assert accepted({key: "x", "config": {"aws:region": "eu-west-1", "pulumi:disable-default-providers": ["kubernetes"]}}, STACK)
    assert not accepted({f"{key}s": "x"}, STACK)


def test_a_key_of_ours_without_its_namespace_is_marked() -> None:
    assert not accepted({"config": {"tier": "staging"}}, STACK)
    assert not accepted({"config": {"other:tier": "staging"}}, STACK)


def test_a_domain_belongs_into_a_stacks_own_file() -> None:
    assert not accepted({"domain": "lamps.example.com"}, LAYER)


def test_the_reference_has_every_key_with_its_description() -> None:
    text = " ".join((ROOT / "docs" / "reference.md").read_text().split())
    said = [schema["properties"] for schema in [LAYER, *LAYER["$defs"].values()]]
    missing = [key for properties in said for key in properties if f"| `{key}` |" not in text and f"## `{key}" not in text]
    assert missing == []


def test_a_schema_holds_no_text_of_another_machine() -> None:
    assert str(ROOT) not in json.dumps(schemas())

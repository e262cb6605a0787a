"""The pages of docs/components: one for each component, with each of its alerts, and no setting that there is not."""

import re
import shlex
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import pytest
import yaml
from pydantic import BaseModel

from cli.root import GROUPS, root
from components.watch import RULES
from settings.loader import ROOT
from settings.stack import Settings

FOLDER = ROOT / "docs" / "components"
PAGES = {
    "alertmanager": ("alertmanager",),
    "canary": ("canary",),
    "collector": ("collector",),
    "consumer": ("consumer",),
    "edge": ("edge",),
    "elasticsearch": ("elasticsearch", "elasticsearch-exporter"),
    "exporters": ("certificates",),
    "gateway": ("gateway",),
    "grafana": (),
    "loki": ("loki",),
    "mqtt": ("mqtt",),
    "postgres": ("postgres", "postgres-exporter"),
    "prometheus": ("prometheus", "targets", "volumes", "workloads", "kubelet"),
    "rails": ("app",),
    "redis": ("redis-exporter",),
    "restart": (),
    "sidekiq": ("sidekiq", "sidekiq-exporter"),
    "web": ("web", "rails"),
}
"""Each component's page, and the files of alert rules that are its own."""
THERE = [name for name in PAGES if (FOLDER / f"{name}.md").is_file()]
SERVERS_OWN = {"cluster.max_shards_per_node"}
"""Settings of Elasticsearch that look like ours."""
SPAN = re.compile(r"`([a-z_]+(?:\.(?:<name>|[a-z_]+))+)`")


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def alerts(*files: str) -> dict[str, str]:
    """The alerts of files of rules, each with its severity."""
    found: dict[str, str] = {}
    for file in (RULES / f"{name}.yml" for name in files):
        groups = yaml.safe_load(file.read_text())["groups"] if file.is_file() else []
        found |= {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"] if "alert" in rule}
    return found


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation: of a map those of its values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inside = get_args(annotation)[1:] if get_origin(annotation) is dict else get_args(annotation)
    return [model for one in inside for model in models_of(one)]


def exists(path: str) -> bool:
    """Say whether there is such a setting; `<name>` stands for any key of a map."""
    known: list[type[BaseModel]] = [Settings]
    for part in path.split("."):
        if part == "<name>":
            continue
        fields = [model.model_fields[part] for model in known if part in model.model_fields]
        if not fields:
            return False
        known = [model for field in fields for model in models_of(field.annotation)]
    return True


def test_every_component_has_a_page() -> None:
    assert list(PAGES) == THERE


def test_every_file_of_rules_is_some_pages() -> None:
    assert {path.stem for path in RULES.glob("*.yml")} <= {name for files in PAGES.values() for name in files}


@pytest.mark.parametrize("name", THERE)
def test_every_page_names_each_of_its_alerts_with_its_runbook_and_its_severity(name: str) -> None:
    text = page(name)
    assert text.startswith("# ")
    for alert, severity in alerts(*PAGES[name]).items():
        assert f"runbooks/{alert}.md" in text, alert
        said = re.findall(rf"\[{alert}\]\(\.\./runbooks/{alert}\.md\) \| (\w+)", text)
        assert set(said) <= {severity}, alert


@pytest.mark.parametrize("name", ["README", *THERE])
def test_every_link_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page(name)):
        if not target.startswith("http") and target.removesuffix(".md") not in PAGES:
            assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("name", THERE)
def test_every_setting_that_is_named_is_one(name: str) -> None:
    named = {span for span in SPAN.findall(page(name)) if span.partition(".")[0] in Settings.model_fields} - SERVERS_OWN
    assert sorted(span for span in named if not exists(span) and not (ROOT / span).exists()) == []


def test_settings_are_told_from_what_is_none() -> None:
    assert exists("redis.<name>.policy") and exists("grafana.root_url") and exists("mqtt.queues.<name>.topics")
    assert not exists("redis.<name>.polcy") and not exists("grafana.password")


def test_the_index_names_every_page() -> None:
    assert set(re.findall(r"\]\(([a-z]+)\.md\)", page("README"))) == set(PAGES) - {Path("README").stem}


WRITTEN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {name for group in GROUPS.values() for name in group}


def test_every_command_that_the_docs_name_is_one() -> None:
    said = {(file.name, word) for file in WRITTEN for word in re.findall(r"\./sy ([a-z]+)", file.read_text())}
    assert len(said) > 100
    assert {(file, word) for file, word in said if word not in COMMANDS} == set()


def test_every_command_line_of_the_docs_is_one_that_its_command_takes() -> None:
    lines = [(file.name, line) for file in WRITTEN for line in command_lines(file.read_text())]
    assert len(lines) > 200
    assert [(name, line, refused) for name, line in lines if (refused := refusal(line))] == []


def test_a_command_line_with_an_option_that_its_command_does_not_have_is_found() -> None:
    block = ["```", "./sy sandbox reset --at-once   # all of it", "./sy kubectl -s STACK get pods -w | head", "```", ""]
    text = "\n".join(["Then `./sy up -s STACK --refresh`.", *block])
    assert [refusal(line) for line in command_lines(text)] == ["No such option: --refresh", "No such option: --at-once", None]


def command_lines(text: str) -> list[str]:
    """Return the command lines of sy that a page shows, between backquotes or as a line of a block, without what follows a pipe."""
    blocks = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    shown = re.findall(r"`([^`\n]+)`", blocks.sub("", text)) + [line for block in blocks.findall(text) for line in block.splitlines()]
    found = [re.match(r"\s*(?:\$ )?(?:sudo )?\./sy (.*)", line) for line in shown]
    return [re.split(r"\s[|>#&]|\s2>|;\s|\)$", one[1])[0].strip() for one in found if one]


def refusal(line: str) -> str | None:
    """Return what the command's own parser says against a line's options; None: nothing."""
    command: click.Command = root
    words = shlex.split(line)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            # A word that stands for several, such as `up|down`.
            return None
        command, words = found, words[1:]
    try:
        # Arguments and values are made up, and not looked at.
        command.make_parser(click.Context(command, **command.context_settings)).parse_args(words)
    except click.NoSuchOption as refused:
        return f"No such option: {refused.option_name}"
    return None


def test_every_link_of_the_docs_leads_to_a_page_and_a_heading() -> None:
    lost = [
        (file.name, page, heading)
        for file in WRITTEN
        for page, heading in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#([^)]*))?\)", file.read_text())
        if not (file.parent / page).exists() or (heading and heading not in headings((file.parent / page).resolve()))
    ]
    assert lost == []


def headings(page: Path) -> set[str]:
    """Return the names by which the headings of a page are linked: small letters, digits, and '-' for each space."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}

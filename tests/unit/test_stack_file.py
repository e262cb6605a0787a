"""One value is written into a stack file, and every other line stays."""

import pytest
import yaml

from cli.stack_file import with_value

PATH = ["config", "switchyard:images", "pinned", "lamp"]
NEW = "ghcr.io/company/lamp@sha256:" + "1" * 64

BLOCK = """\
# What staging says.
config:
  switchyard:tier: staging  # not production
  switchyard:images:
    registry: ghcr.io/company
    pinned:
      # the app
      lamp: ghcr.io/company/lamp@sha256:0   # this week's
      postgres: ghcr.io/company/postgres@sha256:2
  switchyard:protect: true
  # the end
encryptionsalt: v1:abc
"""


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        BLOCK.replace("      lamp: ghcr.io/company/lamp@sha256:0   # this week's\n", ""),
        "config:\n  switchyard:tier: staging\n  switchyard:images: {registry: r.example.com/x, pinned: {a: b}} # one line\n",
        "config:\n  switchyard:images: {}\n",
        "config:\n  switchyard:images:\n  switchyard:tier: staging\n",
        "config:\n  switchyard:tier: staging\n  # a last word\n",
        "config:\n    switchyard:text: |\n        several\n        lines\n# a last word\n",
        "config:\n  switchyard:tier: staging",
    ],
)
def test_the_value_is_there_and_every_other_line_is_as_it_was(text: str) -> None:
    changed = with_value(text, PATH, NEW)
    said = yaml.safe_load(changed)
    assert said["config"]["switchyard:images"]["pinned"]["lamp"] == NEW
    before = yaml.safe_load(text)
    assert {k: v for k, v in said["config"].items() if k != PATH[1]} == {k: v for k, v in before["config"].items() if k != PATH[1]}
    assert [line for line in text.splitlines() if "#" in line and "lamp" not in line and "images" not in line] == [
        line for line in changed.splitlines() if "#" in line and "lamp" not in line and "images" not in line
    ]


def test_a_value_that_is_there_is_replaced_in_its_place_with_its_comment() -> None:
    assert with_value(BLOCK, PATH, NEW) == BLOCK.replace("ghcr.io/company/lamp@sha256:0 ", f"{NEW} ")


def test_writing_the_same_value_again_changes_nothing() -> None:
    once = with_value(BLOCK, PATH, NEW)
    assert with_value(once, PATH, NEW) == once


def test_a_number_is_written_as_one():
    changed = with_value("config:\n  switchyard:tier: sandbox\n", ["config", "switchyard:postgres", "rotation"], 2)
    assert yaml.safe_load(changed)["config"]["switchyard:postgres"] == {"rotation": 2}

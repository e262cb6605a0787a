"""What the documentation names as proof is there."""

import re

import pytest

from settings.loader import ROOT

TESTS = ROOT / "tests"
PAGES = ("lessons.md", "threat-model.md")
NAMED = re.compile(r"`((?:unit|engine|cluster|lint|lamp|rules)/[\w/]+\.(?:py|yml))(?:::(\w+))?`")


def named() -> list[tuple[str, str, str]]:
    return [(page, *match) for page in PAGES for match in NAMED.findall((ROOT / "docs" / page).read_text())]


@pytest.mark.parametrize(("page", "file", "test"), named())
def test_a_test_that_proves_something_exists(page: str, file: str, test: str) -> None:
    assert (TESTS / file).is_file(), page
    assert not test or f"def {test}(" in (TESTS / file).read_text(), page


def test_every_lesson_and_every_threat_names_a_proof() -> None:
    for page in PAGES:
        rows = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| ") and "---" not in line]
        lacking = [row for row in rows if not NAMED.search(row) and row.split("|")[1].strip() not in ("the lesson", "who")]
        assert lacking == [], page

"""Another image of the app: to a stack of tier staging, and from there, and only from there, to one of tier production."""

from collections.abc import Iterator
from typing import Any

import pytest

from cli.sandbox import Started
from tests.cluster.own_checkout import SMALL, Checkout, standing
from tests.cluster.trial import BARE, overlay

STAGING, PRODUCTION = "deployed", "promoted"
WEB: dict[str, Any] = overlay(BARE, {"web": {"web": {"replicas": 1, "threads": 3, "resources": SMALL}}})
SAID = {name: {"tier": tier, **WEB} for name, tier in ((STAGING, "staging"), (PRODUCTION, "production"))}


@pytest.fixture(scope="module")
def checkout(started: Started, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A staging stack that runs the image that was built, and a production stack that was never brought up."""
    made = Checkout(tmp_path_factory.mktemp("deploying") / "checkout")
    for name, said in SAID.items():
        made.say(name, said)
    try:
        made.sy("up", "-s", STAGING, "--yes")
        yield made
    finally:
        for name, said in SAID.items():
            made.remove(name, said)


def runs(checkout: Checkout, stack: str) -> str:
    """Return the image that the stack's web runs, as the cluster says."""
    found = checkout.kubectl(stack).get("deployment", "web")
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_production_refuses_what_staging_never_ran(checkout: Checkout, next_image: str) -> None:
    before = checkout.file(PRODUCTION).read_text()
    said = checkout.sy("deploy", PRODUCTION, next_image, "--yes", code=2).stderr
    assert f"stack {PRODUCTION} is of tier production, and no stack of tier staging ({STAGING}) has run {next_image}" in said
    assert f"./sy deploy {STAGING} {next_image}, then ./sy promote {STAGING} {PRODUCTION}" in said
    assert checkout.file(PRODUCTION).read_text() == before
    assert checkout.releases(PRODUCTION) == []


def test_an_image_that_its_registry_does_not_have_changes_nothing(checkout: Checkout, started: Started) -> None:
    before, absent = checkout.file(STAGING).read_text(), f"{started.references['lamp'].partition('@')[0]}@sha256:{'0' * 64}"
    assert "can not be pulled" in checkout.sy("deploy", STAGING, absent, "--yes", code=2).stderr
    assert checkout.file(STAGING).read_text() == before
    assert runs(checkout, STAGING) == started.references["lamp"]


def test_staging_runs_what_is_deployed_and_says_so_in_its_file_and_its_record(
    checkout: Checkout, started: Started, next_image: str
) -> None:
    assert runs(checkout, STAGING) == started.references["lamp"] != next_image
    said = checkout.sy("deploy", STAGING, next_image, "--yes").stdout
    assert runs(checkout, STAGING) == next_image
    assert ["web", next_image] in [line.split() for line in said.splitlines()]
    assert next_image in checkout.file(STAGING).read_text()
    assert checkout.releases(STAGING) == [next_image]


def test_the_same_again_changes_nothing(checkout: Checkout, next_image: str) -> None:
    file = checkout.file(STAGING)
    before = standing(checkout.kubectl(STAGING)), file.read_text(), checkout.releases(STAGING)
    said = checkout.sy("deploy", STAGING, next_image, "--yes").stdout
    assert f"stack {STAGING} runs {next_image} already: nothing to do" in said
    assert (standing(checkout.kubectl(STAGING)), file.read_text(), checkout.releases(STAGING)) == before


def test_what_staging_runs_is_promoted_to_production(checkout: Checkout, next_image: str) -> None:
    checkout.sy("promote", STAGING, PRODUCTION, "--yes")
    assert runs(checkout, PRODUCTION) == next_image
    assert next_image in checkout.file(PRODUCTION).read_text()
    assert checkout.releases(PRODUCTION) == [next_image]

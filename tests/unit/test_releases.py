"""What a stack runs and has run, and what production may therefore run."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import deploy, releases
from cli.stack import Stack
from settings import SettingsError
from tools.errors import UserError
from tools.paths import ROOT

ONE, TWO = (f"ghcr.io/company/lamp@sha256:{digit * 64}" for digit in "12")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the stacks staging and production, and no record."""
    for file in ("product.yaml", "Pulumi.yaml", "Pulumi.staging.yaml", "Pulumi.production.yaml"):
        shutil.copy(ROOT / file, tmp_path / file)
    shutil.copytree(ROOT / "settings" / "tiers", tmp_path / "settings" / "tiers")
    return tmp_path


def deployment(name: str, image: str) -> dict[str, Any]:
    containers = [{"name": "app", "image": image}]
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": {"containers": containers}}}}


def said(checkout: Path) -> list[str]:
    return [entry["image"] for entry in yaml.safe_load((checkout / "releases" / "staging.yaml").read_text())]


def test_each_image_is_recorded_once_in_a_row_and_again_when_it_comes_back(checkout: Path) -> None:
    for image in (ONE, ONE, TWO, TWO, ONE, ONE):
        releases.record("staging", image, checkout)
    assert said(checkout) == [ONE, TWO, ONE]


def test_a_record_that_people_commented_keeps_their_words(checkout: Path) -> None:
    file = releases.record("staging", ONE, checkout)
    file.write_text(file.read_text() + "# the one with the slow query\n")
    releases.record("staging", TWO, checkout)
    assert "# the one with the slow query" in file.read_text()
    assert said(checkout) == [ONE, TWO]


def test_production_runs_only_what_staging_has_run(checkout: Path) -> None:
    production = Stack.load("production", root=checkout)
    releases.record("staging", ONE, checkout)
    releases.refuse_unproved(production, ONE, checkout)
    with pytest.raises(UserError, match=r"no stack of tier staging \(staging\) has run .*2222.*sy deploy staging"):
        releases.refuse_unproved(production, TWO, checkout)


def test_the_same_digest_from_another_registry_is_the_same_image(checkout: Path) -> None:
    releases.record("staging", ONE, checkout)
    releases.refuse_unproved(Stack.load("production", root=checkout), ONE.replace("ghcr.io", "mirror.example.com"), checkout)


def test_a_stack_of_another_tier_may_run_anything(checkout: Path) -> None:
    releases.refuse_unproved(Stack.load("staging", root=checkout), TWO, checkout)


def test_the_images_of_the_app_are_read_from_the_deployments() -> None:
    assert releases.images_of([deployment("web", ONE), deployment("consumer", TWO)]) == {"consumer": TWO, "web": ONE}


@pytest.mark.parametrize("image", ["lamp", "ghcr.io/company/lamp:v1", ONE[:-1], f"lamp@{ONE.partition('@')[2]}"])
def test_an_image_that_is_not_named_exactly_is_refused(image: str) -> None:
    with pytest.raises(UserError, match="does not say exactly one image"):
        deploy.refuse_loose(image)


def test_the_image_is_written_under_the_name_that_the_app_has(checkout: Path) -> None:
    stack = Stack.load("staging", root=checkout)
    deploy.set_image(stack, stack.file, ONE)
    changed = Stack.load("staging", root=checkout).settings
    assert changed.images.reference(changed.app.image) == ONE


def test_of_an_app_that_is_named_by_a_full_reference_the_reference_is_replaced(checkout: Path) -> None:
    product = checkout / "product.yaml"
    product.write_text(product.read_text().replace("image: lamp", f"image: {TWO}"))
    stack = Stack.load("staging", root=checkout)
    deploy.set_image(stack, stack.file, ONE)
    assert Stack.load("staging", root=checkout).settings.app.image == ONE


def test_a_record_that_is_none_is_named(checkout: Path) -> None:
    (checkout / "releases").mkdir()
    (checkout / "releases" / "staging.yaml").write_text("- lamp\n")
    with pytest.raises(SettingsError, match=r"releases/staging.yaml: expected a list"):
        releases.record("staging", ONE, checkout)

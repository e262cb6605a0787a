"""Rotations: which generations of passwords are let in, and what is refused."""

import pytest

from settings import SettingsError, resolve
from settings.backing import Redis
from settings.footprint import footprint
from settings.rotation import services
from tests.unit.stacks import UNWATCHED

STACK = {"tier": "sandbox", **UNWATCHED}


@pytest.mark.parametrize(
    ("rotation", "revoked", "accepted", "dropped"),
    [(1, 0, [1], []), (2, 0, [2, 1], []), (2, 1, [2], [1]), (3, 0, [3, 2], [1]), (3, 1, [3, 2], [1]), (3, 2, [3], [1, 2])],
)
def test_two_generations_are_let_in_until_the_older_is_revoked(rotation, revoked, accepted, dropped):
    said = Redis(rotation=rotation, revoked=revoked)
    assert (said.accepted, said.dropped) == (accepted, dropped)


def test_revoking_the_generation_that_is_in_use_is_refused():
    with pytest.raises(SettingsError, match=r"postgres\.revoked.*expected less than postgres\.rotation, which is 2"):
        resolve("test", {**STACK, "postgres": {"rotation": 2, "revoked": 2}})


def test_only_what_the_stack_runs_itself_can_be_rotated():
    said = resolve("test", {**STACK, "elasticsearch": {"where": "none"}})
    assert list(services(said)) == [("mqtt",), ("postgres",), ("redis", "jobs")]


def test_what_waits_for_a_server_is_counted():
    said = resolve("test", {**STACK, "postgres": {"rotation": 2}})
    assert [part.component for part in footprint(said) if part.component.endswith("-rotation")] == ["postgres-rotation"]

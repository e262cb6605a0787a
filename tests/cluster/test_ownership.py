"""Two states of one stack's name on one cluster: two people, or one who has lost a state. The namespace is the first one's."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from cli.sandbox import Started
from tests.cluster.trial import BARE, Trial
from tests.engine.project import Project, Result

NAME = "cluster-owned"


@pytest.fixture(scope="module")
def first(started: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    made = Trial(NAME, make_checkout(), started, BARE)
    try:
        made.must_up()
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def second(started: Started, make_checkout: Callable[[], Project], first: Trial) -> Iterator[Trial]:
    """The same stack in another backend, which knows of nothing."""
    made = Trial(NAME, make_checkout(), started, BARE)
    yield made
    # What it was refused it does not have, so nothing of the first one's goes with it.
    made.destroy()


@dataclass(frozen=True)
class Refusal:
    """What the second state was told, and the first one's objects before and after."""

    result: Result
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def refused(first: Trial, second: Trial) -> Refusal:
    before = versions(first)
    return Refusal(second.up(), before, versions(first))


def versions(trial: Trial) -> dict[str, str]:
    """Return the version of everything that the stack made: it changes with every write."""
    kinds = "services,secrets,configmaps,networkpolicies,serviceaccounts"
    found = [trial.kubectl.get("namespace", trial.namespace), *trial.kubectl.get(kinds)["items"]]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}


def test_the_second_state_ends_with_a_sentence_that_says_whose_the_namespace_is_and_what_to_do(first: Trial, refused: Refusal) -> None:
    said = refused.result.text
    assert refused.result.code != 0
    assert f"namespace {first.namespace} on cluster sandbox was made out of another state of this stack" in said
    assert "pulumi login" in said
    assert "Traceback" not in said


def test_nothing_of_the_first_ones_is_written_over(refused: Refusal) -> None:
    assert "Namespace/lamp-cluster-owned" in refused.before
    assert refused.after == refused.before


def test_the_second_state_takes_note_of_nothing_in_the_cluster(second: Trial, refused: Refusal) -> None:
    kept = {one["type"] for one in second.project.state(NAME)}
    assert [kind for kind in kept if kind.startswith("kubernetes:")] == []


def test_what_the_second_state_destroys_is_not_the_first_ones(first: Trial, second: Trial, refused: Refusal) -> None:
    assert second.destroy().code == 0
    assert versions(first) == refused.before
    unchanged = first.has_no_changes()
    assert unchanged.code == 0, unchanged.text


def test_a_field_that_somebody_else_took_is_named_and_no_traceback_follows(first: Trial, refused: Refusal) -> None:
    port = '{"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 1234}]}}'
    patch = first.kubectl.argv("patch", "service", "web", "--field-manager=somebody", "--type=merge", "--patch", port)
    subprocess.run(patch, check=True, capture_output=True)
    first.say({"web": {"web": {"port": 4000}}})
    result = first.up()
    assert result.code != 0
    assert 'conflict with "somebody"' in result.text
    assert ".spec.ports" in result.text
    assert "Traceback" not in result.text
    assert "KeyboardInterrupt" not in result.text

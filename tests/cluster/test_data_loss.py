"""A stack of tier staging that keeps something: what would lose it is refused, and done when the stack is named once more."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bench.installation import COMPONENT, Installation
from bench.load import wait_until
from cli import broker, demo
from cli.sandbox import Started
from settings import resolve
from settings.loader import read_stack_file
from tests.cluster.own_checkout import Checkout, standing
from tests.cluster.trial import BARE, Trial, overlay
from tools.progress import Progress

NAME = "keeping"
REDIS: dict[str, Any] = {"config_var": "KEPT_URL", "volume": {"size": "64Mi"}, "resources": {"cpu": "20m", "memory": "96Mi"}}
KEEPING = overlay(BARE, {"tier": "staging", "web": {"web": None}, "redis": {"jobs": {"where": "cluster", **REDIS}}})
"""A Redis and nothing else."""
RENAMED = overlay(KEEPING, {"redis": {"jobs": {"where": "none"}, "work": REDIS}})

CONSUMERS = ("--selector", f"{COMPONENT}=consumer")


@pytest.fixture(scope="module")
def checkout(started: Started, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = Checkout(tmp_path_factory.mktemp("keeping") / "checkout")
    made.say(NAME, KEEPING)
    try:
        made.sy("up", "-s", NAME, "--yes")
        yield made
    finally:
        made.remove(NAME, KEEPING)


def refused(checkout: Checkout, said: Mapping[str, Any], *words: str) -> str:
    """Return why `sy` refuses these settings; it ends with 2, and nothing in the cluster or in the state is another."""
    kubectl = checkout.kubectl(NAME)
    before, protected = standing(kubectl), checkout.protected(NAME)
    assert "StatefulSet/redis-jobs" in before
    checkout.say(NAME, said)
    told = checkout.sy(*words, code=2).stderr
    assert standing(kubectl) == before
    assert checkout.protected(NAME) == protected >= {"StatefulSet redis-jobs", f"Namespace lamp-{NAME}"}
    return told


def test_a_volume_is_not_made_smaller(checkout: Checkout) -> None:
    said = refused(checkout, overlay(KEEPING, {"redis": {"jobs": {"volume": {"size": "32Mi"}}}}), "up", "-s", NAME, "--yes")
    assert "redis.jobs.volume.size: 32Mi is less than the 64Mi of data-redis-jobs-0, and a volume never shrinks: say 64Mi" in said


def test_a_renamed_redis_would_go_so_it_is_refused_with_the_option_that_means_it(checkout: Checkout) -> None:
    said = refused(checkout, RENAMED, "up", "-s", NAME, "--yes")
    assert "delete StatefulSet redis-jobs" in said
    assert f"./sy up -s {NAME} --allow-data-loss {NAME}" in said


def test_another_namespace_would_replace_all_that_is_kept(checkout: Checkout) -> None:
    said = refused(checkout, {**KEEPING, "namespace": f"lamp-{NAME}-other"}, "up", "-s", NAME, "--yes")
    assert f"delete Namespace lamp-{NAME}" in said
    assert "replace StatefulSet redis-jobs" in said


@pytest.mark.parametrize("verb", ["up", "destroy"])
def test_the_name_of_another_stack_allows_nothing(checkout: Checkout, verb: str) -> None:
    said = refused(checkout, RENAMED, verb, "-s", NAME, "--yes", "--allow-data-loss", "other")
    assert f"--allow-data-loss names stack other, and this is stack {NAME}: nothing was changed" in said


def test_it_is_not_destroyed_by_its_name_alone(checkout: Checkout) -> None:
    said = refused(checkout, KEEPING, "destroy", "-s", NAME, "--yes")
    assert "delete StatefulSet redis-jobs" in said
    assert f"./sy destroy -s {NAME} --allow-data-loss {NAME}" in said


def test_a_plain_pulumi_up_is_refused_by_the_engine(checkout: Checkout) -> None:
    kubectl = checkout.kubectl(NAME)
    before = standing(kubectl)
    checkout.say(NAME, RENAMED)
    done = checkout.sy("pulumi", "-s", NAME, "up", "--yes", "--non-interactive", code=1)
    assert 'StatefulSet::redis-jobs" cannot be deleted' in done.stdout
    assert "because it is protected" in done.stdout
    assert standing(kubectl) == before


def test_named_once_more_the_old_redis_goes_and_the_new_one_is_protected(checkout: Checkout) -> None:
    kubectl = checkout.kubectl(NAME)
    namespace = standing(kubectl)[f"Namespace/lamp-{NAME}"]
    checkout.say(NAME, RENAMED)
    said = checkout.sy("up", "-s", NAME, "--yes", "--allow-data-loss", NAME).stderr
    assert "delete StatefulSet redis-jobs" in said
    after = standing(kubectl)
    assert {one for one in after if one.startswith("StatefulSet/")} == {"StatefulSet/redis-work"}
    assert after[f"Namespace/lamp-{NAME}"] == namespace
    assert {"StatefulSet redis-work", f"Namespace lamp-{NAME}"} <= checkout.protected(NAME)
    checkout.say(NAME, overlay(RENAMED, {"redis": {"work": {"where": "none"}}}))
    assert "delete StatefulSet redis-work" in checkout.sy("up", "-s", NAME, "--yes", code=2).stderr


def test_a_queue_that_is_dropped_is_named_as_long_as_it_holds_messages(trial: Trial, installation: Installation) -> None:
    said, others = read_stack_file(trial.file)
    dropping = resolve(
        trial.name, overlay(said, {"mqtt": {"queues": {"falls": None}}, "consumer": {"where": "none"}, "canary": {"where": "none"}}), others
    )
    keeping = resolve(trial.name, said, others)
    assert broker.full_queues(trial.kubectl, dropping) == []
    replicas = next(one["spec"]["replicas"] for one in installation.objects("deployments") if one["metadata"]["name"] == "consumer")
    installation.run("scale", "deployment/consumer", "--replicas=0")
    try:
        wait_until(lambda: not installation.objects("pods", *CONSUMERS), 90, lambda: "the consumer did not go")
        with pytest.raises(demo.FailedError, match="there is no alert yet"):
            demo.fall(installation.demo, Progress(), patience=5)
        full = ["drop queue falls, which holds 1 messages: let its reader empty it first"]
        # The broker counts a quorum queue every few seconds.
        wait_until(lambda: broker.full_queues(trial.kubectl, dropping) == full, 30, lambda: "the queue does not hold the one fall")
        assert broker.full_queues(trial.kubectl, keeping) == []
    finally:
        installation.run("scale", "deployment/consumer", f"--replicas={replicas}")
    wait_until(lambda: broker.full_queues(trial.kubectl, dropping) == [], 120, lambda: "the queue was not emptied")

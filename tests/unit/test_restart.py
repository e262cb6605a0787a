"""The nightly restart: which processes, by whom, in what order, and what is refused."""

from typing import Any

import pytest

from settings import SettingsError, resolve
from tests.unit.stacks import UNWATCHED
from tests.unit.test_contract import NAMED, rendered, templates

BASE: dict[str, Any] = {"tier": "staging", "cluster": NAMED, **UNWATCHED}
PROCESSES = ("web", "sidekiq-alerts", "worker")


def refusal(*processes: str, **more: Any) -> str:
    with pytest.raises(SettingsError) as error:
        resolve("staging", BASE | more | {"restart": {"processes": list(processes)}})
    return str(error.value)


def spec() -> dict[str, Any]:
    [job] = [one for one in rendered("everything").of("CronJob") if one.kube_name == "restart"]
    return job.inputs["spec"]


def test_nothing_is_restarted_unless_a_stack_asks_for_it() -> None:
    made = rendered("production")
    assert "restart" not in {one.kube_name for one in made.objects}
    assert "kubectl" not in made.settings.image_names()


def test_each_is_restarted_and_waited_for_before_the_next() -> None:
    pod = spec()["jobTemplate"]["spec"]["template"]["spec"]
    words = [one["command"] for one in [*pod["initContainers"], *pod["containers"]]]
    assert [(word[1], word[2], word[3]) for word in words] == [
        ("rollout", verb, f"deployment/{name}") for name in PROCESSES for verb in ("restart", "status")
    ]
    assert {word[0] for word in words} == {"/bin/kubectl"}


def test_one_that_does_not_come_up_ends_the_run_and_nothing_is_tried_twice() -> None:
    job = spec()["jobTemplate"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    waits = [one["command"][-2] for one in (*job["template"]["spec"]["initContainers"], *job["template"]["spec"]["containers"])][1::2]
    assert sum(int(wait.removeprefix("--timeout=").removesuffix("s")) for wait in waits) < job["activeDeadlineSeconds"]


def test_it_runs_in_the_zone_that_the_stack_names() -> None:
    assert (spec()["schedule"], spec()["timeZone"]) == ("30 3 * * *", "Europe/Paris")


def test_its_role_reaches_exactly_the_deployments_that_are_named() -> None:
    [role] = [one for one in rendered("everything").of("Role") if one.kube_name == "restart"]
    assert role.inputs["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": list(PROCESSES), "verbs": ["get", "patch", "list", "watch"]}
    ]
    deployments = {one.kube_name for one in rendered("everything").of("Deployment")}
    assert set(PROCESSES) < deployments


def test_its_pod_reaches_the_api_server_and_nobody_else() -> None:
    stack = rendered("everything")
    [pod] = [one for one in templates(stack) if one.component == "restart"]
    assert stack.network.lets_out(pod.labels, "203.0.113.1", 6443)
    assert not stack.network.lets_out(pod.labels, "203.0.113.1", 80)
    others = [one for one in templates(stack) if any(stack.network.connects(pod.labels, one.labels, port) for port in (3000, 5432, 6379))]
    assert others == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("consumer", "restart.processes.0: 'consumer': never by the clock: while it starts no fall is read"),
        ("postgres", "restart.processes.0: 'postgres': never by the clock: it keeps data"),
        ("redis-jobs", "never by the clock: it keeps data"),
        ("mqtt", "never by the clock: it keeps data"),
        ("elasticsearch", "never by the clock: it keeps data"),
        ("alerts", 'did you mean "sidekiq-alerts"?'),
        ("wbe", 'expected a process of the app that runs all the time - did you mean "web"?'),
        ("nothing-like-it", "; there is web, sidekiq-alerts"),
        ("indexer", "does not run in this stack"),
    ],
)
def test_what_must_not_be_restarted_is_refused_with_the_reason(name: str, says: str) -> None:
    assert says in refusal(name)


def test_a_process_that_is_named_twice_is_refused() -> None:
    assert "restart.processes.1: 'web': is named twice" in refusal("web", "web")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"cron": "30 25 * * *"}, "restart.cron: '30 25 * * *': hour '25': expected 0 to 23"),
        ({"cron": "@daily"}, 'did you mean "0 0 * * *"?'),
        ({"time_zone": "Europe/Pairs"}, 'did you mean "Europe/Paris"?'),
    ],
)
def test_a_time_that_is_none_is_refused_before_anything_changes(said: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        resolve("staging", BASE | {"restart": {"processes": ["web"], **said}})
    assert says in str(error.value)


def test_the_budget_counts_its_pod() -> None:
    parts = {part.component: part for part in rendered("everything").settings.footprint()}
    assert (parts["restart"].replicas, parts["restart"].surge) == (0, 1)

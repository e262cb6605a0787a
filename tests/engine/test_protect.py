"""What keeps data is neither deleted nor replaced by a plain `pulumi up`: asked of the real engine, without a cluster."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.project import Preview, Project
from tests.engine.state import pretend

KEPT = {"Namespace": "lamp-staging", "PrivateKey": "authority-key", "SelfSignedCert": "authority-certificate"}
SERVERS = {"postgres", "mqtt", "redis-jobs", "elasticsearch", "loki", "prometheus", "alertmanager"}
"""What has a volume."""
EXTERNAL = {"postgres": {"where": "external", "external": {"host": "db.example.com", "port": 5432}}}
CACHE = {"redis": {"jobs": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}}}
NO_BROKER = {"mqtt": {"where": "none"}, "consumer": {"where": "none"}, "canary": {"where": "none"}}
REPLACED = "unable to replace resource"
DELETED = "cannot be deleted"


@pytest.fixture(scope="module")
def installed(make_project: Callable[[], Project]) -> Project:
    """A checkout whose stack staging is up, as far as its state says."""
    project = make_project()
    project.init("staging")
    pretend(project, "staging")
    return project


@pytest.fixture
def changed(installed: Project) -> Iterator[Callable[[dict[str, Any]], Preview]]:
    """Preview the stack with other settings; the file is put back afterwards."""
    file = installed.folder / "Pulumi.staging.yaml"
    before = file.read_text()

    def preview(said: dict[str, Any]) -> Preview:
        installed.say("staging", said)
        return installed.preview("staging")

    yield preview
    file.write_text(before)


def refused(preview: Preview, why: str) -> set[str]:
    """Return the Pulumi names of what the engine refuses for this reason."""
    assert preview.code != 0, preview.text
    return {error.split('"')[1].rsplit("::", 1)[-1] for error in preview.errors if why in error}


def test_the_state_says_of_everything_that_can_not_be_made_again_that_it_is_protected(installed: Project) -> None:
    protected = {
        (one["type"].rsplit(":", 1)[-1], one["urn"].rsplit("::", 1)[-1]) for one in installed.state("staging") if one.get("protect")
    }
    assert protected == {*KEPT.items(), *(("StatefulSet", name) for name in SERVERS)}


def test_a_change_of_sizes_goes_through_the_guard(changed: Callable[[dict[str, Any]], Preview]) -> None:
    # A volume's size is none of the engine's business: see the check of live claims.
    preview = changed({"redis": {"jobs": {"volume": {"size": "9Gi"}, "resources": {"memory": "1Gi"}}}, "postgres": {"members": 5}})
    assert preview.code == 0, preview.text


def test_another_namespace_is_refused_for_it_would_leave_everything_behind(changed: Callable[[dict[str, Any]], Preview]) -> None:
    preview = changed({"namespace": "elsewhere"})
    assert refused(preview, REPLACED) == SERVERS
    assert refused(preview, DELETED) == {"lamp-staging"}


def test_a_database_that_becomes_external_and_jobs_that_become_a_cache_are_refused(changed: Callable[[dict[str, Any]], Preview]) -> None:
    preview = changed(EXTERNAL | CACHE)
    assert refused(preview, REPLACED) == {"redis-jobs"}
    assert refused(preview, DELETED) == {"postgres"}


def test_a_broker_that_is_dropped_is_refused(changed: Callable[[dict[str, Any]], Preview]) -> None:
    assert refused(changed(NO_BROKER), DELETED)


def test_what_is_named_as_unprotected_is_replaced_and_nothing_else(changed: Callable[[dict[str, Any]], Preview]) -> None:
    assert changed({**CACHE, "unprotected": ["redis-jobs"]}).code == 0
    assert refused(changed({**CACHE, "unprotected": ["redis-jobs"], "namespace": "elsewhere"}), REPLACED) == SERVERS - {"redis-jobs"}


def test_without_protection_only_what_was_protected_before_is_refused(changed: Callable[[dict[str, Any]], Preview]) -> None:
    assert changed({**CACHE, "protect": False}).code == 0


def test_a_plain_destroy_is_refused(installed: Project) -> None:
    result = installed.pulumi("destroy", "--yes", "--stack", "staging")
    assert result.code != 0
    assert "protect" in result.text
    assert any(one["type"].endswith(":StatefulSet") for one in installed.state("staging"))

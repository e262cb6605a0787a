"""Secrets of a stack that runs, searched for by their values wherever they might have got to."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from cli.render import text
from cli.sandbox import Started
from rendering import render
from sandbox.layout import Layout
from tests.cluster.trial import Trial
from tests.unit.test_contract import STACKS

GENERATED = ("random:index/randomPassword:RandomPassword", "tls:index/privateKey:PrivateKey")
KEPT_IN = ("result", "privateKeyPem")
GIVEN = "hunter2-Do-Not-Print-Me"
"""A secret that a human set."""
OPEN_OBJECTS = "pods,deployments,statefulsets,replicasets,jobs,cronjobs,configmaps,services,networkpolicies,events,serviceaccounts"
"""All that a stack has, but for its Secrets."""


class Searched:
    """What is secret in a stack, by name, in every way of writing it that would still give it away."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self._written = {name: {form.encode() for form in forms(value)} for name, value in values.items()}

    def found_in(self, where: bytes | str) -> list[str]:
        """Return the names of the secrets that are somewhere."""
        data = where if isinstance(where, bytes) else where.encode()
        return sorted(name for name, written in self._written.items() if any(one in data for one in written))


def forms(value: str) -> set[str]:
    """Return the ways in which a secret may be written; of a key its longest line."""
    bare = max(value.splitlines(), key=len)
    return {bare, base64.b64encode(value.encode()).decode(), base64.b64encode(bare.encode()).decode().rstrip("="), quote(bare, safe="")}


class Watching(threading.Thread):
    """Reads every process's arguments, over and over: some live for a moment."""

    def __init__(self, secrets: Searched) -> None:
        super().__init__(daemon=True)
        self.secrets = secrets
        self.seen: set[bytes] = set()
        self.found: set[str] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.look()

    def look(self) -> None:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes()
            except OSError:
                continue
            if words not in self.seen:
                self.seen.add(words)
                self.found.update(self.secrets.found_in(words))

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture(scope="module")
def state(trial: Trial) -> dict[str, Any]:
    return json.loads(trial.project.ok("stack", "export", "--show-secrets", "--stack", trial.name))


@pytest.fixture(scope="module")
def secrets(state: dict[str, Any]) -> Searched:
    values: dict[str, str] = {}
    for one in state["deployment"]["resources"]:
        if one["type"] in GENERATED:
            said = next(one["outputs"][key] for key in KEPT_IN if key in one["outputs"])
            values[one["urn"].rsplit("::", 1)[-1]] = json.loads(said["plaintext"])
    assert len(values) > 12
    return Searched({**values, "GIVEN": GIVEN})


@pytest.fixture(scope="module")
def watching(trial: Trial, secrets: Searched) -> Iterator[Watching]:
    made = Watching(secrets)
    made.start()
    yield made
    made.end()


@pytest.fixture(scope="module")
def changed(trial: Trial, watching: Watching) -> dict[str, str]:
    """What the engine says of a change that rotates every password and sets a secret, in each of its ways."""
    file = trial.file.read_text()
    rotated = {key: value for key, value in STACKS["rotated"].items() if key not in ("tier", "elasticsearch")}
    trial.say({**rotated, "app": {**rotated["app"], "secrets": ["SENTRY_DSN"]}})
    try:
        trial.project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", trial.name, given=GIVEN)
        ways = {"json": ("--json",), "in full": ("--diff", "--show-reads", "--show-sames")}
        return {way: (trial.project.pulumi("preview", "--stack", trial.name, *words, seconds=300)).text for way, words in ways.items()} | {
            "the stack's file": trial.file.read_text()
        }
    finally:
        trial.file.write_text(file)


def test_the_search_finds_what_is_there(secrets: Searched, trial: Trial) -> None:
    config = trial.kubectl.secret(str(trial.outputs()["config_secret"]))
    assert secrets.found_in(json.dumps(config))
    encoded = trial.installation.run("get", "secrets", "--output", "yaml")
    assert len(secrets.found_in(encoded)) > 12


def test_they_are_encrypted_in_the_state(trial: Trial, secrets: Searched) -> None:
    files = [path for path in Path(trial.project.env["PULUMI_BACKEND_URL"].removeprefix("file://")).rglob("*.json*") if path.is_file()]
    assert any(path.name.startswith(trial.name) and b"ciphertext" in path.read_bytes() for path in files)
    assert {path.name: found for path in files if (found := secrets.found_in(path.read_bytes()))} == {}
    assert secrets.found_in(trial.project.ok("stack", "export", "--stack", trial.name)) == []
    assert secrets.found_in(trial.project.ok("stack", "output", "--json", "--stack", trial.name)) == []


def test_no_diff_tells_them_nor_what_up_has_said_so_far(changed: dict[str, str], trial: Trial, secrets: Searched) -> None:
    assert "postgres-app-2" in changed["in full"], changed["in full"][-2000:]
    assert {way: found for way, said in changed.items() if (found := secrets.found_in(said))} == {}
    assert trial.told
    assert secrets.found_in("\n".join(trial.told)) == []


def test_a_rendered_stack_has_none(trial: Trial, secrets: Searched) -> None:
    objects = render(trial.name, trial.project.folder, trial.file).objects()
    assert secrets.found_in("\n".join(map(text, objects))) == []


def test_no_object_but_a_secret_has_them(trial: Trial, secrets: Searched) -> None:
    said = trial.installation.run("get", OPEN_OBJECTS, "--output", "yaml")
    assert len(yaml.safe_load(said)["items"]) > 50
    assert secrets.found_in(said) == []


def test_no_container_has_written_them(trial: Trial, secrets: Searched, started: Started) -> None:
    installation = trial.installation
    for pod in installation.objects("pods"):
        name = pod["metadata"]["name"]
        restarted = any(one["restartCount"] for one in pod["status"].get("containerStatuses") or [])
        for previous in [(), ("--previous",)] if restarted else [()]:
            said = installation.run("logs", name, "--all-containers", *previous, check=not previous)
            assert secrets.found_in(said) == [], name
    logs = Layout(started.sandbox.kubeconfig.parent).logs
    assert {path.name: found for path in logs.iterdir() if (found := secrets.found_in(path.read_bytes()))} == {}


def test_the_environment_of_none_but_the_app_has_them(trial: Trial, secrets: Searched) -> None:
    allowed = {"web", "sidekiq-alerts", "consumer", "indexer", "release"}
    for pod in trial.installation.objects("pods"):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        references = [
            source
            for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
            for source in [*(container.get("envFrom") or []), *(one for one in container.get("env") or [] if "secretKeyRef" in str(one))]
        ]
        assert bool(references) is (component in allowed), component


def test_no_process_had_them_among_its_arguments(watching: Watching, trial: Trial, changed: dict[str, str]) -> None:
    # The probes of every container have run meanwhile, and the engine with its plugins.
    trial.installation.run("exec", "deployment/web", "--", "true")
    watching.look()
    assert len(watching.seen) > 100
    assert sorted(watching.found) == []

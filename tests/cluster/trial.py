"""A stack of the tests' own on the sandbox: the demo product, in a checkout and with a state of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.installation import Installation
from cli import machine
from cli.kubectl import Kubectl, find
from cli.sandbox import Started
from settings import Settings, resolve
from settings.loader import PROJECT, read_stack_file
from tests.cluster import left_behind
from tests.engine.project import Project, Result
from tests.unit.stacks import UNWATCHED

PRODUCT_IMAGES = ("lamp", "postgres", "rabbitmq", "valkey")
UP_SECONDS = 900
CANARY_LATE_SECONDS = 5
BARE: dict[str, Any] = {
    **UNWATCHED,
    "postgres": {"where": "none"},
    "redis": {"jobs": {"where": "none"}},
    "mqtt": {"where": "none"},
    "consumer": {"where": "none"},
    "sidekiq": {"alerts": None},
    "release": {"command": []},
    # The demo app boots without its services, but not without their addresses.
    "app": {"config": {"DATABASE_URL": "postgresql://nobody@127.0.0.1/none", "REDIS_URL": "redis://127.0.0.1:6379/0"}},
    "web": {"web": {"probes": {"ready": "/health/live"}}},
}
"""A product of one web process and nothing else."""
WATCHED: dict[str, Any] = {
    "metrics": {"where": "cluster", "kubelet": False},
    "logs": {"where": "cluster"},
    "elasticsearch": {"where": "cluster"},
    "canary": {"where": "cluster", "every": "10s", "late": f"{CANARY_LATE_SECONDS}s"},
}
"""A whole product that is watched, and times its own alarms, more often than in earnest."""


class Trial:
    """One stack on the sandbox, driven by the stock Pulumi."""

    def __init__(
        self, name: str, project: Project, started: Started, said: Mapping[str, Any] | None = None, images: Sequence[str] = PRODUCT_IMAGES
    ) -> None:
        """Write the stack's file; nothing is brought up yet."""
        self.name = name
        self.project = project
        self.started = started
        self.told: list[str] = []
        """What the engine has said, each time it was brought up."""
        added = started.embedded(images).config()
        self._base: dict[str, Any] = {"tier": "sandbox"} | {key.removeprefix(f"{PROJECT}:"): value for key, value in added.items()}
        self._base = overlay(overlay(self._base, UNWATCHED), said or {})
        project.init(name)
        self.say({})

    @property
    def namespace(self) -> str:
        said, _ = read_stack_file(self.file)
        return resolve(self.name, said).namespace or f"lamp-{self.name}"

    @property
    def settings(self) -> Settings:
        """The stack's settings as they were said last."""
        said, _ = read_stack_file(self.file)
        return resolve(self.name, said)

    @property
    def file(self) -> Path:
        return self.project.folder / f"Pulumi.{self.name}.yaml"

    @property
    def kubectl(self) -> Kubectl:
        said, _ = read_stack_file(self.file)
        return Kubectl(find(machine.find_built("kubectl")), resolve(self.name, said).cluster, self.namespace)

    @property
    def installation(self) -> Installation:
        """The stack as it was brought up last."""
        return Installation.of(self.kubectl, self.outputs())

    def say(self, said: Mapping[str, Any]) -> None:
        """Say these settings, and what every trial says, and nothing that was said before."""
        self.project.say(self.name, overlay(self._base, said), instead=True)

    def keep(self, said: Mapping[str, Any]) -> None:
        """Say these settings from now on, each time."""
        self._base = overlay(self._base, said)
        self.say({})

    def up(self, *words: str) -> Result:
        """Bring the stack up without a preview first."""
        if (namespace := self.namespace) == f"lamp-{self.name}":
            left_behind.note(namespace)
        result = self.project.pulumi("up", "--yes", "--skip-preview", "--stack", self.name, *words, seconds=UP_SECONDS)
        self.told.append(result.text)
        return result

    def must_up(self) -> None:
        result = self.up()
        assert result.code == 0, result.text

    def destroy(self) -> Result:
        result = self.project.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.name, seconds=UP_SECONDS)
        if result.code == 0:
            left_behind.forget(f"lamp-{self.name}")
        return result

    def has_no_changes(self) -> Result:
        return self.project.pulumi("preview", "--expect-no-changes", "--stack", self.name, seconds=UP_SECONDS)

    def outputs(self) -> dict[str, Any]:
        import json

        return json.loads(self.project.ok("stack", "output", "--json", "--stack", self.name))


def overlay(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack file's settings with others over them; null is kept, for the layers below."""
    made = dict(low)
    for key, value in high.items():
        below = made.get(key)
        made[key] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return made

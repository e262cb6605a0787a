"""A checkout of the tests' own for `./sy`: what it writes into stack files and releases stays there. The sandbox is everybody's."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli import machine
from cli.environment import local_workspace, users
from cli.kubectl import Kubectl, find
from cli.stack import Stack
from settings.loader import PROJECT
from tools.paths import ROOT

UNNEEDED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests", "bench", "docs", "releases", "Pulumi.*.yaml")
UP_SECONDS = 480
SMALL = {"cpu": "20m", "memory": "384Mi"}
Said = Mapping[str, Any]


class Checkout:
    """A copy of the program without the stacks of the real one; drive it with `sy`, as a person would."""

    def __init__(self, folder: Path) -> None:
        """Copy what `./sy` runs."""
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=UNNEEDED)

    def sy(self, *words: str, code: int = 0, seconds: int = UP_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run `./sy` and expect an exit code."""
        argv = [self.folder / "sy", *words]
        done = subprocess.run(argv, env=users(), cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == code, f"sy {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def file(self, stack: str) -> Path:
        return self.folder / f"Pulumi.{stack}.yaml"

    def releases(self, stack: str) -> list[str]:
        """Return the images that the stack has run, as the checkout's record says."""
        record = self.folder / "releases" / f"{stack}.yaml"
        return [entry["image"] for entry in yaml.safe_load(record.read_text())] if record.exists() else []

    def say(self, stack: str, said: Said) -> None:
        """Write a stack's tracked file: these settings, and that it stands on the sandbox."""
        config = {f"{PROJECT}:{key}": value for key, value in {"cluster": {"identifier": "sandbox"}, **said}.items()}
        document = {"config": {"pulumi:disable-default-providers": ["kubernetes"], **config}}
        self.file(stack).write_text(yaml.safe_dump(document, sort_keys=False))

    def kubectl(self, stack: str) -> Kubectl:
        """Return kubectl for the stack as it was brought up last."""
        said = Stack.load(stack, local_workspace().stacks / f"Pulumi.{stack}.yaml", self.folder)
        return Kubectl(find(machine.find_built("kubectl")), said.settings.cluster, f"lamp-{stack}")

    def state(self, stack: str) -> list[dict[str, Any]]:
        """Return the resources that the stack's state holds."""
        return json.loads(self.sy("pulumi", "-s", stack, "stack", "export").stdout)["deployment"].get("resources") or []

    def protected(self, stack: str) -> set[str]:
        """Return the kinds and names that the state protects, as `StatefulSet redis-jobs`."""
        urns = [str(one["urn"]) for one in self.state(stack) if one.get("protect")]
        return {f"{urn.split('::')[2].rsplit(':', 1)[-1]} {urn.rsplit('::', 1)[-1]}" for urn in urns}

    def remove(self, stack: str, said: Said) -> None:
        """Destroy the stack, and forget that it was ever there."""
        self.say(stack, said)
        if self.state(stack):
            self.sy("destroy", "-s", stack, "--yes", "--allow-data-loss", stack)
        self.sy("pulumi", "-s", stack, "stack", "rm", "--yes", "--preserve-config", "--remove-backups")
        (local_workspace().stacks / f"Pulumi.{stack}.yaml").unlink(missing_ok=True)


def standing(kubectl: Kubectl) -> dict[str, tuple[str, int]]:
    """Return everything that a stack made, with what changes when it is made anew or told something else."""
    kinds = "deployments,statefulsets,persistentvolumeclaims,services,secrets,configmaps,networkpolicies"
    found = [kubectl.get("namespace", kubectl.namespace), *kubectl.get(kinds)["items"]]
    return {
        f"{one['kind']}/{one['metadata']['name']}": (one["metadata"]["uid"], int(one["metadata"].get("generation", 0))) for one in found
    }

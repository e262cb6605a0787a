"""A checkout of its own with a file backend: what a person with a stock Pulumi has in front of them."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from settings.loader import PROJECT, ROOT

SECONDS = 120
PARTS = ("__main__.py", "Pulumi.yaml", "product.yaml", "components", "settings")
PASSPHRASE = "a passphrase of the tests"


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        return self.output + self.errors


@dataclass
class Preview:
    """What `pulumi preview --json` said."""

    code: int
    steps: list[dict[str, Any]]
    warnings: list[str]
    errors: list[str]
    text: str
    resources: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.resources = [step["newState"] for step in self.steps if "newState" in step]

    def kinds(self) -> list[str]:
        return [one["type"].rsplit(":", 1)[-1] for one in self.resources]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """Return the inputs of the Kubernetes object of that kind and name."""
        found = [
            one["inputs"]
            for one in self.resources
            if one["type"].startswith("kubernetes:") and one["inputs"].get("kind") == kind and one["inputs"]["metadata"]["name"] == name
        ]
        assert len(found) == 1, f"{kind} {name}: {len(found)} found"
        return found[0]


class Project:
    """A copy of the checkout, so that what Pulumi writes into stack files stays here."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        passphrase = folder.with_name(f"{folder.name}-passphrase")
        passphrase.write_text(PASSPHRASE)
        backend = folder.with_name(f"{folder.name}-backend")
        backend.mkdir(parents=True)
        self.env = {
            **env,
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
            "PYTHONDONTWRITEBYTECODE": "1",
            # The Kubernetes provider leaves kubeconfigs in the folder of temporary files.
            "TMPDIR": str(backend),
        }
        folder.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        for file in ROOT.glob("Pulumi.*.yaml"):
            shutil.copy(file, folder / file.name)

    def pulumi(self, *words: str, given: str | None = None, env: Mapping[str, str] | None = None, seconds: float = SECONDS) -> Result:
        """Run Pulumi in the checkout, as a person would who types it."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, given: str | None = None, env: Mapping[str, str] | None = None) -> str:
        result = self.pulumi(*words, given=given, env=env)
        assert result.code == 0, result.text
        return result.output

    def init(self, stack: str) -> None:
        self.ok("stack", "init", stack, "--no-select")

    def say(self, stack: str, said: Mapping[str, Any], *, instead: bool = False) -> None:
        """Write settings into a stack's file, over what it says or instead of it; its salt stays."""
        file = self.folder / f"Pulumi.{stack}.yaml"
        document: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        before = {} if instead else document.get("config") or {}
        config = {f"{PROJECT}:{key}": value for key, value in said.items()}
        document["config"] = {"pulumi:disable-default-providers": ["kubernetes"], **before, **config}
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    def preview(self, stack: str, *words: str, env: Mapping[str, str] | None = None) -> Preview:
        """Preview a stack."""
        result = self.pulumi("preview", "--json", "--stack", stack, *words, env=env)
        try:
            said = json.loads(result.output)
        except ValueError:
            said = {}
        messages: Sequence[Mapping[str, str]] = said.get("diagnostics") or []
        by_severity = {
            severity: [message["message"].strip() for message in messages if message["severity"] == severity]
            for severity in ("warning", "error")
        }
        return Preview(result.code, said.get("steps") or [], by_severity["warning"], by_severity["error"], result.text)

    def state(self, stack: str) -> list[dict[str, Any]]:
        """Return the resources that the state holds, but for the stack itself."""
        exported = json.loads(self.ok("stack", "export", "--stack", stack))
        resources: list[dict[str, Any]] = exported["deployment"].get("resources") or []
        return [one for one in resources if one["type"] != "pulumi:pulumi:Stack"]


def stock_environment(programs: Sequence[Path], home: Path, python: Path) -> dict[str, str]:
    """Return the environment of somebody who has Pulumi, the language host and a virtual environment on PATH, and no `sy`."""
    path = [str(python.parent), *dict.fromkeys(str(program.parent) for program in programs), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(home.parent),
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # Nobody's own cluster is to be found by accident.
        "KUBECONFIG": str(home.parent / "no-kubeconfig"),
    }

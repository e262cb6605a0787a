"""A CI machine: a clean clone, an environment with next to nothing in it, no terminal, a backend in a folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from settings.loader import ROOT
from tests.engine.project import PASSPHRASE, Result
from tools.paths import cache_dir

SECONDS = 400


@dataclass
class Machine:
    """One checkout and one home, both empty but for the clone. What was built before is there, as a CI's cache keeps it."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        (self.home / "states").mkdir()
        (self.home / "passphrase").write_text(PASSPHRASE)
        self.git("clone", "--quiet", str(ROOT), str(self.checkout), folder=self.home)

    @property
    def checkout(self) -> Path:
        return self.home / "checkout"

    @property
    def env(self) -> dict[str, str]:
        go = shutil.which("go")
        folders = [f"{sys.base_prefix}/bin", *([str(Path(go).parent)] if go else []), "/usr/bin", "/bin"]
        return {
            "PATH": os.pathsep.join(folders),
            "HOME": str(self.home),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "SWITCHYARD_CACHE": str(cache_dir()),
            "PULUMI_BACKEND_URL": f"file://{self.home}/states",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.home / "passphrase"),
            **self.more,
        }

    def run(self, *words: str, env: Mapping[str, str] | None = None, given: str = "", seconds: float = SECONDS) -> Result:
        """Run a command in the checkout as a runner does: without a terminal, in a session of its own."""
        done = subprocess.run(
            words,
            cwd=self.checkout,
            env={**self.env, **(env or {})},
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            start_new_session=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, env: Mapping[str, str] | None = None, given: str = "") -> str:
        result = self.run(*words, env=env, given=given)
        assert result.code == 0, result.text
        return result.output

    def git(self, *words: str, folder: Path | None = None) -> str:
        identity = ["-c", "user.name=CI", "-c", "user.email=ci@example.com"]
        done = subprocess.run(["git", *identity, *words], cwd=folder or self.checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

"""checkov, in a virtual environment of its own: its packages and ours want different versions of the same ones."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tools.errors import UserError
from tools.paths import ROOT, cache_dir
from tools.progress import Progress

REQUIREMENTS = ROOT / "requirements-scan.txt"
LINES_SHOWN = 20


def ensure(progress: Progress) -> Path:
    """Return the program, installing it where it is missing; UserError when that fails."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_dir() / "venv" / f"checkov-{key}"
    if not (folder / "done").exists():
        with progress.step("installing checkov (about 1 min)"):
            _install(folder)
    return folder / "bin" / "checkov"


def _install(folder: Path) -> None:
    # What a stopped run left half made.
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    _run([*pip, "-r", str(REQUIREMENTS)])
    (folder / "done").touch()


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-LINES_SHOWN:])
        raise UserError(f"{REQUIREMENTS.name}: can not be installed; pip ended with:\n{end}")

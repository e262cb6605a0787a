"""Go as we use it: the right version, a module's key, fetching its sources, building its programs."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tools.errors import UserError
from tools.modules import Module

GO_NEEDED = (1, 26)
"""Kubernetes 1.36 and Pulumi 3.259 are written in this version of the language."""

LINES_SHOWN = 20
"""How much of a failed build's output the error repeats; the log has all of it."""

_NO_SOURCE = re.compile(r"_test\.go$|\.md$|^\.")


def go_version() -> str:
    """Return the version of the Go on PATH, such as go1.26.8; UserError when there is none or it is too old."""
    program = _go()
    version = _ask_version(program)
    found = re.match(r"go(\d+)\.(\d+)", version)
    if not found or tuple(map(int, found.groups())) < GO_NEEDED:
        raise UserError(f"{program} is {version or 'no Go that can be asked'}; {_MEND}")
    return version


_MEND = (
    f"the tools need Go {GO_NEEDED[0]}.{GO_NEEDED[1]} or later: install it as https://go.dev/doc/install says, then: "
    'export PATH="/usr/local/go/bin:$PATH"'
)


def _go() -> str:
    program = shutil.which("go")
    if program is None:
        raise UserError(f"there is no go on PATH; {_MEND}")
    return program


@cache
def _ask_version(program: str) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    asked = subprocess.run([program, "env", "GOVERSION"], env=environment, capture_output=True, text=True, cwd="/")
    return asked.stdout.strip()


def key(module: Module, version: str) -> str:
    """Return what the module's programs depend on, in twelve digits: every source of ours, the table's row, Go itself.

    Sources that are not ours are pinned by go.sum.
    """
    row = (module.programs, module.tags, module.variables, module.scripts)
    digest = hashlib.sha256(f"{version} {row!r}".encode())
    for path in sorted(_sources(module.folder)):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(module.folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _sources(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not _NO_SOURCE.search(path.name))


def environment(sources: Path, compiled: Path) -> dict[str, str]:
    """Return the environment of a Go command that keeps sources and compiled packages in these folders."""
    # Go makes no folder for what it is at work on, and on another disk its gigabytes would not be counted.
    compiled.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(compiled),
        # Without modcacherw nobody but root could remove the sources again.
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
        "GOMODCACHE": str(sources),
        "GOTMPDIR": str(compiled),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def fetch_command(module: Module) -> list[str]:
    """Return the command that fetches the sources of what is built; `go mod download` would fetch tests' as well."""
    return ["go", "list", "-deps", "-tags", ",".join(module.tags), "-f", "", *_packages(module)]


def build_command(module: Module, target: Path) -> list[str]:
    """Return the command that builds all of the module's programs into a folder, stripped."""
    linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in module.variables)])
    return ["go", "build", "-tags", ",".join(module.tags), "-ldflags", linker, "-o", f"{target}/", *_packages(module)]


def _packages(module: Module) -> list[str]:
    return [program.package for program in module.programs]


def go_name(package: str) -> str:
    """Return what `go build` calls the program of a package: its last element that is not a major version."""
    elements = package.split("/")
    return elements[-2] if re.fullmatch(r"v[2-9]|v[1-9]\d+", elements[-1]) else elements[-1]


def build(module: Module, target: Path, log: Path, settings: dict[str, str]) -> None:
    """Build the module's programs and put its scripts beside them; UserError with the end of the log when it fails."""
    target.mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = build_command(module, target)
        process = subprocess.Popen(command, cwd=module.folder, env=settings, stdout=output, stderr=output, start_new_session=True)
        try:
            status = process.wait()
        finally:
            stop(process)
    if status != 0:
        raise UserError(_failure(module, status, log))
    for program in module.programs:
        (target / go_name(program.package)).rename(target / program.name)
    for script in module.scripts:
        shutil.copy(_module_folder(script.module, module.folder, settings) / script.path, target / script.name)
        (target / script.name).chmod(0o755)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a Go command and the compilers that it started; nothing when it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _failure(module: Module, status: int, log: Path) -> str:
    with log.open(errors="replace") as lines:
        end = "".join(deque(lines, LINES_SHOWN)).rstrip()
    return f"tools/{module.name}: go build failed ({status}); its log is {log} and ends with:\n{end}"


def _module_folder(name: str, folder: Path, settings: dict[str, str]) -> Path:
    command = ["go", "list", "-m", "-f", "{{.Dir}}", name]
    asked = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    if asked.returncode != 0 or not asked.stdout.strip():
        raise UserError(f"{folder}: {name} is not to be found: {asked.stderr.strip()}")
    return Path(asked.stdout.strip())

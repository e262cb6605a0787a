"""The sandbox's processes on the host: started apart from the terminal, recorded, and ended only when provably ours.

A process is ours when its pid, its start time and the machine's boot match the record written when it was started, or
when its environment carries our mark (a child, or one started by a command that was killed before it wrote the record).
"""

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import StartError

MARK = "SWITCHYARD_SANDBOX_PROCESS"
"""Environment variable of every process of a sandbox: `<state folder>#<name>`. Children inherit it, so shims carry it too."""

LOG_LIMIT = 8 * 1024 * 1024
"""A log larger than this (bytes) is put aside when its process starts; one old log is kept."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Command:
    """A process to run: `name` is its record and log, `inputs` the files it reads at start (a change restarts it).

    `namespaces` are nsenter's options. Not `ip netns exec`: it mounts a new /sys, in which the kubelet finds no cgroups.
    """

    name: str
    argv: Sequence[str | Path]
    env: dict[str, str] = field(default_factory=dict[str, str])
    namespaces: Sequence[str] = ()
    inputs: Sequence[Path] = ()

    def line(self) -> list[str]:
        """Return the full argv."""
        argv = [str(part) for part in self.argv]
        return ["nsenter", *self.namespaces, *argv] if self.namespaces else argv

    def digest(self) -> str:
        """Return a digest of everything the process is started with."""
        digest = hashlib.sha256(json.dumps([self.line(), self.env], sort_keys=True).encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Record:
    """One started process, as written to its file."""

    name: str
    pid: int
    start: int
    boot: str
    digest: str

    def alive(self) -> bool:
        """Say whether this very process still runs."""
        return self.boot == boot_id() and start_time(self.pid) == self.start


class Processes:
    """The processes of the sandbox in `root`."""

    def __init__(self, root: Path, pids: Path, logs: Path) -> None:
        """Keep records in `pids` and logs in `logs`."""
        self._root = root
        self._pids = pids
        self._logs = logs
        self.interrupted = threading.Event()
        """Set when whoever waits for a process should stop waiting."""
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._logs / f"{name}.log"

    def start(self, command: Command) -> bool:
        """Start `command` unless it runs as it should; return whether it was started."""
        digest = command.digest()
        old = self.record(command.name)
        if old and old.alive():
            if old.digest == digest:
                return False
            self.stop([command.name])
        self._rotate(command.name)
        env = {"PATH": SEARCH_PATH, "HOME": "/root", **command.env, MARK: f"{self._root}#{command.name}"}
        with self.log(command.name).open("ab") as log:
            child = subprocess.Popen(
                command.line(), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        self._children[child.pid] = child
        record = Record(command.name, child.pid, start_time(child.pid) or 0, boot_id(), digest)
        path = self._pids / f"{command.name}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(record.__dict__))
        draft.replace(path)
        return True

    def record(self, name: str) -> Record | None:
        """Return the record of a process, whether it still runs or not."""
        try:
            return Record(**json.loads((self._pids / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def names(self) -> list[str]:
        """Return the names of all recorded processes."""
        return sorted(path.stem for path in self._pids.glob("*.json"))

    def running(self, name: str) -> bool:
        """Say whether the process called `name` runs."""
        record = self.record(name)
        return record is not None and record.alive()

    def check(self, name: str) -> None:
        """Raise StartError when the process called `name` has ended."""
        if not self.running(name):
            raise StartError(name, "ended", self.log(name))

    def stop(self, names: Iterable[str], grace: float = 5.0) -> None:
        """End processes together: SIGTERM, then SIGKILL after `grace` seconds. Their records are removed."""
        names = list(names)
        records = [record for name in names if (record := self.record(name))]
        end([(record.pid, record.start) for record in records if record.alive()], grace)
        for name in names:
            (self._pids / f"{name}.json").unlink(missing_ok=True)
        self._reap()

    def marked(self, name: str | None = None) -> list[tuple[int, int]]:
        """Return (pid, start time) of every process that carries our mark, or the mark of `name` alone."""
        wanted = f"{MARK}={self._root}#{name or ''}".encode()
        found: list[tuple[int, int]] = []
        for pid in all_pids():
            start = start_time(pid)
            marks = [entry for entry in _environment(pid) if entry.startswith(wanted)]
            if start is not None and any(name is None or entry == wanted for entry in marks):
                found.append((pid, start))
        return found

    def family(self, name: str) -> list[tuple[int, int]]:
        """Return (pid, start time) of the processes that carry the mark of `name`, and of all their descendants."""
        parents = {pid: parent for pid in all_pids() if (parent := _parent(pid)) is not None}
        found = {pid for pid, _ in self.marked(name)}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return [(pid, start) for pid in sorted(found) if (start := start_time(pid)) is not None]

    def _rotate(self, name: str) -> None:
        log = self.log(name)
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))

    def _reap(self) -> None:
        self._children = {pid: child for pid, child in self._children.items() if child.poll() is None}


def end(processes: Sequence[tuple[int, int]], grace: float) -> None:
    """End the processes given as (pid, start time): SIGTERM, and SIGKILL for those left after `grace` seconds."""
    send(processes, signal.SIGTERM)
    if wait_gone(processes, grace):
        return
    send(processes, signal.SIGKILL)
    wait_gone(processes, 5.0)


def send(processes: Sequence[tuple[int, int]], number: signal.Signals) -> None:
    """Send a signal to those of the processes that still are what they were."""
    for pid, start in processes:
        if start_time(pid) == start:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def wait_gone(processes: Sequence[tuple[int, int]], seconds: float) -> bool:
    """Wait until all processes have ended; return whether they have."""
    deadline = time.monotonic() + seconds
    while any(start_time(pid) == start for pid, start in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (field 22 of its stat); None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """Return the identity of the machine's present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def all_pids() -> list[int]:
    """Return the pids of all processes on the machine."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []

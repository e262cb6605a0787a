"""Temporary folders that outlive nobody for long: what a killed process left, the next one removes.

A folder is locked as long as its process lives. The kernel lets go of the lock however that process ends, and a lock is also seen from
another container that shares the folder of temporary files, where process numbers mean nothing.
"""

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PREFIX = "sy-preflight-"
UNLOCKED = "sy-new-"
"""A folder's name for the moment before it is locked: nobody takes it for one that was left."""


@dataclass(frozen=True)
class Scratch:
    """A folder of this process, which only its user can read."""

    path: Path
    lock: int
    """The open folder, which holds the lock; programs that we start do not inherit it."""

    @classmethod
    def make(cls) -> "Scratch":
        """Make one; those of processes that are gone are removed first."""
        sweep(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix=UNLOCKED))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(made.rename(made.with_name(PREFIX + made.name.removeprefix(UNLOCKED))), lock)

    def remove(self) -> None:
        """Remove it and what is in it; then let go."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)

    def __enter__(self) -> Path:
        """Return where it is."""
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove it."""
        self.remove()


def sweep(folder: Path) -> None:
    """Remove from `folder` what killed processes of this user left there; what a live one holds stays."""
    for path in folder.glob(f"{PREFIX}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # Another user's, no folder, or removed by now.
            continue
        try:
            _remove_left(path, lock)
        finally:
            os.close(lock)


def _remove_left(path: Path, lock: int) -> None:
    if os.fstat(lock).st_uid != os.geteuid():
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(path, ignore_errors=True)

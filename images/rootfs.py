"""The package layer's files: mmdebstrap into a folder, packages dropped, users numbered, what varies removed.

mmdebstrap runs in mount and process namespaces of its own: however the build ends, nothing it mounted or started is left.
"""

import fnmatch
import os
import shlex
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from images.catalog import Spec, User
from images.layer import EPOCH
from images.trims import DROPS, TRIMS, UNPACK
from tools.errors import UserError

HOST_PACKAGES = {"mmdebstrap": "mmdebstrap", "zstd": "zstd", "unshare": "util-linux", "setpriv": "util-linux"}
"""Program the builder needs -> the Debian package that has it."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

TAIL_LINES = 20


class Shell:
    """Runs the build's commands: their output goes to a log, a failure is a UserError, and `stop` ends them all."""

    def __init__(self, log: Path, stopping: threading.Event) -> None:
        """Write to `log`; give up as soon as `stopping` is set."""
        self.log = log
        self._stopping = stopping

    @property
    def cancelled(self) -> bool:
        """Whether the build is to stop."""
        return self._stopping.is_set()

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None, *, called: str = "") -> None:
        """Run a command in a session of its own; raise UserError with the last lines of its output if it fails.

        `called` is the name a failure is reported under, where that is not the command's first word.
        """
        with self.log.open("ab") as log:
            log.write(f"+ {shlex.join(command)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
            try:
                self._wait(process)
            except BaseException:
                self._kill(process)
                raise
        if process.returncode:
            raise UserError(f"{called or command[0]} failed ({process.returncode}). The last lines of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            if self._stopping.wait(0.1):
                raise KeyboardInterrupt

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        for wait_for, how in ((5, signal.SIGTERM), (None, signal.SIGKILL)):
            try:
                os.killpg(process.pid, how)
                process.wait(wait_for)
                return
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def install(shell: Shell, spec: Spec, before: Path, root: Path, archives: Path) -> None:
    """Install the packages of `spec` into the new folder `root`, then remove what it drops and number its users.

    `before` is copied in first (answers that packages' scripts look for); `archives` holds packages fetched earlier.
    """
    env = {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
    shell.run(bootstrap_command(spec, before, root, archives), env, called="mmdebstrap")
    drop(shell, root, spec.drop)
    for user in spec.users:
        number_user(root, user)


def bootstrap_command(spec: Spec, before: Path, root: Path, archives: Path) -> list[str]:
    """Return the mmdebstrap command. Which mirror it uses, and the release's security updates, it knows by itself."""
    kept, inside = shlex.quote(str(archives)), '"$1"/var/cache/apt/archives'
    hooks = [
        f"--setup-hook=mkdir -p {inside}; find {kept} -name '*.deb' -exec ln -t {inside} {{}} +",
        f"--customize-hook=ln {inside}/*.deb {kept} 2>/dev/null; true",
    ]
    if before.is_dir():
        hooks.append(f'--extract-hook=cp -rT --no-preserve=mode {shlex.quote(str(before))} "$1"')
    return [
        # Killed with this process, however that ends.
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
        "mmdebstrap", "--mode=root", "--format=directory", "--variant=essential",
        f"--include={','.join(spec.packages)}",
        "--skip=download/empty", "--skip=essential/unlink", "--skip=check/empty",
        *(f"--dpkgopt={option}" for option in UNPACK), *hooks, str(spec.suite), str(root),
    ]  # fmt: skip


def drop(shell: Shell, root: Path, names: Sequence[str]) -> None:
    """Purge the packages `names` and those no image needs, whatever depends on them, without running their scripts.

    The scripts tidy up a machine that goes on living, and fail where another package they call was purged before them.
    """
    installed = {package.partition("=")[0] for package in packages(root)}
    if unknown := sorted(set(names) - installed):
        raise UserError(f"drop: {', '.join(unknown)} is not among the packages that were installed")
    gone = sorted({*names, *DROPS} & installed)
    database = root / "var/lib/dpkg"
    for script in [*database.glob("info/*.prerm"), *database.glob("info/*.postrm"), *database.glob("triggers/*")]:
        script.unlink()
    shell.run(["dpkg", f"--root={root}", "--force-depends", "--force-remove-essential", "--no-triggers", "--purge", *gone])


def packages(root: Path) -> list[str]:
    """Return the installed packages as `name=version`, sorted, read from dpkg's own list."""
    found: list[str] = []
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found.append(f"{fields['Package']}={fields['Version']}")
    return sorted(found)


def number_user(root: Path, user: User) -> None:
    """Make a user and its group, or give those that a package made their number, and give them their files."""
    old = {kind: _number(root / "etc" / kind, user.name) for kind in ("passwd", "group")}
    _replace(root / "etc/passwd", user.name, f"{user.name}:x:{user.uid}:{user.uid}::{user.home}:/usr/sbin/nologin")
    group = root / "etc/group"
    # A package's user may be a member of groups that nothing here grants anything to.
    group.write_text("".join(f"{line.rpartition(':')[0]}:\n" for line in group.read_text().splitlines()))
    _replace(group, user.name, f"{user.name}:x:{user.uid}:")
    if any(number is not None for number in old.values()):
        _own(root, old["passwd"], old["group"], user.uid)


def clean(root: Path, spec: Spec) -> None:
    """Remove what is trimmed and links that lead nowhere; no program keeps its set-user-id bit: nothing needs it."""
    globs = (*TRIMS, *spec.trim)
    for path in sorted(_all(root), reverse=True):
        relative = path.relative_to(root).as_posix()
        if any(fnmatch.fnmatchcase(relative, glob) for glob in globs):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in list(_all(root)):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) and not _leads_somewhere(root, path):
            path.unlink()
        elif stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(found.st_mode) & 0o1777)


def prepare_host(shell: Shell, *, unpacks: bool, others: Mapping[str, str] | None = None) -> None:
    """Install what the builder needs and this machine lacks; a UserError says what to do where that can not be done.

    `unpacks` tells whether an image has packages; without, only the compressor is needed. `others` are further programs and their packages.
    """
    if unpacks and os.geteuid():
        raise UserError("Building images unpacks packages as root: run it as root (the sandbox needs root as well).")
    missing = missing_packages(unpacks=unpacks, others=others)
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise UserError(f"Building images needs {', '.join(missing)}, and there is no apt-get: install them first.")
    # Another apt-get may run: wait for its lock instead of failing at once.
    patient = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
    shell.run([*patient, "update"])
    shell.run([*patient, "install", "--yes", "--no-install-recommends", *missing], env={"DEBIAN_FRONTEND": "noninteractive"})


def missing_packages(*, unpacks: bool = True, others: Mapping[str, str] | None = None) -> list[str]:
    """Return the Debian packages that the builder needs and this machine lacks, each once."""
    needed = HOST_PACKAGES if unpacks else {"zstd": "zstd"}
    missing = {package for program, package in {**needed, **(others or {})}.items() if not shutil.which(program)}
    if unpacks and not KEYRING.is_file():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def remove(folder: Path) -> None:
    """Remove a folder and all below it, but first unmount what is mounted there, so that nothing outside is deleted."""
    for mount in sorted(mounts_below(folder), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
    shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


def mounts_below(folder: Path) -> list[str]:
    """Return the mount points at or below a folder."""
    points = (line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    decoded = (point.encode().decode("unicode_escape") for point in points)
    return [point for point in decoded if Path(point).is_relative_to(folder.resolve())]


def _leads_somewhere(root: Path, link: Path) -> bool:
    """Return whether a link of the tree `root` has a target there, or one that exists only in a running container."""
    for _ in range(20):
        target = str(link.readlink())
        link = root / target.lstrip("/") if target.startswith("/") else Path(os.path.normpath(link.parent / target))
        if link.relative_to(root).parts[:1] in {("proc",), ("dev",), ("run",), ("sys",)}:
            return True
        if not link.is_symlink():
            return link.exists() or any(parent.is_symlink() for parent in link.parents)
    return False


def _own(root: Path, uid: int | None, gid: int | None, number: int) -> None:
    for path in _all(root):
        found = path.lstat()
        new_uid, new_gid = number if found.st_uid == uid else -1, number if found.st_gid == gid else -1
        if (new_uid, new_gid) != (-1, -1):
            os.chown(path, new_uid, new_gid, follow_symlinks=False)


def _all(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        yield from (Path(folder) / found for found in [*folders, *files])


def _number(file: Path, name: str) -> int | None:
    line = _line(file, name)
    return int(line.split(":")[2]) if line else None


def _line(file: Path, name: str) -> str:
    return next((line for line in file.read_text().splitlines() if line.startswith(f"{name}:")), "")


def _replace(file: Path, name: str, line: str) -> None:
    others = [other for other in file.read_text().splitlines() if not other.startswith(f"{name}:")]
    file.write_text("".join(f"{other}\n" for other in [*others, line]))

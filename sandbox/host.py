"""What the machine must bring: root, Debian packages, kernel settings that a kubelet changes and `down` puts back."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from sandbox.processes import SEARCH_PATH, boot_id
from tools.errors import UserError
from tools.progress import Progress

PACKAGES = {
    "runc": "runc",  # Debian's is built with seccomp; a plain Go build is not, and RuntimeDefault would fail
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "ss": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""Programs needed on the host, and the Debian package of each."""

CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PACKAGE = "containernetworking-plugins"

KERNEL_SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""What a kubelet sets on its machine; this machine is somebody's own, so `down` restores them."""

INOTIFY = {"fs/inotify/max_user_instances": 1024, "fs/inotify/max_user_watches": 524288}
"""Raised where lower: three kubelets and every log follower watch files, all as root. 128 instances are too few."""


def require_root() -> None:
    """Raise UserError unless this is Linux and we are root."""
    if os.uname().sysname != "Linux":
        raise UserError("The sandbox needs Linux; on another system run it inside a Linux virtual machine.")
    if os.geteuid() != 0:
        raise UserError("The sandbox needs root (bridge, mounts, network namespaces): run the same command with sudo.")


def require_packages(progress: Progress) -> None:
    """Install the Debian packages that are missing."""
    missing = missing_packages()
    if not missing:
        return
    if not shutil.which("apt-get", path=SEARCH_PATH):
        raise UserError(f"The sandbox needs {', '.join(missing)}, and there is no apt-get here: install them and try again.")
    with progress.step(f"installing Debian packages: {', '.join(missing)}"):
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *missing)
    if left := missing_packages():
        raise UserError(f"apt-get ran, and still there is no {', '.join(left)}: install them by hand and try again.")


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not on this machine."""
    missing = {package for program, package in PACKAGES.items() if not shutil.which(program, path=SEARCH_PATH)}
    return sorted(missing if cni_folder() else missing | {CNI_PACKAGE})


def cni_folder() -> Path | None:
    """Return the folder that holds the network plugins, None when no folder has them all."""
    complete = [folder for folder in CNI_FOLDERS if all((folder / plugin).exists() for plugin in CNI_PLUGINS)]
    return complete[0] if complete else None


def program(name: str) -> str:
    """Return the path of a program of the host; Debian's /usr/sbin is often not on a user's PATH."""
    found = shutil.which(name, path=SEARCH_PATH)
    if not found:
        raise UserError(f"{name} is not installed: install Debian's package {PACKAGES.get(name, name)}.")
    return found


def run(*argv: str, text: str | None = None, check: bool = True) -> str:
    """Run a program of the host and return its output; raise UserError with its message when it fails."""
    line = [program(argv[0]), *argv[1:]]
    done = subprocess.run(line, input=text, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise UserError(f"`{' '.join(argv)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def succeeds(*argv: str) -> bool:
    """Run a program of the host and say whether it exited with 0."""
    return subprocess.run([program(argv[0]), *argv[1:]], capture_output=True, check=False).returncode == 0


def tune_kernel(saved: Path) -> None:
    """Write down the settings that kubelets change, and raise the limits on file watches."""
    if not saved.exists() or json.loads(saved.read_text())["boot"] != boot_id():
        values = {name: _setting(name).read_text().strip() for name in [*KERNEL_SETTINGS, *INOTIFY]}
        saved.write_text(json.dumps({"boot": boot_id(), "values": values}))
    for name, wanted in INOTIFY.items():
        if int(_setting(name).read_text()) < wanted:
            _setting(name).write_text(str(wanted))


def restore_kernel(saved: Path) -> None:
    """Put the kernel's settings back to what they were before `tune_kernel`; a reboot has done so already."""
    if not saved.exists():
        return
    record = json.loads(saved.read_text())
    values: dict[str, str] = record["values"] if record["boot"] == boot_id() else {}
    for name, value in values.items():
        if _setting(name).read_text().strip() != value:
            _setting(name).write_text(value)
    saved.unlink()


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _apt(*argv: str) -> None:
    # Another apt-get may run: wait for its lock instead of failing at once.
    line = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2", "-qq", *argv]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        reason = words[-1] if words else "no message"
        raise UserError(f"`apt-get {' '.join(argv)}` failed: {reason}. Mend that, or install the packages by hand.")

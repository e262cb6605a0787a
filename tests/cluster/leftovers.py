"""What a stopped sandbox must not leave on the machine."""

import subprocess
from pathlib import Path

from sandbox.containers import CGROUPS, PARENT
from sandbox.layout import RUN
from sandbox.processes import MARK, all_pids, start_time


def find(state: Path) -> list[str]:
    """Return everything of the sandbox that is still on the machine outside its state folder, one line each."""
    found = [f"process {pid}" for pid in all_pids() if marked(pid, state)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if f" {RUN}" in line or f" {state}" in line or "/sy-" in line]
    found += [line for line in lines("ip", "netns", "list") if line.startswith("sy-")]
    found += [line for line in lines("ip", "-o", "link") if ": sy" in line]
    found += [line for line in lines("iptables-save") if "sy0" in line or "switchyard" in line]
    found += [
        line for line in lines("ip", "route") if line.removeprefix("unreachable ").startswith(("10.118.", "10.119.", "10.120.", "10.121."))
    ]
    found += [str(path) for path in (CGROUPS / PARENT, *CGROUPS.glob(f"*/{PARENT}")) if path.is_dir()]
    found += lines("ipset", "list", "-name")
    return found + [str(path) for path in (RUN,) if path.exists()]


def lines(*argv: str) -> list[str]:
    """Return the lines that a program prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def marked(pid: int, state: Path) -> bool:
    """Say whether a process was started by the sandbox."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={state}".encode() in environment and start_time(pid) is not None

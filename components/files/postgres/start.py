"""Start of a Postgres pod: takes the volume, brings the running cluster up to date, then becomes Patroni."""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path("/etc/patroni")
LOCK_WITHIN = 60
"""Seconds to wait for a predecessor on the same node to let go of the volume."""
SETTINGS_WITHIN = 20
"""Seconds to wait for the API server before starting all the same."""


def main() -> None:
    """Prepare, then replace this process by Patroni."""
    settings = yaml.safe_load((CONFIG / "10-patroni.yml").read_text())
    data = Path(settings["postgresql"]["data_dir"])
    take(data)
    update_settings(settings)
    address = os.environ["PATRONI_KUBERNETES_POD_IP"]
    os.environ["PATRONI_RESTAPI_CONNECT_ADDRESS"] = f"{address}:8008"
    os.environ["PATRONI_POSTGRESQL_CONNECT_ADDRESS"] = f"{address}:5432"
    # Beside Patroni, for as long as the container lives.
    subprocess.Popen([sys.executable, str(CONFIG / "accounts.py"), "watch"])
    os.execvp("patroni", ["patroni", str(CONFIG)])


def take(data: Path) -> None:
    """Lock the volume for the life of this container, and clear what a killed one left behind.

    A pod deleted by force may still run while its successor starts on the same node. Postgres' own lock file holds a
    process number, which says nothing across containers: it lets two servers in, or, after a kill, none.
    """
    lock = os.open(data.parent / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    os.set_inheritable(lock, True)
    deadline = time.monotonic() + LOCK_WITHIN
    while not _locked(lock):
        if time.monotonic() > deadline:
            sys.exit(f"{data.parent} is in use by another container of this node")
        time.sleep(0.5)
    (data / "postmaster.pid").unlink(missing_ok=True)
    if data.exists():
        # A kubelet that hands the volume to the pod's group opens the directory to it, and Postgres refuses to start.
        data.chmod(0o700)


def update_settings(settings: dict[str, Any]) -> None:
    """Write `bootstrap.dcs`, which Patroni itself reads only once, over the running cluster's settings.

    The first member of a rolling update does so. The others take at once what needs no restart, and the rest when their own turn comes:
    from the highest number down, wherever the primary is, so the primary may be any of them, and hands over when it is stopped.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as wanted:
        yaml.safe_dump(settings["bootstrap"]["dcs"], wanted)
        wanted.flush()
        command = ["patronictl", "-c", str(CONFIG), "edit-config", "--force", "--replace", wanted.name, settings["scope"]]
        # A new cluster has no settings yet, and an API server that is away must not keep the database down.
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SETTINGS_WITHIN, check=False)
            said = (done.stdout + done.stderr).strip().splitlines()
        except subprocess.TimeoutExpired:
            said = ["the API server did not answer; not compared"]
    print(f"settings: {said[-1] if said else 'nothing said'}", flush=True)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

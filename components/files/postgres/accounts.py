"""Sets the accounts' passwords in the primary: called by Patroni, and beside it for as long as the pod lives.

As a callback of Patroni's, for a server that has become or started as the primary, it gets an event, a role and a scope; after bootstrap
only a connection string. As `accounts.py watch` it waits for other passwords: a rotation renews the files under the running server.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path("/etc/patroni")
CHANGED = CONFIG / "..data"
"""A link that the kubelet makes anew when any of the files has changed."""
ATTEMPTS = 60
EVERY_SECONDS = 2
QUIET = ["psql", "-X", "-q", "-w"]
LOCAL = [*QUIET, "-d", "host=/run/postgresql user=postgres dbname=postgres"]


def main(arguments: list[str]) -> int:
    """Run accounts.sql over the local socket, again every second until it succeeds. Patroni ends it when the role changes."""
    if arguments == ["watch"]:
        return watch()
    if len(arguments) == 3 and arguments[1] != "primary":
        return 0
    for _ in range(ATTEMPTS):
        if set_passwords():
            return 0
        time.sleep(1)
    print("accounts: the passwords could not be set", file=sys.stderr, flush=True)
    return 1


def set_passwords() -> bool:
    """Run accounts.sql; say whether it succeeded."""
    return subprocess.run([*LOCAL, "-o", "/dev/null", "-f", str(CONFIG / "accounts.sql")], check=False).returncode == 0


def watch() -> int:
    """Take each change of the files: the primary sets the passwords, a standby waits until it has; then Patroni reads them too."""
    taken = CHANGED.readlink()
    while True:
        time.sleep(EVERY_SECONDS)
        said = CHANGED.readlink()
        if said == taken or not (set_passwords() if is_primary() else known_by_primary()):
            continue
        taken = said
        # Patroni is the first process, and hands the signal on to itself.
        os.kill(1, signal.SIGHUP)
        print("accounts: other passwords were taken, without a restart", flush=True)


def is_primary() -> bool:
    """Say whether the server of this pod runs, and is the primary."""
    asked = [*LOCAL, "-A", "-t", "-c", "SELECT pg_is_in_recovery()"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "f"


def known_by_primary() -> bool:
    """Say whether the primary knows the superuser's new password. A standby that reads it too early loses its place in the stream."""
    with tempfile.NamedTemporaryFile("w") as passfile:
        passfile.write(f"postgres:5432:*:postgres:{(CONFIG / 'superuser').read_text().strip()}\n")
        passfile.flush()
        address = "host=postgres user=postgres dbname=postgres connect_timeout=3"
        environment = os.environ | {"PGPASSFILE": passfile.name}
        words = [*QUIET, "-d", address, "-c", "SELECT 1"]
        return subprocess.run(words, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

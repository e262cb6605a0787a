"""Called by Patroni: sets the accounts' passwords in a server that has become, or started as, the primary.

As a callback it gets an event, a role and a scope; after bootstrap only a connection string.
"""

import subprocess
import sys
import time

ATTEMPTS = 60
COMMAND = ["psql", "-X", "-q", "-w", "-o", "/dev/null", "-d", "host=/run/postgresql user=postgres dbname=postgres"]


def main(arguments: list[str]) -> int:
    """Run accounts.sql over the local socket, again every second until it succeeds. Patroni ends it when the role changes."""
    if len(arguments) == 3 and arguments[1] != "primary":
        return 0
    for _ in range(ATTEMPTS):
        if subprocess.run([*COMMAND, "-f", "/etc/patroni/accounts.sql"], check=False).returncode == 0:
            return 0
        time.sleep(1)
    print("accounts: the passwords could not be set", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

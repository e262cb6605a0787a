"""Ten thousand lamps' accounts: how long the app takes to make them in the broker, and what they cost each later start of it.

    python -m bench.accounts                 on the sandbox's own stack
    python -m bench.accounts --count 1000 -s trial

It wants a stack that is up, restarts the broker's members one after the other, twice, and takes the accounts away at the end.
"""

import argparse
import json
import secrets
import time
from datetime import datetime

from bench.figures import show
from bench.installation import Installation
from bench.load import Lamp, wait_until
from bench.opened import opened_installation

COUNT = 10_000
IMPORT_SECONDS, START_SECONDS = 120, 10
PREFIX = "bulk"
SLICE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.accounts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT, help=f"accounts to make (default {COUNT})")
    parser.add_argument("-s", "--stack", default="sandbox", help="the stack (default: sandbox)")
    said = parser.parse_args()
    measure(opened_installation(said.stack), said.count)


def measure(installation: Installation, count: int) -> None:
    """Print the figures."""
    before = slowest_start(installation)
    show("a member's start, before", before, "s")
    lamps = {f"{PREFIX}-{number}": secrets.token_hex(8) for number in range(count)}
    try:
        began = time.monotonic()
        imported(installation, lamps)
        show(f"{count} accounts made by the app", time.monotonic() - began, "s", IMPORT_SECONDS)
        show("accounts in the broker", len(accounts(installation)), "")
        after = slowest_start(installation)
        show(f"a member's start, with {count} accounts", after, "s")
        show("slower by", max(0.0, after - before), "s", START_SECONDS)
        show("the last lamp is let in after", let_in(installation, *list(lamps.items())[-1]), "s")
    finally:
        took = removed(installation)
    show("taken away again", took, "s")


def imported(installation: Installation, lamps: dict[str, str]) -> None:
    """Let the app take up lamps, as its operators would: rows in the database, accounts through the broker's management API."""
    text = "".join(f"{serial},{password}\n" for serial, password in lamps.items())
    script = "cat > /tmp/bulk.csv && bin/rake 'lamps:import[/tmp/bulk.csv]'; code=$?; rm /tmp/bulk.csv; exit $code"
    installation.run("exec", "--stdin", "deployment/web", "--container", "app", "--", "sh", "-c", script, given=text, seconds=600)


def accounts(installation: Installation) -> list[str]:
    """Return the names of the bulk's accounts in the broker."""
    return [name for one in installation.broker_lists("users") if (name := str(one["user"])).startswith(f"{PREFIX}-")]


def slowest_start(installation: Installation) -> float:
    """Restart the broker's members one after the other; return the seconds from the start of a container until it was ready, at worst."""
    return max(_restarted(installation, pod) for pod in sorted(installation.ready_pods("mqtt")))


def let_in(installation: Installation, serial: str, password: str) -> float:
    """Return the seconds until a lamp is connected."""
    began = time.monotonic()
    lamp = Lamp(installation.broker, serial, password)
    try:
        wait_until(lambda: lamp.connected, 30, lambda: f"{serial} was not let in")
        return time.monotonic() - began
    finally:
        lamp.close()


def removed(installation: Installation) -> float:
    """Delete the bulk's accounts and rows; return the seconds that it took."""
    began = time.monotonic()
    script = (
        f"names = Lamp.where('serial like ?', '{PREFIX}-%').pluck(:serial); "
        f"names.each_slice({SLICE}) {{ |some| BrokerManagement.new.post('users/bulk-delete', users: some) }}; "
        "Lamp.where(serial: names).delete_all"
    )
    installation.run("exec", "deployment/web", "--container", "app", "--", "bin/rails", "runner", script, seconds=600)
    return time.monotonic() - began


def _restarted(installation: Installation, pod: str) -> float:
    def state() -> tuple[str, float | None]:
        found = json.loads(installation.run("get", "pod", pod, "--output", "json", check=False) or "{}")
        if not found or "deletionTimestamp" in found["metadata"]:
            return "", None
        ready = next((one for one in found["status"].get("conditions", []) if one["type"] == "Ready" and one["status"] == "True"), None)
        running = next((one["state"].get("running") for one in found["status"].get("containerStatuses", []) if one["name"] == "mqtt"), None)
        took = (_moment(ready["lastTransitionTime"]) - _moment(running["startedAt"])) if ready and running else None
        return str(found["metadata"]["uid"]), took

    old, _ = state()
    installation.run("delete", "pod", pod, "--wait=false")
    wait_until(lambda: state()[0] not in ("", old) and state()[1] is not None, 600, lambda: f"{pod} did not become ready again")
    took = state()[1]
    installation.wait_serving()
    assert took is not None
    return took


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()

"""The image registry that nodes pull from, on the bridge alone."""

import http.client
import json
import secrets

from sandbox.files import write
from sandbox.layout import HOST, REGISTRY, REGISTRY_PORT, Layout, Programs
from sandbox.network import Port
from sandbox.processes import Command, Processes
from sandbox.waiting import wait_for

NAME = "registry"
PORTS = [Port(HOST, REGISTRY_PORT, NAME)]


def command(layout: Layout, programs: Programs) -> Command:
    """Write the registry's configuration and return its command."""
    secret = layout.pki / "registry.secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(16))
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(layout.registry)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": True, "age": "24h", "interval": "24h", "dryrun": False}},
        },
        "http": {"addr": REGISTRY},
    }
    path = layout.config / "registry.yaml"
    write(path, json.dumps(config, indent=2))
    env = {
        # Not in the file: whoever may read configuration need not read this.
        "REGISTRY_HTTP_SECRET": secret.read_text(),
        "OTEL_TRACES_EXPORTER": "none",
        "GOMEMLIMIT": "128MiB",
    }
    return Command(NAME, [programs.program("registry"), "serve", path], env, inputs=[path])


def up(layout: Layout, programs: Programs, processes: Processes) -> None:
    """Start the registry and wait until it answers."""
    processes.start(command(layout, programs))
    wait_for(NAME, answers, processes, 20)


def answers() -> bool:
    """Say whether the registry answers."""
    connection = http.client.HTTPConnection(HOST, REGISTRY_PORT, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

"""Redis: one Valkey server, for Sidekiq's jobs or as a cache."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pulumi
from pulumi_kubernetes import core

from components.endpoints import Endpoint
from components.kube import network, passwords, probes, workload
from components.kube.configuration import config_map, renewed_secret
from components.rotation import LOGIN, waiting
from components.site import Site
from components.watch import Watch, members, rules
from settings import backing
from settings.types import bytes_of

PORT = 6379
DIRECTORY = "/etc/valkey"
KEYS = f"{DIRECTORY}/secret"
FILES = Path(__file__).parent / "files" / "redis"
GRACE_SECONDS = 60
"""A shutdown writes the rest of the append-only file."""
START_WITHIN = 60
FORBIDDEN = ("acl", "config", "debug", "failover", "module", "replicaof", "save", "shutdown", "slaveof", "swapdb", "flushall")
"""Commands that the app never needs, and that lose or give away data."""


class Redis(pulumi.ComponentResource):
    """One Valkey server, called `redis-<instance>`. With `noeviction` it keeps Sidekiq's jobs in an append-only file on a volume.

    Any other policy makes a cache: nothing is written to disk, and a restart empties it. A second's jobs may be lost when
    the node fails (appendfsync everysec): what must never be lost does not rest on them.

    Another password is taken by the running server: the readiness probe lets it read its accounts again each time.
    """

    endpoint: Endpoint
    """The server, its account `default` and the current password; the generation before it is accepted until it is revoked."""
    ready: Sequence[pulumi.Resource]
    """What has waited until the current password is accepted; empty for the first one."""
    watch: Watch
    """What its rules expect; its figures are an exporter's."""

    def __init__(self, name: str, instance: str, args: backing.Redis, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:index:Redis", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        component = f"redis-{instance}"
        accepted = passwords.accepted(f"{name}-password", args, child)
        keepers = passwords.accepted(f"{name}-keeper", args, child)

        config = config_map(component, component, site, files(args), child)
        users = pulumi.Output.all(*accepted, *keepers).apply(lambda known: acl(args, known[: len(accepted)], known[len(accepted) :]))
        values = {"users.acl": users} | {f"keeper-{which}": keepers[min(which, len(keepers) - 1)] for which in (0, 1)}
        keys, renewed = renewed_secret(f"{component}-password", component, site, values, acl(args, [], []), child)
        network.admit_clients(name, component, site, [PORT], child)
        workload.service(name, component, component, site, {"redis": (PORT, PORT)}, child)
        made = workload.stateful_set(
            name,
            _pod(component, args, site, config, keys),
            site,
            workload.keeping_claims(child) if args.persistent else child,
            replicas=1,
            service_name=workload.governing_service(name, component, site, {"redis": (PORT, PORT)}, child),
            claims=[workload.claim("data", args.volume, site)] if args.persistent else [],
        )
        self.endpoint = Endpoint(
            service=component, host=component, port=PORT, user="default", password=accepted[0], fingerprint=str(args.rotation)
        )
        self.ready = waiting(
            name,
            component,
            "valkey",
            f'[ "$(REDISCLI_AUTH=$(cat {LOGIN}/password) timeout 5 valkey-cli -h {component} ping)" = PONG ]',
            {"password": accepted[0]},
            self.endpoint,
            args.rotation,
            site,
            child,
            after=[made, renewed],
            placement=args.placement,
        )
        self.watch = Watch(rules=rules("redis"), expectations=(members(component, 1),))
        self.register_outputs({"host": self.endpoint.host})


def files(args: backing.Redis) -> dict[str, str]:
    """Return the server's configuration and the probes' scripts."""
    return {"valkey.conf": configuration(args), **{path.name: path.read_text() for path in sorted(FILES.glob("*.sh"))}}


def configuration(args: backing.Redis) -> str:
    """Return valkey.conf."""
    lines = [
        f"port {PORT}",
        "bind * -::*",
        "dir /data",
        f"aclfile {KEYS}/users.acl",
        f"maxmemory {max_memory(args)}",
        f"maxmemory-policy {args.policy}",
        "tcp-keepalive 60",
        # Snapshots would fork beside the append-only file, which is the one that is read at start.
        'save ""',
        f"appendonly {'yes' if args.persistent else 'no'}",
        "appendfsync everysec",
        # A killed server may leave half a command at the end: it starts without it, rather than not at all.
        "aof-load-truncated yes",
        "auto-aof-rewrite-min-size 16mb",
        # Large keys are freed beside the commands, not in between.
        "lazyfree-lazy-eviction yes",
        "lazyfree-lazy-expire yes",
        "lazyfree-lazy-user-del yes",
    ]
    return "\n".join(lines) + "\n"


def max_memory(args: backing.Redis) -> int:
    """Return the bytes that data may take; rewriting the append-only file copies pages and needs the rest."""
    return int(bytes_of(args.resources.memory) * args.memory_share)


def acl(args: backing.Redis, accepted: Sequence[str], keepers: Sequence[str]) -> str:
    """Return the accounts file, with the accepted passwords as digests. A cache may be emptied, jobs may not.

    `default` is the app's; `keeper` is the probes', which ask for a sign of life and let the server read this file again.
    """
    forbidden = [*FORBIDDEN, *(["flushdb"] if args.persistent else [])]
    app = ["user default on", *map(_digest, accepted), "~* &* +@all", *(f"-{command}" for command in forbidden)]
    keeper = ["user keeper on", *map(_digest, keepers), "-@all +ping +acl|load"]
    return " ".join(app) + "\n" + " ".join(keeper) + "\n"


def _digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def _pod(component: str, args: backing.Redis, site: Site, config: str, keys: str) -> workload.Pod:
    alive, ready = (["sh", f"{DIRECTORY}/{script}.sh"] for script in ("alive", "ready"))
    container = workload.container(
        "valkey",
        site.image("valkey"),
        site,
        args.resources,
        command=["valkey-server", f"{DIRECTORY}/valkey.conf"],
        ports={"redis": PORT},
        mounts={"/data": "data", DIRECTORY: "config", KEYS: "keys"},
        read_only=[DIRECTORY, KEYS],
        probes={
            "startup_probe": probes.command(alive, within_seconds=START_WITHIN),
            "liveness_probe": probes.command(alive),
            "readiness_probe": probes.command(ready),
        },
    )
    volumes = [workload.from_config("config", config), workload.from_secret("keys", keys)]
    scratch: list[core.v1.VolumeArgs] = [] if args.persistent else [workload.empty_dir("data", args.resources.scratch)]
    return workload.Pod(
        component=component,
        containers=[container],
        volumes=[*volumes, *scratch],
        grace_seconds=GRACE_SECONDS,
        placement=args.placement,
    )

"""The files of /etc/rabbitmq: what ships as it is, and what settings fill in. Pure functions, no resources."""

from pathlib import Path
from string import Template

from components.site import Site
from settings.backing import Mqtt
from settings.types import bytes_of, seconds_of

FILES = Path(__file__).parent / "files" / "mqtt"
NAME = "mqtt"
"""The StatefulSet, and what its pods' names begin with."""
MEMBERS = "mqtt-members"
"""The headless Service that gives members their lasting names."""
CLUSTER_DOMAIN = "cluster.local"
MIB = 2**20


def configuration(args: Mqtt, site: Site) -> dict[str, str]:
    """Return the files of /etc/rabbitmq."""
    domain = f"{MEMBERS}.{site.namespace}.svc.{CLUSTER_DOMAIN}"
    nodes = [f"cluster_formation.classic_config.nodes.{n + 1} = rabbit@{NAME}-{n}.{domain}" for n in range(args.members)]
    memory, storage = bytes_of(args.resources.memory), bytes_of(args.volume.size)
    filled = Template((FILES / "rabbitmq.conf").read_text()).substitute(
        members=args.members,
        nodes="\n".join(nodes),
        partition_handling="pause_minority" if args.members > 1 else "ignore",
        reconciliation="true" if args.members > 1 else "false",
        session_expiry=seconds_of(args.session_expiry),
        memory=memory,
        # RabbitMQ's own is 512 MiB, and it wants three times that in memory: too much for a container of 512 MiB.
        wal_size=max(16 * MIB, min(512 * MIB, memory // 16)),
        # A large share of a large volume would be an alarm for ever where the claim is still as small as it was made.
        disk_free=min(storage // 5, 2048 * MIB),
    )
    names = ("enabled_plugins", "start.sh", "ready.sh", "stop.sh", "switchyard_client_ids.erl")
    shipped = {name: (FILES / name).read_text() for name in names}
    environment = (FILES / "rabbitmq-env.conf").read_text().replace("${domain}", domain)
    return {"rabbitmq.conf": filled, "rabbitmq-env.conf": environment, "advanced.config": _backends(args), **shipped}


def _backends(args: Mqtt) -> str:
    """Return advanced.config: who is asked whether a user may do something. A list of backends can not be said in rabbitmq.conf."""
    asked = ["rabbit_auth_backend_internal", *(["switchyard_client_ids"] if args.client_ids == "user" else [])]
    return f"[{{rabbit, [{{auth_backends, [{{rabbit_auth_backend_internal, [{', '.join(asked)}]}}]}}]}}].\n"

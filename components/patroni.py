"""Patroni's configuration: what it does about failures, and what Postgres gets of the pod's memory and volume."""

import json
from collections.abc import Mapping

from settings.backing import Postgres
from settings.types import bytes_of

SCOPE = "postgres"
"""Name of the Patroni cluster, and beginning of the names of the ConfigMaps that it keeps its state in."""
REST_PORT = 8008
PORT = 5432
DIRECTORY = "/etc/patroni"
VOLUME = "/var/lib/postgresql/data"
SOCKETS = "/run/postgresql"

TTL = 20
"""Seconds after which a silent primary is replaced: the smallest that Patroni takes."""
LOOP_WAIT = 5
RETRY_TIMEOUT = 5
"""loop_wait + 2 x retry_timeout must not exceed ttl. A longer outage of the API server is what failsafe mode is for."""
PRIMARY_START_TIMEOUT = 30
"""Seconds that a crashed primary may spend on recovery before a standby takes over; Patroni's default is 300."""
LOST_PEER = "10s"
"""After so long without a word a standby is given up, and commits no longer wait for it; Postgres' default is 60 s."""

_MIB = 2**20
_KIB = 2**10


def configuration(args: Postgres) -> dict[str, object]:
    """Return what all members share. Passwords and a member's own address are not in it."""
    return {
        "scope": SCOPE,
        "kubernetes": {
            "labels": {"app.kubernetes.io/component": "postgres"},
            "scope_label": "cluster-name",
            "role_label": "role",
            "leader_label_value": "primary",
            "use_endpoints": False,
        },
        "restapi": {"listen": f"0.0.0.0:{REST_PORT}"},
        "bootstrap": {
            "dcs": cluster_settings(args),
            # The C.UTF-8 locale sorts alike in every image; others change with the C library and break indexes.
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            "post_bootstrap": f"python3 {DIRECTORY}/accounts.py",
        },
        "postgresql": {
            "listen": f"0.0.0.0:{PORT}",
            "data_dir": f"{VOLUME}/{args.major}",
            "bin_dir": f"/usr/lib/postgresql/{args.major}/bin",
            "pgpass": f"{SOCKETS}/.pgpass",
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "remove_data_directory_on_rewind_failure": True,
            # A new standby would otherwise wait for the next checkpoint to end in its own time: minutes.
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": parameters(args),
            "pg_hba": [
                "local all postgres peer",
                # Without a password: one that older data does not know yet would keep Patroni from rewinding a standby.
                "local replication replicator peer map=patroni",
                "host replication replicator all scram-sha-256",
                "host all all all scram-sha-256",
            ],
            "pg_ident": ["patroni postgres replicator"],
            "callbacks": dict.fromkeys(("on_start", "on_role_change"), f"python3 {DIRECTORY}/accounts.py"),
        },
        "watchdog": {"mode": "off"},
    }


def cluster_settings(args: Postgres) -> dict[str, object]:
    """Return what must be the same for all members, which Patroni keeps in Kubernetes; `start.py` renews it there."""
    return {
        "ttl": TTL,
        "loop_wait": LOOP_WAIT,
        "retry_timeout": RETRY_TIMEOUT,
        "primary_start_timeout": PRIMARY_START_TIMEOUT,
        # The primary stays one while the API server is away, as long as it reaches every member.
        "failsafe_mode": True,
        # An acknowledged commit is on two members. When the last standby is lost the primary goes on alone.
        "synchronous_mode": synchronous_mode(args.members),
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": args.max_connections,
                "max_wal_senders": 10,
                "max_replication_slots": 10,
                "wal_level": "replica",
                "wal_keep_size": "64MB",
            },
        },
    }


def synchronous_mode(members: int) -> bool | str:
    """Return Patroni's mode: from three members on any one standby's word is enough, so that losing one delays nobody."""
    return "quorum" if members > 2 else members > 1


def parameters(args: Postgres) -> dict[str, str | int]:
    """Return Postgres' parameters that depend on the pod, and those that suit every pod."""
    return {
        **memory_parameters(bytes_of(args.resources.memory), args.max_connections),
        **wal_parameters(bytes_of(args.volume.size)),
        "unix_socket_directories": SOCKETS,
        "password_encryption": "scram-sha-256",
        "huge_pages": "off",
        "jit": "off",
        "idle_in_transaction_session_timeout": "5min",
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": "30s",
        "wal_sender_timeout": LOST_PEER,
        "wal_receiver_timeout": LOST_PEER,
        # How often a standby knocks at a primary that is away; until it streams again it can not take over.
        "wal_retrieve_retry_interval": "1s",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_min_duration_statement": "1s",
        # The text of a failed statement may carry personal data and passwords; the error itself is logged.
        "log_min_error_statement": "panic",
        "log_checkpoints": "on",
        "log_lock_waits": "on",
        "log_temp_files": "10MB",
    }


def memory_parameters(memory: int, max_connections: int) -> dict[str, str]:
    """Return the parameters that share out `memory` bytes: a quarter for the buffers, a quarter for all sorts together."""
    return {
        "shared_buffers": _mib(memory // 4),
        "effective_cache_size": _mib(memory // 2),
        "maintenance_work_mem": _mib(_between(memory // 16, 16 * _MIB, 1024 * _MIB)),
        "work_mem": f"{_between(memory // 4 // max_connections, 2 * _MIB, 64 * _MIB) // _KIB}kB",
    }


def wal_parameters(volume: int) -> dict[str, str]:
    """Return the limits of the write-ahead log on a volume of `volume` bytes.

    A standby that is away may hold back a quarter of the volume; then it is copied anew, rather than the disk filling up.
    """
    return {
        "min_wal_size": "80MB",
        "max_wal_size": _mib(_between(volume // 10, 128 * _MIB, 8192 * _MIB)),
        "max_slot_wal_keep_size": _mib(max(volume // 4, 128 * _MIB)),
    }


def shared_memory(args: Postgres) -> int:
    """Return the bytes of /dev/shm, where parallel queries exchange rows; it counts against the memory limit."""
    return bytes_of(args.resources.memory) // 4


def passwords_document(passwords: Mapping[str, str]) -> str:
    """Return the part of Patroni's configuration that is secret; JSON is YAML."""
    users = {"superuser": "postgres", "replication": "replicator", "rewind": "rewind"}
    accounts = {role: {"username": user, "password": passwords[role]} for role, user in users.items()}
    rest = {"username": "patroni", "password": passwords["rest"]}
    return json.dumps({"postgresql": {"authentication": accounts}, "restapi": {"authentication": rest}})


def _mib(amount: int) -> str:
    return f"{amount // _MIB}MB"


def _between(amount: int, low: int, high: int) -> int:
    return min(max(amount, low), high)

"""What the broker knows from the start: users, permissions, queues and bindings. Pure functions, no resources."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.kube.passwords import account
from settings.backing import Queue

ROLES = ("app", "accounts", "monitor", "canary")
"""The stack's own users; each generation of passwords has users of its own."""
VHOST = "/"
"""The one virtual host."""
EXCHANGE = "amq.topic"
"""Where RabbitMQ's MQTT plugin publishes to."""
KEEP_TRYING = -1
"""x-delivery-limit. RabbitMQ 4 drops a message after 20 deliveries unless told otherwise; a reader without its database uses them up."""

STACK = "stack"
"""Tag of the stack's own users, who may connect under any client id; a device's account must not have it."""
CLIENT_ID_LENGTH = 23
"""Letters and digits of a consumer's MQTT client id: what MQTT 3.1 lets every broker accept, and nobody can guess."""
CONSUMER_SESSION = "consumer-session"
"""What metrics call the queue of the consumer's session: the queue's own name tells the client id, which is a secret."""


@dataclass(frozen=True, kw_only=True)
class User:
    """A user of the broker: what it may configure, write and read are regular expressions over names."""

    name: str
    password_hash: str
    tags: tuple[str, ...] = ()
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topic: str = ""
    """The one MQTT topic that it may publish to; empty: its rights over EXCHANGE are for all topics."""


@dataclass(frozen=True, kw_only=True)
class DeclaredQueue:
    """A quorum queue that exists before any device is let in."""

    name: str
    topics: tuple[str, ...]
    """MQTT filters."""
    single_active: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments it is declared with; RabbitMQ keeps those of the first declaration for good."""
        single = {"x-single-active-consumer": True} if self.single_active else {}
        return {"x-queue-type": "quorum", "x-delivery-limit": KEEP_TRYING, **single}

    @property
    def routing_keys(self) -> list[str]:
        """Its topics as AMQP writes them."""
        return [routing_key(topic) for topic in self.topics]


def declared(queues: Mapping[str, Queue], session: tuple[str, str] | None = None) -> list[DeclaredQueue]:
    """Return the queues that settings declare, and that of a `session` (client id, topic)."""
    said = [DeclaredQueue(name=name, topics=tuple(queue.topics), single_active=queue.single_active) for name, queue in queues.items()]
    if session is None:
        return said
    client_id, topic = session
    return [*said, DeclaredQueue(name=session_queue(client_id), topics=(topic,))]


def session_queue(client_id: str) -> str:
    """Return the name of the queue that the MQTT plugin keeps for a QoS 1 session of `client_id`."""
    return f"mqtt-subscription-{client_id}qos1"


def routing_key(topic: str) -> str:
    """Return an MQTT filter as an AMQP routing key: `lamps/+/fall` is `lamps.*.fall`. ValueError where that would mean something else."""
    if not topic or "." in topic or "*" in topic:
        raise ValueError(f"topic {topic!r}: '.' and '*' have another meaning in RabbitMQ; use '/' and '+'")
    return topic.replace("/", ".").replace("+", "*")


def password_hash(password: str, salt: bytes) -> str:
    """Return a password as RabbitMQ stores it: base64 of a salt of four bytes and SHA-256 over salt and password."""
    if len(salt) != 4:
        raise ValueError(f"expected a salt of 4 bytes, not {len(salt)}")
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def app_user(hashed: str, queues: Sequence[DeclaredQueue], generation: int = 1) -> User:
    """Return the app's user: it reads the declared queues, may bind them to topics, and publishes commands to devices.

    An import leaves users alone that it does not name: those of the generation before can log in until they are revoked.
    """
    names = "|".join(re.escape(queue.name) for queue in queues)
    own = f"^({names})$" if names else "^$"
    exchange = re.escape(EXCHANGE)
    writes = f"^({exchange}|{names})$" if names else f"^{exchange}$"
    return User(name=account("app", generation), password_hash=hashed, tags=(STACK,), configure=own, write=writes, read=writes)


def accounts_user(hashed: str, generation: int = 1) -> User:
    """Return the user that the app makes devices' accounts with; only administrators may."""
    return User(name=account("accounts", generation), password_hash=hashed, tags=("administrator", STACK))


def monitor_user(hashed: str, generation: int = 1) -> User:
    """Return the user of the readiness probe: it sees everything and changes nothing."""
    return User(name=account("monitor", generation), password_hash=hashed, tags=("monitoring", STACK))


def canary_user(hashed: str, topic: str, generation: int = 1) -> User:
    """Return the canary's user: it publishes to its topic, and to no other; it subscribes to nothing."""
    name, exchange = account("canary", generation), f"^{re.escape(EXCHANGE)}$"
    return User(name=name, password_hash=hashed, tags=(STACK,), write=exchange, topic=topic)


def definitions(users: Sequence[User], queues: Sequence[DeclaredQueue]) -> str:
    """Return definitions.json. It is imported at every start: users and permissions are overwritten, queues and bindings added."""
    content = {
        "vhosts": [{"name": VHOST}],
        "users": [_user(user) for user in users],
        "permissions": [_permission(user) for user in users],
        "topic_permissions": [_topic_permission(user) for user in users if user.topic],
        "queues": [_queue(queue) for queue in queues],
        "bindings": [_binding(queue, key) for queue in queues for key in queue.routing_keys],
    }
    return json.dumps(content, indent=1)


def files(
    queues: Sequence[DeclaredQueue],
    hashes: Mapping[str, str],
    monitor: str,
    generation: int = 1,
    canary_topic: str | None = None,
    dropped: Sequence[int] = (),
) -> dict[str, str]:
    """Return the files of the broker's Secret, for the users' password hashes by role and the monitor's password.

    The users of the generations `dropped` are deleted.
    """
    users = [
        app_user(hashes["app"], queues, generation),
        accounts_user(hashes["accounts"], generation),
        monitor_user(hashes["monitor"], generation),
        *([canary_user(hashes["canary"], canary_topic, generation)] if canary_topic else []),
    ]
    prober = account("monitor", generation)
    return {
        "definitions.json": definitions(users, queues),
        "probe": probe(prober, monitor, queues),
        "members": members_probe(prober, monitor),
        "revoked": "".join(f"{account(role, old)}\n" for old in dropped for role in ROLES),
    }


def probe(user: str, password: str, queues: Sequence[DeclaredQueue]) -> str:
    """Return curl's configuration for asking the management API for every queue and binding: exit 0 means that all are there."""
    paths = [path for queue in queues for path in _paths(queue)] or ["whoami"]
    requests = [f'url = "{_api(path)}"\noutput = /dev/null' for path in paths]
    return "\n".join([*_curl(user, password), "fail-early", *requests]) + "\n"


def members_probe(user: str, password: str) -> str:
    """Return curl's configuration for listing the members that have joined."""
    return "\n".join([*_curl(user, password), f'url = "{_api("nodes?columns=name")}"']) + "\n"


def _curl(user: str, password: str) -> list[str]:
    return [f'user = "{user}:{password}"', "silent", "fail", "max-time = 3"]


def _api(path: str) -> str:
    return f"http://127.0.0.1:15672/api/{path}"


def _paths(queue: DeclaredQueue) -> list[str]:
    vhost, name = quote(VHOST, safe=""), quote(queue.name, safe="")
    # A binding without arguments is known by its routing key.
    bindings = [f"bindings/{vhost}/e/{EXCHANGE}/q/{name}/{quote(key, safe='')}" for key in queue.routing_keys]
    return [f"queues/{vhost}/{name}", *bindings]


def _user(user: User) -> dict[str, Any]:
    hashing = "rabbit_password_hashing_sha256"
    return {"name": user.name, "password_hash": user.password_hash, "hashing_algorithm": hashing, "tags": list(user.tags), "limits": {}}


def _permission(user: User) -> dict[str, str]:
    return {"user": user.name, "vhost": VHOST, "configure": user.configure, "write": user.write, "read": user.read}


def _topic_permission(user: User) -> dict[str, str]:
    written = f"^{re.escape(routing_key(user.topic))}$"
    return {"user": user.name, "vhost": VHOST, "exchange": EXCHANGE, "write": written, "read": "^$"}


def _queue(queue: DeclaredQueue) -> dict[str, Any]:
    return {"name": queue.name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": queue.arguments}


def _binding(queue: DeclaredQueue, key: str) -> dict[str, Any]:
    place = {"source": EXCHANGE, "vhost": VHOST, "destination": queue.name, "destination_type": "queue"}
    return {**place, "routing_key": key, "arguments": {}}

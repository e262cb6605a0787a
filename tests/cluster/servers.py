"""Real servers outside the cluster, as a company has them elsewhere: Postgres, Valkey, RabbitMQ and Elasticsearch, with TLS and passwords.

They run as processes of this machine from the files of the built images, each in that image's root file system as the image's user,
all in one network namespace on the sandbox's bridge that is neither the host's nor a node's.
"""

import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.mqtt_definitions import password_hash
from images.catalog import Built
from sandbox.network import Outside
from tests.cluster.certificates import Authority

IMAGES = ("postgres", "valkey", "rabbitmq", "elasticsearch")
PORTS = {"postgres": 5432, "valkey": 6380, "rabbitmq": 8883, "elasticsearch": 9200}
UID = 10100
"""The user that every image runs as."""
START_SECONDS = 90
DATABASE = "lamp"
LAMP = "lamp-1"
SESSION = r"mqtt-subscription-.*"
"""Queues of MQTT sessions."""

# $1 is the root file system. Mounts and processes are those of namespaces that end with the process.
ENTER = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" || exit 1
root=$1; shift; chroot --userspec=10100:10100 "$root" "$@"; exit
"""


@dataclass(frozen=True)
class Servers:
    """What runs outside, and how to log in there. The user is `app` everywhere, and `lamp-1` for the demo's lamp."""

    place: Outside
    roots: Mapping[str, Path]
    passwords: Mapping[str, str]
    """By image, and the lamp's."""
    authority: str

    def said(self, image: str, **more: Any) -> dict[str, Any]:
        """Return the settings of a server's `external`."""
        password = f"{image.upper()}_PASSWORD"
        here = {
            "host": self.place.address,
            "port": PORTS[image],
            "user": "app",
            "password": password,
            "ranges": [f"{self.place.address}/32"],
        }
        return {**here, "tls": "verify-full", "ca": self.authority, **more}

    def run(self, image: str, *argv: str, given: str | None = None) -> str:
        """Run a program of the image beside its server and return its output."""
        done = subprocess.run(
            entered(self.place, self.roots[image], environment(self.roots[image]), argv),
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{image}: {argv}: {done.stderr}"
        return done.stdout

    def jobs_processed(self) -> int:
        """Return how many jobs Sidekiq has finished, as its Redis tells it."""
        words = ("valkey-cli", "--tls", "--cacert", "/data/ca.crt", "-h", self.place.address, "-p", str(PORTS["valkey"]))
        login = ("env", f"REDISCLI_AUTH={self.passwords['valkey']}")
        return int(self.run("valkey", *login, *words, "get", "stat:processed").strip() or 0)


@contextmanager
def serving(images: Mapping[str, Built], folder: Path, place: Outside, authority: Authority) -> Generator[Servers]:
    """Unpack the images below `folder`, start a server of each, and end them all afterwards."""
    roots = {name: folder / name for name in IMAGES}
    passwords = {name: secrets.token_urlsafe(18) for name in (*IMAGES, LAMP)}
    made = Servers(place, roots, passwords, authority.certificate)
    with ExitStack() as running:
        for name in IMAGES:
            unpack(images[name], roots[name])
            PREPARE[name](made, authority.sign(name, f"IP:{place.address}"))
        for name in IMAGES:
            running.enter_context(process(made, name))
        for name in IMAGES:
            wait_listening(made, name)
        grant(made)
        yield made


def unpack(image: Built, root: Path) -> None:
    """Write an image's files into the folder `root`, and its environment beside it."""
    index = json.loads((image.layout / "index.json").read_text())
    manifest = blob(image, index["manifests"][0]["digest"])
    config = json.loads(blob(image, json.loads(manifest.read_text())["config"]["digest"]).read_text())
    root.mkdir(parents=True)
    for layer in json.loads(manifest.read_text())["layers"]:
        argv = [
            "tar",
            "--extract",
            "--zstd",
            "--numeric-owner",
            "--same-owner",
            f"--file={blob(image, layer['digest'])}",
            f"--directory={root}",
        ]
        subprocess.run(argv, check=True, capture_output=True)
    for name in ("proc", "dev", "tmp", "data", "etc"):
        (root / name).mkdir(exist_ok=True)
    for name in ("tmp", "data"):
        os.chown(root / name, UID, UID)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    root.with_suffix(".env").write_text("\n".join(config["config"]["Env"]))


def blob(image: Built, digest: str) -> Path:
    return image.layout / "blobs" / digest.replace(":", "/")


def environment(root: Path) -> dict[str, str]:
    said = dict(line.split("=", 1) for line in root.with_suffix(".env").read_text().splitlines())
    return said | {"HOME": "/data", "TMPDIR": "/tmp"}


def entered(place: Outside, root: Path, env: Mapping[str, str], argv: tuple[str, ...]) -> list[str]:
    """Return the command line of a program in the image's root and the servers' place; whoever starts it dies with it."""
    unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", str(root)]
    return ["setpriv", "--pdeathsig", "KILL", *place.argv(*unshared), "env", "-i", *(f"{key}={value}" for key, value in env.items()), *argv]


@contextmanager
def process(servers: Servers, name: str) -> Generator[None]:
    root = servers.roots[name]
    env = environment(root) | ENVIRONMENT.get(name, {})
    with root.with_suffix(".log").open("wb") as log:
        argv = entered(servers.place, root, env, COMMANDS[name])
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        # The server is the first process of its namespace: all that it started ends with it.
        os.killpg(started.pid, signal.SIGKILL)
        started.wait(30)


def wait_listening(servers: Servers, name: str) -> None:
    """Wait until the server takes connections; AssertionError with the end of its log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((servers.place.address, PORTS[name]), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    log = servers.roots[name].with_suffix(".log").read_text(errors="replace")
    raise AssertionError(f"{name} does not listen on {servers.place.address}:{PORTS[name]}:\n{log[-3000:]}")


def grant(servers: Servers) -> None:
    """Make the app's account and database in Postgres; the other servers know theirs from their files."""
    password = servers.passwords["postgres"]
    statements = f"create role app login password '{password}'; create database {DATABASE} owner app;"
    wait = "until pg_isready -q -h /tmp; do sleep 0.2; done; exec psql -q -h /tmp -U postgres -v ON_ERROR_STOP=1 postgres"
    servers.run("postgres", "sh", "-c", wait, given=statements.replace("; ", ";\n"))


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    for made in (file, file.parent):
        os.chown(made, UID, UID)


def with_certificate(servers: Servers, name: str, signed: tuple[str, str], folder: str = "data") -> Path:
    root = servers.roots[name]
    for file, text in zip(("server.key", "server.crt", "ca.crt"), (*signed, servers.authority), strict=True):
        write(root, f"{folder}/{file}", text)
    return root


def _postgres(servers: Servers, signed: tuple[str, str]) -> None:
    root = with_certificate(servers, "postgres", signed)
    servers.run("postgres", "initdb", "--auth=trust", "--username=postgres", "-D", "/data/pg")
    settings = {
        "listen_addresses": "*",
        "unix_socket_directories": "/tmp",
        "ssl": "on",
        "ssl_key_file": "/data/server.key",
        "ssl_cert_file": "/data/server.crt",
        "fsync": "off",
    }
    write(root, "data/pg/postgresql.conf", "".join(f"{key} = '{value}'\n" for key, value in settings.items()))
    write(root, "data/pg/pg_hba.conf", "local all postgres trust\nhostssl all all all scram-sha-256\n")


def _valkey(servers: Servers, signed: tuple[str, str]) -> None:
    root = with_certificate(servers, "valkey", signed)
    lines = [
        "port 0",
        f"tls-port {PORTS['valkey']}",
        "tls-key-file /data/server.key",
        "tls-cert-file /data/server.crt",
        "tls-ca-cert-file /data/ca.crt",
        "tls-auth-clients no",
        "maxmemory-policy noeviction",
        f"user default on >{servers.passwords['valkey']} ~* &* +@all",
        f"user app on >{servers.passwords['valkey']} ~* &* +@all",
    ]
    write(root, "data/valkey.conf", "\n".join(lines) + "\n")


def _rabbitmq(servers: Servers, signed: tuple[str, str]) -> None:
    root = with_certificate(servers, "rabbitmq", signed)
    lines = [
        "listeners.tcp = none",
        "mqtt.listeners.tcp = none",
        f"mqtt.listeners.ssl.default = {PORTS['rabbitmq']}",
        "ssl_options.keyfile = /data/server.key",
        "ssl_options.certfile = /data/server.crt",
        "ssl_options.verify = verify_none",
        "mqtt.allow_anonymous = false",
        "load_definitions = /data/definitions.json",
    ]
    write(root, "data/rabbitmq.conf", "\n".join(lines) + "\n")
    write(root, "data/plugins", "[rabbitmq_mqtt].\n")
    write(root, "data/definitions.json", json.dumps(definitions(servers)))


def definitions(servers: Servers) -> dict[str, Any]:
    named = {"app": servers.passwords["rabbitmq"], LAMP: servers.passwords[LAMP]}
    allowed = f"^(amq\\.topic|{SESSION})$"
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {"name": user, "password_hash": password_hash(password, secrets.token_bytes(4)), "tags": []} for user, password in named.items()
        ],
        "permissions": [{"user": user, "vhost": "/", "configure": f"^{SESSION}$", "write": allowed, "read": allowed} for user in named],
    }


def _elasticsearch(servers: Servers, signed: tuple[str, str]) -> None:
    config = "usr/share/elasticsearch/config"
    root = with_certificate(servers, "elasticsearch", signed, config)
    said: dict[str, Any] = {
        "discovery.type": "single-node",
        "network.host": "0.0.0.0",
        "node.store.allow_mmap": False,
        "xpack.security.enabled": True,
        "xpack.security.http.ssl.enabled": True,
        "xpack.security.http.ssl.key": "server.key",
        "xpack.security.http.ssl.certificate": "server.crt",
    }
    write(root, f"{config}/elasticsearch.yml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in said.items()))
    write(root, f"{config}/users", f"app:{pbkdf2(servers.passwords['elasticsearch'])}\n")
    write(root, f"{config}/users_roles", "superuser:app\n")


def pbkdf2(password: str, rounds: int = 10000) -> str:
    """Return a password as Elasticsearch's file of users has it."""
    salt = secrets.token_bytes(32)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return "{PBKDF2}" + "$".join((str(rounds), base64.b64encode(salt).decode(), base64.b64encode(made).decode()))


PREPARE = {"postgres": _postgres, "valkey": _valkey, "rabbitmq": _rabbitmq, "elasticsearch": _elasticsearch}
COMMANDS: dict[str, tuple[str, ...]] = {
    "postgres": ("postgres", "-D", "/data/pg"),
    "valkey": ("valkey-server", "/data/valkey.conf", "--dir", "/data"),
    "rabbitmq": ("rabbitmq-server",),
    "elasticsearch": ("elasticsearch",),
}
ENVIRONMENT: dict[str, dict[str, str]] = {
    "rabbitmq": {
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_CONFIG_FILE": "/data/rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/data/plugins",
        "RABBITMQ_MNESIA_BASE": "/data/mnesia",
        "RABBITMQ_LOGS": "-",
    },
    "elasticsearch": {"ES_JAVA_OPTS": "-Xms512m -Xmx512m -Xlog:disable"},
}

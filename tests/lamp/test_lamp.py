"""The demo app's own tests, in its own image, beside servers of the stack's images that nobody else uses."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cli import sandbox as cli_sandbox
from cli.machine import find_built
from cli.sandbox import Started
from tests.cluster.trial import PRODUCT_IMAGES
from tools.paths import ROOT
from tools.progress import Progress

NAMESPACE = "lamp-tests"
TESTS = ROOT / "sandbox" / "lamp" / "test"
SECONDS = 600
POSTGRES = "initdb --auth=trust --username=app -D /data/pg >/dev/null && "
POSTGRES += "exec postgres -c listen_addresses=* -D /data/pg -c unix_socket_directories=/tmp -c fsync=off"
RABBITMQ = "echo '[rabbitmq_management,rabbitmq_mqtt].' > /data/plugins && exec rabbitmq-server"
SEARCH_LINES = ("discovery.type: single-node", "network.host: 0.0.0.0", "node.store.allow_mmap: false", "xpack.security.enabled: false")
# The file is the archive's and root's; the folder is the server's.
ELASTICSEARCH = "rm -f config/elasticsearch.yml && printf '%s\\n' '" + "' '".join(SEARCH_LINES) + "'"
ELASTICSEARCH += " > config/elasticsearch.yml && exec elasticsearch"
IMAGES = (*PRODUCT_IMAGES, "elasticsearch")
ADDRESSES = {
    "DATABASE_URL": "postgresql://app@127.0.0.1:5432/postgres",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "AMQP_URL": "amqp://guest:guest@127.0.0.1:5672/%2F",
    "MQTT_URL": "mqtt://guest:guest@127.0.0.1:1883",
    "MQTT_MANAGEMENT_URL": "http://guest:guest@127.0.0.1:15672",
    "ELASTICSEARCH_URL": "http://127.0.0.1:9200",
    "SECRET_KEY_BASE": "only-for-tests" * 5,
}
ERLANG = {"HOME": "/data", "RABBITMQ_MNESIA_BASE": "/data/mnesia", "RABBITMQ_ENABLED_PLUGINS_FILE": "/data/plugins", "RABBITMQ_LOGS": "-"}


@pytest.fixture(scope="module")
def started() -> Started:
    progress = Progress()
    made = cli_sandbox.start(None, IMAGES, progress)
    progress.close()
    return made


@pytest.fixture
def kubectl(started: Started) -> Iterator["Kubectl"]:
    made = Kubectl(str(started.embedded(IMAGES).config()["switchyard:cluster"]["kubeconfig"]))
    made.run("delete", "namespace", NAMESPACE, "--ignore-not-found")
    made.run("create", "namespace", NAMESPACE)
    yield made
    made.run("delete", "namespace", NAMESPACE, "--wait=false")


class Kubectl:
    """kubectl in the tests' own namespace."""

    def __init__(self, kubeconfig: str) -> None:
        self.argv = [str(find_built("kubectl") or "kubectl"), "--kubeconfig", kubeconfig, "--namespace", NAMESPACE]

    def run(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run([*self.argv, *words], input=given, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


def test_the_demo_app_passes_its_own_tests(started: Started, kubectl: Kubectl) -> None:
    pins = started.embedded(IMAGES).config()["switchyard:images"]["pinned"]
    kubectl.run("apply", "-f", "-", given=json.dumps(config_map()))
    kubectl.run("apply", "-f", "-", given=json.dumps(pod(pins)))
    code = ended(kubectl)
    text = kubectl.run("logs", "pod/tests", "-c", "tests", "--tail=400")
    assert code == 0, text
    assert " 0 failures, 0 errors" in text


def ended(kubectl: Kubectl) -> int:
    """Return the tests' exit code once they have ended."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        status = json.loads(kubectl.run("get", "pod/tests", "-o", "json"))["status"]
        for one in status.get("containerStatuses", []):
            if one["name"] == "tests" and "terminated" in one["state"]:
                return int(one["state"]["terminated"]["exitCode"])
        time.sleep(2)
    said = kubectl.run("logs", "pod/tests", "-c", "tests", "--tail=60")
    raise AssertionError(f"not ended within {SECONDS} s: {said}\n{kubectl.run('describe', 'pod/tests')}")


def config_map() -> dict[str, Any]:
    files = {key(path): (TESTS / path).read_text() for path in paths()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tests"}, "data": files}


def paths() -> list[str]:
    return sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*") if path.is_file())


def key(path: str) -> str:
    return path.replace("/", "__")


def pod(pins: dict[str, str]) -> dict[str, Any]:
    tests = {"name": "tests", "configMap": {"name": "tests", "items": [{"key": key(path), "path": path} for path in paths()]}}
    servers = [
        server("postgres", pins["postgres"], POSTGRES, 5432),
        server("valkey", pins["valkey"], "exec valkey-server --save '' --bind 0.0.0.0 --protected-mode no", 6379),
        server("elasticsearch", pins["elasticsearch"], ELASTICSEARCH, 9200, {"ES_JAVA_OPTS": "-Xms384m -Xmx384m"}),
        server("rabbitmq", pins["rabbitmq"], RABBITMQ, 15672, ERLANG),
    ]
    main = container("tests", pins["lamp"], ["bin/test", "--verbose"], ADDRESSES)
    main["volumeMounts"] += [{"name": "data", "mountPath": f"/app/{folder}", "subPath": folder} for folder in ("test", "tmp")]
    # A ConfigMap's files are links, and Ruby looks for a file's neighbours where the link leads.
    # And it takes a /tmp for one only if it is sticky, as in the stack (components/release.py).
    copied = container("suite", pins["lamp"], ["sh", "-c", "cp -rL /suite/. /data && mkdir -m 1777 /scratch/tests"], {})
    copied["volumeMounts"] = [
        {"name": "tests", "mountPath": "/suite"},
        {"name": "data", "mountPath": "/data", "subPath": "test"},
        {"name": "tmp", "mountPath": "/scratch"},
    ]
    security = {"runAsUser": 10100, "runAsGroup": 10100, "runAsNonRoot": True, "fsGroup": 10100}
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}, tests]
    spec = {
        "restartPolicy": "Never",
        "securityContext": security,
        "initContainers": [*servers, copied],
        "containers": [main],
        "volumes": volumes,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tests"}, "spec": spec}


def server(name: str, image: str, script: str, port: int, env: dict[str, str] | None = None) -> dict[str, Any]:
    made = container(name, image, ["sh", "-c", script], env or {})
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 120}
    return made | {"restartPolicy": "Always", "startupProbe": probe}


def container(name: str, image: str, command: list[str], env: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "command": command,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": name}, {"name": "tmp", "mountPath": "/tmp", "subPath": name}],
    }

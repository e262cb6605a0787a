"""Who reaches whom, with real packets: every refusal is counted only after somebody who may was let in."""

import json
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.installation import Installation, is_ready
from bench.load import Lamp, NamedContext, wait_until
from sandbox import network
from sandbox.network import Outside
from tests.cluster.trial import Trial

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()"
RUBY_CONNECT = "require 'socket'; Socket.tcp(ARGV[0], ARGV[1].to_i, connect_timeout: 3).close"
INNER = {"postgres": (5432, 8008), "redis-jobs": (6379,), "mqtt": (1883, 5672, 15672, 15692, 4369, 25672)}
"""Ports that only pods of the stack may reach, some of them only members of the component itself."""
SERVED = {("postgres", 5432), ("redis-jobs", 6379), ("mqtt", 1883), ("mqtt", 5672), ("mqtt", 15672)}
"""What the app's own processes use."""
PATIENCE = 30
"""A changed label reaches the firewall within a few seconds."""


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """A machine on the sandbox's network that is neither the host nor a node."""
    with network.outside("test") as made:
        yield made


def address(installation: Installation, component: str) -> str:
    return next(pod["status"]["podIP"] for pod in installation.pods(component) if is_ready(pod))


def from_outside(outside: Outside, host: str, port: int) -> bool:
    argv = outside.argv(sys.executable, "-c", CONNECT, host, str(port))
    return subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode == 0


def from_pod(installation: Installation, pod: str, host: str, port: int, *where: str) -> bool:
    argv = installation.kubectl.argv(*where, "exec", pod, "--", "ruby", "-e", RUBY_CONNECT, host, str(port))
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0


def listens(installation: Installation, component: str, port: int) -> bool:
    """Whether something in the pod listens on a port, asked inside of it."""
    pod = installation.ready_pods(component)[0]
    script = f"exec 3<>/dev/tcp/{address(installation, component)}/{port}"
    argv = installation.kubectl.argv("exec", pod, "--", "bash", "-c", script)
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0


class TestFromOutside:
    @pytest.mark.parametrize(("component", "port"), [(component, port) for component, ports in INNER.items() for port in ports])
    def test_an_inner_port_is_closed(self, installation: Installation, outside: Outside, component: str, port: int) -> None:
        host = address(installation, component)
        if (component, port) in SERVED:
            assert from_pod(installation, installation.ready_pods("web")[0], host, port), "nobody listens there at all"
        else:
            assert listens(installation, component, port), "nobody listens there at all"
        assert not from_outside(outside, host, port)

    @pytest.mark.parametrize(
        ("service", "port"), [("postgres", 5432), ("redis-jobs", 6379), ("mqtt", 1883), ("mqtt", 5672), ("mqtt", 15672)]
    )
    def test_a_service_opens_no_other_way(self, installation: Installation, outside: Outside, service: str, port: int) -> None:
        found = json.loads(installation.run("get", "service", service, "--output", "json"))
        assert not from_outside(outside, found["spec"]["clusterIP"], port)

    def test_the_public_address_of_the_broker_offers_tls_and_nothing_else(self, installation: Installation, outside: Outside) -> None:
        assert from_outside(outside, installation.broker.host, installation.broker.port)
        for port in (1883, 5672, 15672, 15692):
            assert not from_outside(outside, installation.broker.host, port), port

    def test_the_web_is_open_to_whom_the_edge_names(self, installation: Installation, outside: Outside) -> None:
        assert from_outside(outside, address(installation, "web"), 3000)


@pytest.fixture(scope="module")
def probe(trial: Trial) -> Iterator[str]:
    """A pod of the namespace that is of no component and carries no client label."""
    installation = trial.installation
    app = installation.pods("web")[0]["spec"]["containers"][0]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"purpose": "probe"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10100, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "probe",
                    "image": app["image"],
                    "command": ["sleep", "3600"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                    "resources": {"limits": {"memory": "128Mi", "cpu": "200m"}},
                }
            ],
        },
    }
    installation.run("apply", "--filename", "-", given=json.dumps(pod))
    installation.run("wait", "--for=condition=Ready", "pod/probe", "--timeout=90s")
    yield "probe"
    installation.run("delete", "pod", "probe", "--force", "--grace-period=0")


class TestInsideTheNamespace:
    @pytest.mark.parametrize(("service", "port"), [("postgres", 5432), ("redis-jobs", 6379), ("mqtt", 5672)])
    def test_a_pod_gets_through_with_the_services_label_and_not_without(
        self, installation: Installation, probe: str, service: str, port: int
    ) -> None:
        label = f"switchyard.dev/client-of-{service}"
        assert not from_pod(installation, probe, service, port)
        installation.run("label", "pod", probe, f"{label}=true")
        try:
            wait_until(lambda: from_pod(installation, probe, service, port), PATIENCE, lambda: f"{service} did not let its client in")
        finally:
            installation.run("label", "pod", probe, f"{label}-")
        wait_until(lambda: not from_pod(installation, probe, service, port), PATIENCE, lambda: f"{service} still lets a stranger in")

    def test_a_client_label_of_another_namespace_opens_nothing(self, installation: Installation) -> None:
        kubectl = installation.kubectl
        host = address(installation, "postgres")
        web = installation.ready_pods("web")[0]
        assert from_pod(installation, web, host, 5432)
        image = installation.pods("web")[0]["spec"]["containers"][0]["image"]
        subprocess.run(kubectl.argv("create", "namespace", "lamp-stranger"), check=True, capture_output=True, timeout=60)
        there = ("--namespace", "lamp-stranger")
        try:
            words = [
                "run",
                "stranger",
                f"--image={image}",
                "--labels=switchyard.dev/client-of-postgres=true",
                "--command",
                "--",
                "sleep",
                "600",
            ]
            installation.run(*there, *words)
            installation.run(*there, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=90s")
            assert not from_pod(installation, "stranger", host, 5432, *there)
        finally:
            installation.run(*there, "delete", "pod", "stranger", "--grace-period=1", check=False)
            subprocess.run(kubectl.argv("delete", "namespace", "lamp-stranger"), check=True, capture_output=True, timeout=120)

    def test_the_app_reaches_no_private_address_outside_its_stack(self, installation: Installation) -> None:
        web = installation.ready_pods("web")[0]
        assert from_pod(installation, web, "postgres", 5432)
        for host, port in (("10.118.0.1", 5000), ("10.118.0.1", 6443), ("10.120.0.1", 443), ("10.118.0.11", 10250)):
            assert not from_pod(installation, web, host, port), f"{host}:{port}"


class TestLamps:
    def test_a_plain_connection_to_the_tls_port_gets_no_answer_that_mqtt_knows(self, installation: Installation) -> None:
        connect = bytes([0x10, 16, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 10, 0, 4]) + b"lamp"
        with socket.create_connection((installation.broker.host, installation.broker.port), timeout=5) as plain:
            plain.sendall(connect)
            plain.settimeout(5)
            try:
                answered = plain.recv(64)
            except OSError:
                answered = b""
        assert answered[:1] != bytes([0x20])

    def test_the_certificate_is_of_the_stacks_own_authority_and_of_the_name_that_it_tells(self, installation: Installation) -> None:
        broker = installation.broker
        right = NamedContext.trusting(broker.authority, broker.server_name)
        with socket.create_connection((broker.host, broker.port), timeout=5) as raw, right.wrap_socket(raw) as encrypted:
            assert encrypted.version() in ("TLSv1.2", "TLSv1.3")
        wrong = NamedContext.trusting(broker.authority, "broker.example.com")
        with socket.create_connection((broker.host, broker.port), timeout=5) as raw, pytest.raises(ssl.SSLCertVerificationError):
            wrong.wrap_socket(raw)

    def test_old_versions_of_tls_are_refused(self, installation: Installation) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection((installation.broker.host, installation.broker.port), timeout=5) as raw, pytest.raises(OSError):
            context.wrap_socket(raw)

    def test_a_wrong_password_an_unknown_lamp_and_no_name_at_all_are_refused(
        self, installation: Installation, lamps: dict[str, str]
    ) -> None:
        serial, password = next(iter(lamps.items()))
        assert outcome(installation, serial, serial, password) == "Success"
        for user, key in ((serial, "wrong"), ("nobody", password), ("guest", "guest"), ("app", "app"), (None, None)):
            assert outcome(installation, "somebody", user, key) in ("Bad user name or password", "Not authorized"), user

    def test_a_lamp_can_not_publish_for_another(self, installation: Installation, lamps: dict[str, str]) -> None:
        (first, password), (second, _) = list(lamps.items())[:2]
        event = str(uuid.uuid4())
        lamp = Lamp(installation.broker, first, password)
        try:
            wait_until(lambda: lamp.connected, PATIENCE, lambda: "the lamp was not let in")
            lamp.publish(f"lamps/{second}/fall", json.dumps({"id": event}))
            wait_until(lambda: not lamp.connected, PATIENCE, lambda: "the broker kept a lamp that published for another")
            assert lamp.acknowledgements == {}
        finally:
            lamp.close()
        # What is published rightly afterwards is stored, and by then the other would have been too.
        honest = falls(installation, first, password)
        assert installation.sql(f"select count(*) from events where uuid::text = '{honest}'") == "1"
        assert installation.sql(f"select count(*) from events where uuid::text = '{event}'") == "0"

    def test_a_lamps_last_will_is_not_published_for_another(self, installation: Installation, lamps: dict[str, str]) -> None:
        (first, password), (second, _) = list(lamps.items())[:2]
        own, forged = str(uuid.uuid4()), str(uuid.uuid4())
        for topic, event in ((f"lamps/{first}/fall", own), (f"lamps/{second}/fall", forged)):
            client = _client(installation, first, first, password)
            client.will_set(topic, json.dumps({"id": event}), qos=1)
            client.connect(installation.broker.host, installation.broker.port)
            deadline = time.monotonic() + 10
            while not client.is_connected() and time.monotonic() < deadline and client.loop(0.2) == 0:
                pass
            # Without a word, as a lamp whose power is cut.
            if there := client.socket():
                there.close()
        # Its own is published, so the broker takes wills at all; what comes afterwards is stored when the other would have been too.
        stored = f"select count(*) from events where uuid::text = '{own}'"
        wait_until(lambda: installation.sql(stored) == "1", PATIENCE, lambda: "the lamp's own will was not published")
        falls(installation, first, password)
        assert installation.sql(f"select count(*) from events where uuid::text = '{forged}'") == "0"

    @pytest.mark.parametrize("topic", ["lamps/{other}/#", "lamps/+/fall", "lamps/#", "#"])
    def test_a_lamp_can_not_listen_to_others(self, installation: Installation, lamps: dict[str, str], topic: str) -> None:
        (first, password), (second, second_password) = list(lamps.items())[:2]
        heard = listen(
            installation, first, password, topic.format(other=second), while_=lambda: falls(installation, second, second_password)
        )
        assert heard == []

    def test_a_lamp_hears_what_is_said_to_it(self, installation: Installation, lamps: dict[str, str]) -> None:
        serial, password = next(iter(lamps.items()))
        assert listen(installation, serial, password, f"lamps/{serial}/command", say=b"blink") == [b"blink"]

    @pytest.mark.parametrize("client_id", ["{second}", "{first}-b", "", "app"])
    def test_a_lamp_connects_under_its_own_name_alone(self, installation: Installation, lamps: dict[str, str], client_id: str) -> None:
        (first, password), (second, _) = list(lamps.items())[:2]
        assert outcome(installation, first, first, password) == "Success"
        assert outcome(installation, client_id.format(first=first, second=second), first, password) == "Not authorized"

    def test_who_connects_under_another_lamps_client_id_does_not_disturb_it(
        self, installation: Installation, lamps: dict[str, str]
    ) -> None:
        (first, password), (second, second_password) = list(lamps.items())[:2]
        victim = Lamp(installation.broker, second, second_password)
        try:
            wait_until(lambda: victim.connected, PATIENCE, lambda: "the lamp was not let in")
            # The broker takes three seconds to refuse one.
            for _ in range(5):
                assert outcome(installation, second, first, password) == "Not authorized"
            assert (victim.connections, victim.connected) == (1, True)
            event = str(uuid.uuid4())
            told = victim.fall(event)
            wait_until(lambda: told.mid in victim.acknowledgements, PATIENCE, lambda: "its fall was not acknowledged")
            assert victim.connections == 1
        finally:
            victim.close()


def falls(installation: Installation, serial: str, password: str) -> str:
    """Let a lamp fall and wait until the fall is stored; return its id."""
    event = str(uuid.uuid4())
    lamp = Lamp(installation.broker, serial, password)
    try:
        wait_until(lambda: lamp.connected, PATIENCE, lambda: "the lamp was not let in")
        lamp.publish(f"lamps/{serial}/fall", json.dumps({"id": event})).wait_for_publish(PATIENCE)
    finally:
        lamp.close()
    stored = f"select count(*) from events where uuid::text = '{event}'"
    wait_until(lambda: installation.sql(stored) == "1", PATIENCE, lambda: "the fall was not stored")
    return event


def outcome(installation: Installation, client_id: str, user: str | None, password: str | None) -> str:
    """Connect once and return the broker's answer; empty when it only hung up."""
    said: list[str] = []
    client = _client(installation, client_id, user, password)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(str(reason))
    client.connect(installation.broker.host, installation.broker.port)
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline and client.loop(0.2) == 0:
        pass
    client.disconnect()
    return said[0] if said else ""


def listen(
    installation: Installation,
    serial: str,
    password: str,
    topic: str,
    while_: Callable[[], object] = lambda: None,
    say: bytes | None = None,
) -> list[bytes]:
    """Subscribe once, run `while_`, `say` something to the topic, and return what was heard; nothing when the broker refused or hung up."""
    heard: list[bytes] = []
    state: list[str] = []
    client = _client(installation, serial, serial, password)
    client.on_connect = lambda one, *_: one.subscribe(topic, qos=1)
    client.on_subscribe = lambda _client, _data, _mid, reasons, _properties: state.append("refused" if reasons[0].is_failure else "granted")
    client.on_disconnect = lambda *_: state.append("gone")
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    client.connect(installation.broker.host, installation.broker.port)
    client.loop_start()
    try:
        wait_until(lambda: bool(state), PATIENCE, lambda: "the broker did not answer a subscription")
        while_()
        if say is not None:
            client.publish(topic, say, qos=1)
        if state == ["granted"]:
            deadline = time.monotonic() + 5
            while not heard and time.monotonic() < deadline:
                time.sleep(0.05)
        return heard
    finally:
        client.disconnect()
        client.loop_stop()


def _client(installation: Installation, client_id: str, user: str | None, password: str | None) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False)
    if user is not None:
        client.username_pw_set(user, password)
    client.tls_set_context(NamedContext.trusting(installation.broker.authority, installation.broker.server_name))
    return client

"""The edge with real packets: who gets in, from which address, within which limits, and what a rollout costs those who are there."""

import http.client
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bench.installation import is_ready
from bench.load import wait_until
from bench.rollout import kept_alive, way_in
from bench.visitors import Crowd, Way, around, spaced
from cli import cluster
from cli import sandbox as cli_sandbox
from cli.sandbox import Started
from components.edge_gateway import PAGE
from sandbox import network
from sandbox.host import run
from sandbox.layout import BRIDGE
from sandbox.network import Outside
from settings.gateway import OWNING_NAMESPACE
from tests.cluster.certificates import Authority
from tests.cluster.trial import BARE, Trial, overlay
from tests.engine.project import Project
from tools.progress import Progress

IMAGES = ("lamp", "rabbitmq", "envoy", "envoy-gateway")
STRANGER, PROXY, BEHIND = "198.51.100.7", "203.0.113.9", "192.0.2.55"
"""Addresses of nobody (RFC 5737): somebody who comes straight here, a proxy that is believed, and somebody who came through it."""
APP_KEEPS, PUMA_KEEPS = 3, 5
BODY = 2**20
SLOW_SECONDS = 3
EDGE: dict[str, Any] = overlay(
    BARE,
    {
        "mqtt": {"where": "cluster"},
        "web": {"web": {"replicas": 2, "keep_alive": f"{PUMA_KEEPS}s"}},
        "edge": {
            "where": "gateway",
            "replicas": 1,
            "resources": {"cpu": "20m"},
            "trusted_proxies": ["203.0.113.0/24"],
            "keep_alive": {"balancer": "30s", "gateway": "40s", "app": f"{APP_KEEPS}s"},
            "limits": {"body": f"{BODY // 2**20}Mi", "headers_within": "2s", "body_within": f"{SLOW_SECONDS}s", "answer_within": "20s"},
        },
    },
)
"""Two web processes, a broker that devices reach, and a Gateway whose limits are quick to try."""
ASK = """
import http.client, json, ssl, sys
said = json.loads(sys.argv[1])
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(said["host"], said["port"], timeout=10, context=context, source_address=(said["source"], 0))
connection.request(said.get("method", "GET"), said["path"], headers=said["headers"])
answer = connection.getresponse()
print(json.dumps([answer.status, (answer.getheader("Location") or "") + answer.read().decode()]))
"""
CONNECT = """
import asyncio, json, sys
async def tried(host, port, limit):
    async with limit:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, local_addr=(sys.argv[2], 0)), 2)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return True
async def main():
    limit = asyncio.Semaphore(64)
    places = json.loads(sys.argv[1])
    print(json.dumps([place for place, got in zip(places, await asyncio.gather(*(tried(*place, limit) for place in places))) if got]))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def edge(started: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    progress = Progress()
    with_images = cli_sandbox.start(None, IMAGES, progress)
    made = Trial("edge", make_checkout(), with_images, EDGE, IMAGES[:-1])
    cluster.refresh(made.kubectl, progress, required=False, gateway=True)
    progress.close()
    try:
        made.must_up()
        wait_until(lambda: not made.kubectl.waiting(), 120, lambda: str(made.kubectl.waiting()))
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def way(edge: Trial) -> Way:
    found = way_in(edge.outputs())
    with Crowd(found, 10, 1) as crowd:
        wait_until(lambda: len(crowd.visits.seconds) > 5, 60, lambda: str(crowd.visits))
    return found


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """A machine that is neither the host nor a node, with addresses of the Internet."""
    with network.outside("edge") as made, public(made, STRANGER, PROXY):
        yield made


@contextmanager
def public(machine: Outside, *addresses: str) -> Generator[None]:
    """Give a machine further addresses, to which the nodes answer by way of the host."""
    for address in addresses:
        run("ip", "-n", machine.netns, "address", "add", f"{address}/32", "dev", "lo")
        run("ip", "route", "replace", f"{address}/32", "via", machine.address, "dev", BRIDGE)
    try:
        yield
    finally:
        for address in addresses:
            run("ip", "route", "del", f"{address}/32", check=False)


def ask(machine: Outside, way: Way, source: str, path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, str]:
    said = {"host": way.host, "port": way.port, "source": source, "path": path, "headers": headers, "method": method}
    argv = machine.argv(sys.executable, "-c", ASK, json.dumps(said))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    status, body = json.loads(done.stdout)
    return status, body


def logged(edge: Trial, path: str) -> list[dict[str, Any]]:
    """What the web processes wrote about a path."""
    selector = "app.kubernetes.io/component=web"
    argv = edge.kubectl.argv("logs", "--selector", selector, "--container", "app", "--tail=400", "--prefix=false")
    text = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and path in line]
    return [line for line in lines if line.get("path") == path]


class TestWayIn:
    def test_from_outside_exactly_the_edge_and_the_brokers_tls_port_are_reached(self, edge: Trial, way: Way, outside: Outside) -> None:
        assert way.host
        places, allowed = set[tuple[str, int]](), {(way.host, 80), (way.host, 443)}
        inner = {80, 443, 1883, 3000, 4369, 5672, 8883, 9394, 15672, 15692, 25672, 10080, 10443, 18000, 19000, 19001, 19003}
        mqtt = edge.outputs()["mqtt"]
        allowed.add((mqtt["host"], 8883))
        found = edge.kubectl.get("services,pods,nodes", "--all-namespaces")["items"]
        ours = (edge.namespace, "switchyard-gateway")
        for one in found:
            kind, spec, status = one["kind"], one["spec"], one.get("status", {})
            if kind == "Node":
                places |= {(each["address"], port) for each in status["addresses"] if each["type"] == "InternalIP" for port in inner}
            elif one["metadata"]["namespace"] not in ours or self.anothers(one, edge):
                continue
            elif kind == "Service":
                given = [each["ip"] for each in status.get("loadBalancer", {}).get("ingress", [])]
                reached = [address for address in (spec.get("clusterIP"), *given) if address and address != "None"]
                places |= {(address, port) for address in reached for port in inner | {each["port"] for each in spec["ports"]}}
                assert not [each for each in spec["ports"] if "nodePort" in each], f"{one['metadata']['name']} has a port on every node"
                assert given == [] or spec["externalTrafficPolicy"] == "Local", one["metadata"]["name"]
            elif status.get("podIP"):
                places |= {(status["podIP"], port) for port in inner}
        assert self.reached(outside, sorted(places)) >= allowed
        # Pods may be dialled past the load balancer, on the very ports that it leads to; nothing else is open.
        same = {(one["status"]["podIP"], port) for one in found if one["kind"] == "Pod" for port in self.led_to(one, edge)}
        same |= {(spec["clusterIP"], port) for spec, port in self.services_led_to(found, edge)}
        assert self.reached(outside, sorted(places)) - allowed - same == set()

    @staticmethod
    def reached(outside: Outside, places: list[tuple[str, int]], source: str = STRANGER) -> set[tuple[str, int]]:
        argv = outside.argv(sys.executable, "-c", CONNECT, json.dumps(places), source)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
        return {(host, port) for host, port in json.loads(done.stdout)}

    @staticmethod
    def anothers(one: dict[str, Any], edge: Trial) -> bool:
        """Whether it serves another stack's Gateway: the sandbox may hold more than this one."""
        return one["metadata"].get("labels", {}).get(OWNING_NAMESPACE, edge.namespace) != edge.namespace

    @staticmethod
    def led_to(pod: dict[str, Any], edge: Trial) -> list[int]:
        labels = pod["metadata"].get("labels", {})
        if labels.get(OWNING_NAMESPACE) == edge.namespace:
            return [10080, 10443]
        return [8883] if pod["metadata"]["namespace"] == edge.namespace and labels.get("app.kubernetes.io/component") == "mqtt" else []

    @staticmethod
    def services_led_to(found: list[dict[str, Any]], edge: Trial) -> list[tuple[dict[str, Any], int]]:
        """The Services that lead to the same pods and ports by an address of the cluster."""
        services = [one for one in found if one["kind"] == "Service"]
        broker = [one["spec"] for one in services if one["metadata"]["namespace"] == edge.namespace and "mqtt" in one["metadata"]["name"]]
        proxies = [one["spec"] for one in services if one["metadata"].get("labels", {}).get(OWNING_NAMESPACE) == edge.namespace]
        return [(spec, 8883) for spec in broker] + [(spec, port) for spec in proxies for port in (80, 443)]

    def test_port_80_only_sends_to_443(self, way: Way) -> None:
        connection = http.client.HTTPConnection(way.host, 80, timeout=10)
        connection.request("GET", "/admin", headers={"Host": way.server_name})
        answer = connection.getresponse()
        assert answer.status == 301
        assert (answer.getheader("Location") or "").startswith(f"https://{way.server_name}")

    def test_up_tells_where_people_and_devices_are_to_be_sent(self, edge: Trial) -> None:
        outputs = edge.outputs()
        assert outputs["edge"]["host"] and outputs["edge"]["server_name"] == f"edge.{edge.namespace}.svc"
        edge.say({"domain": "edge.example"})
        edge.must_up()
        records = edge.outputs()["dns"]
        assert records == {"edge.example": outputs["edge"]["host"], "mqtt.edge.example": outputs["mqtt"]["host"]}
        edge.say({})
        edge.must_up()

    def test_a_class_that_does_not_exist_is_refused_before_anything_changes(self, edge: Trial) -> None:
        try:
            edge.say({"edge": {"class_name": "nobody"}})
            result = edge.up()
            assert result.code != 0
            assert "edge.class_name: 'nobody': cluster sandbox has no GatewayClass of that name" in " ".join(result.text.split())
        finally:
            edge.say({})
        assert edge.has_no_changes().code == 0

    def test_only_those_ranges_reach_the_load_balancer_that_may(self, edge: Trial, way: Way, outside: Outside) -> None:
        places = [(way.host, 80), (way.host, 443)]
        assert self.reached(outside, places) == set(places)
        try:
            edge.say({"edge": {"allow_from": ["203.0.113.0/24"]}})
            edge.must_up()
            wait_until(lambda: self.reached(outside, places) == set(), 60, lambda: str(self.reached(outside, places)))
            assert self.reached(outside, places, PROXY) == set(places)
        finally:
            edge.say({})
            edge.must_up()
        wait_until(lambda: self.reached(outside, places) == set(places), 60, lambda: str(self.reached(outside, places)))


class TestCertificate:
    NAME = "given.example"

    def test_one_that_is_given_is_shown_and_with_another_ones_key_nothing_changes(self, edge: Trial, way: Way, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "authority")
        (key, certificate), (other, _) = (authority.sign(name, f"DNS:{self.NAME}") for name in ("given", "other"))
        given = Way(way.host, way.port, self.NAME, authority.certificate)
        certified = {"by": "given", "pem": certificate, "key": "EDGE_TLS_KEY"}
        try:
            edge.say({"edge": {"routes": {"web": {"hosts": [self.NAME]}}, "certificate": certified}})
            self.set_key(edge, other)
            refused = edge.up()
            assert refused.code != 0
            assert "secret EDGE_TLS_KEY is the key of another certificate" in " ".join(refused.text.split()), refused.text
            assert not self.serves(given)
            self.set_key(edge, key)
            edge.must_up()
            wait_until(lambda: self.serves(given), 60, lambda: "the certificate that was given is not shown")
        finally:
            edge.say({})
            edge.must_up()
        wait_until(lambda: self.serves(way), 60, lambda: "the stack's own certificate is not shown again")

    @staticmethod
    def set_key(edge: Trial, key: str) -> None:
        edge.project.ok("config", "set", "--secret", "EDGE_TLS_KEY", "--stack", edge.name, given=key)

    @staticmethod
    def serves(way: Way) -> bool:
        """Whether a client that trusts that authority alone, and expects that name, is answered."""
        with suppress(OSError, http.client.HTTPException):
            return page(way)[0] == 200
        return False


class TestAddresses:
    FORGED = {
        "X-Forwarded-For": "192.0.2.66",
        "CF-Connecting-IP": "192.0.2.66",
        "Client-IP": "192.0.2.66",
        "X-Real-IP": "192.0.2.66",
        "Forwarded": "for=192.0.2.66",
    }

    def test_one_that_is_forged_changes_nothing(self, edge: Trial, way: Way, outside: Outside) -> None:
        # Rails believes private addresses; the gateway must not let it come to that.
        for source in (STRANGER, outside.address):
            path = f"/forged/{uuid.uuid4()}"
            status, _ = ask(outside, way, source, path, self.FORGED)
            assert status == 404
            assert self.addresses(edge, path) == [source]

    def test_one_that_a_trusted_proxy_tells_is_the_visitors(self, edge: Trial, way: Way, outside: Outside) -> None:
        path = f"/true/{uuid.uuid4()}"
        status, _ = ask(outside, way, PROXY, path, {"X-Forwarded-For": f"192.0.2.66, {BEHIND}"})
        assert status == 404
        assert self.addresses(edge, path) == [BEHIND]

    @staticmethod
    def addresses(edge: Trial, path: str) -> list[str]:
        wait_until(lambda: bool(logged(edge, path)), 20, lambda: f"nothing was written about {path}")
        return [line["ip"] for line in logged(edge, path)]

    def test_another_host_name_is_not_believed_either(self, way: Way, outside: Outside) -> None:
        # The app sends whoever asks for its root to the admin page, by the name that it believes to have.
        status, place = ask(outside, way, STRANGER, "/", {"X-Forwarded-Host": "evil.example", "Host": "lamps.example"})
        assert (status, place) == (301, "https://lamps.example/admin")


class TestLimits:
    def test_a_request_that_is_too_large_is_answered_by_the_gateway(self, edge: Trial, way: Way) -> None:
        path = f"/large/{uuid.uuid4()}"
        connection = way.connection()
        # It may answer before it has been told everything.
        with suppress(OSError):
            connection.request("POST", path, body=b"x" * (BODY + 1), headers={"Host": way.server_name})
        assert connection.getresponse().status == 413
        assert logged(edge, path) == []

    def test_one_that_trickles_in_is_given_up_by_the_gateway_while_others_are_served(self, edge: Trial, way: Way) -> None:
        path = f"/slow/{uuid.uuid4()}"
        connections = [way.connection() for _ in range(12)]
        for connection in connections:
            connection.putrequest("POST", path)
            connection.putheader("Content-Length", "1000")
            connection.endheaders()
            connection.send(b"x")
        with Crowd(way, 40, 4) as crowd:
            time.sleep(SLOW_SECONDS / 2)
        assert not crowd.visits.failures and max(crowd.visits.seconds) < 1.5, crowd.visits
        for connection in connections:
            answer = connection.getresponse()
            assert answer.status == 408, answer.status
            connection.close()
        assert logged(edge, path) == []

    def test_who_connects_and_says_nothing_is_closed(self, way: Way) -> None:
        began = time.monotonic()
        with socket.create_connection((way.host, way.port), timeout=10) as silent:
            assert silent.recv(1) == b""
        assert time.monotonic() - began < 6

    def test_what_is_streamed_is_as_large_as_it_likes(self, edge: Trial, way: Way) -> None:
        try:
            edge.say({"edge": {"routes": {"web": {"streams": True}}}})
            edge.must_up()
            wait_until(lambda: self.large(way) == 404, 60, lambda: f"the gateway, or the app, answered {self.large(way)}")
        finally:
            edge.say({})
            edge.must_up()
        wait_until(lambda: self.large(way) == 413, 60, lambda: f"the gateway, or the app, answered {self.large(way)}")

    @staticmethod
    def large(way: Way) -> int:
        connection = way.connection()
        with suppress(OSError):
            connection.request("POST", "/nowhere", body=b"x" * (BODY + 1), headers={"Host": way.server_name})
        with suppress(OSError, http.client.HTTPException):
            return connection.getresponse().status
        return 0


class TestNobodyIsTurnedAway:
    def test_requests_as_far_apart_as_idle_connections_live(self, edge: Trial, way: Way) -> None:
        kept = kept_alive(edge.settings)
        assert kept == [APP_KEEPS, PUMA_KEEPS]
        visits = spaced(way, around(*kept), 1)
        assert visits.count >= 88 and not visits.failures, visits

    def test_while_web_pods_are_replaced(self, edge: Trial, way: Way) -> None:
        argv = edge.kubectl.argv("rollout", "restart", "deployment/web")
        with Crowd(way, 80, 12) as crowd:
            wait_until(lambda: crowd.visits.count > 100, 30, lambda: str(crowd.visits))
            before = self.web(edge)
            subprocess.run(argv, capture_output=True, timeout=30, check=True)
            status = edge.kubectl.argv("rollout", "status", "deployment/web", "--timeout=110s")
            subprocess.run(status, capture_output=True, timeout=120, check=True)
            # The last of the old ones works on for a while.
            wait_until(lambda: not before & self.web(edge, gone=True), 90, lambda: str(self.web(edge, gone=True)))
        assert crowd.visits.count > 500 and not crowd.visits.failures, crowd.visits

    @staticmethod
    def web(edge: Trial, *, gone: bool = False) -> set[str]:
        found = edge.kubectl.get("pods", "--selector", "app.kubernetes.io/component=web")["items"]
        return {one["metadata"]["uid"] for one in found if gone or is_ready(one)}


def test_maintenance_shows_a_page_and_touches_nothing_of_the_app(edge: Trial, way: Way, tmp_path: Path) -> None:
    pods = TestNobodyIsTurnedAway.web(edge)
    edge.say({"edge": {"maintenance": True}})
    edge.must_up()
    try:
        wait_until(lambda: page(way)[0] == 503, 30, lambda: str(page(way)))
        assert page(way)[1] == PAGE.read_text()
    finally:
        edge.say({})
        edge.must_up()
    wait_until(lambda: page(way)[0] == 200, 30, lambda: str(page(way)))
    assert TestNobodyIsTurnedAway.web(edge) == pods


def page(way: Way) -> tuple[int, str]:
    connection = way.connection()
    connection.request("GET", "/health/live", headers={"Host": way.server_name})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()

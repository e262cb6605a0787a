"""The demo product's proof: a lamp falls, over MQTT with TLS, and the alert is read back over HTTP."""

import json
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cli.errors import FailedError
from cli.stack import Stack
from tools.progress import Progress

if TYPE_CHECKING:
    from paho.mqtt.client import Client

Result = TypeVar("Result")

IMAGE = "lamp"
"""The app image by which the demo product is known."""
SERIAL = "lamp-1"
"""The lamp that the demo's seeds make."""

PATIENCE_SECONDS = 120.0
"""Until the alert is there. After a cold start the lamp's account is made by a Sidekiq job that first waits for the broker."""
ACKNOWLEDGED_WITHIN_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Demo:
    """Where the demo's lamp and its owner's phone connect to, and their passwords, which are never printed."""

    broker: str
    port: int
    server_name: str
    authority: str
    """The certificate of the authority that signed the broker's, as PEM."""
    web: str
    passwords: Mapping[str, str]

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Demo({self.broker}:{self.port}, {self.web})"


@dataclass(frozen=True)
class Told:
    """A fall that somebody was told of."""

    event: str
    alert: int
    acknowledged_ms: float
    """From publishing to the broker's acknowledgement."""
    readable_ms: float
    """From publishing to the alert's being readable."""


class NotYetError(Exception):
    """Something is not up yet; asking again may help."""


def applies(stack: Stack) -> bool:
    """Say whether the stack is the demo product with all that a fall goes through."""
    said = stack.settings
    return said.app.image == IMAGE and said.consumer.where == "cluster" and said.mqtt.where == "cluster" and bool(said.web)


def of_outputs(outputs: Mapping[str, Any], secret: Mapping[str, str]) -> Demo:
    """Return the demo that a stack's outputs, with addresses this machine can open, and its config Secret describe."""
    mqtt = cast("dict[str, Any]", outputs["mqtt"])
    urls = cast("dict[str, str]", outputs["urls"])
    web = urls.get("web") or next(iter(urls.values()))
    return Demo(str(mqtt["host"]), int(mqtt["port"]), str(mqtt["server_name"]), str(mqtt["ca"]), web, secret)


def fall(demo: Demo, progress: Progress, patience: float = PATIENCE_SECONDS) -> Told:
    """Let the demo lamp fall and wait until its owner can read the alert; FailedError says how far it came."""
    event = str(uuid.uuid4())
    deadline = time.monotonic() + patience
    with progress.step(f"lamp {SERIAL} falls: MQTT to {demo.broker}:{demo.port}, alert from {demo.web}"):
        began, acknowledged = _until(deadline, lambda: _publish(demo, event))
        alert = _until(deadline, lambda: _read(demo, event))
    return Told(event, alert, acknowledged, (time.monotonic() - began) * 1000)


def _until(deadline: float, attempt: Callable[[], Result]) -> Result:
    """Try until it works; sending the same fall twice makes one alert, so nothing is lost by it."""
    while True:
        try:
            return attempt()
        except NotYetError as reason:
            if time.monotonic() > deadline:
                raise FailedError(f"{reason}. Look with: ./sy kubectl get pods,events; then send another one with: ./sy fall") from None
            time.sleep(POLL_SECONDS)


def _publish(demo: Demo, event: str) -> tuple[float, float]:
    """Publish the fall as the lamp would; return when (monotonic) and after how many milliseconds it was acknowledged."""
    client = _connected(demo)
    try:
        payload = json.dumps({"id": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})
        began = time.monotonic()
        message = client.publish(f"lamps/{SERIAL}/fall", payload, qos=1)
        message.wait_for_publish(ACKNOWLEDGED_WITHIN_SECONDS)
        if not message.is_published():
            raise NotYetError(f"the broker {demo.broker}:{demo.port} did not acknowledge the fall")
        return began, (time.monotonic() - began) * 1000
    except (ValueError, RuntimeError, OSError) as error:
        raise NotYetError(f"the broker {demo.broker}:{demo.port} did not take the fall: {error}") from None
    finally:
        client.disconnect()
        client.loop_stop()


def _connected(demo: Demo) -> "Client":
    # A tenth of a second to import, and only a fall needs it.
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(CallbackAPIVersion.VERSION2, client_id=SERIAL, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False)
    client.username_pw_set(SERIAL, demo.passwords["DEMO_LAMP_PASSWORD"])
    client.tls_set_context(  # pyright: ignore[reportUnknownMemberType]: paho leaves the context's type out
        NamedContext.trusting(demo.authority, demo.server_name)
    )
    said: list[str] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(str(reason))
    client.connect_timeout = ACKNOWLEDGED_WITHIN_SECONDS
    try:
        client.connect(demo.broker, demo.port, keepalive=20)
    except OSError as error:
        raise NotYetError(f"the broker {demo.broker}:{demo.port} can not be reached: {error}") from None
    client.loop_start()
    deadline = time.monotonic() + ACKNOWLEDGED_WITHIN_SECONDS
    while not said and time.monotonic() < deadline:
        time.sleep(0.005)
    if said != ["Success"]:
        client.loop_stop()
        raise NotYetError(f"the broker {demo.broker}:{demo.port} did not let lamp {SERIAL} in: {said[0] if said else 'no answer'}")
    return client


class NamedContext(ssl.SSLContext):
    """TLS that expects the broker's name although an address is dialled: the certificate is older than the address."""

    server_name = ""

    @classmethod
    def trusting(cls, authority: str, server_name: str) -> "NamedContext":
        """Return a context that trusts one authority, and one name of those that it signed."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority)
        context.server_name = server_name
        return context

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket, checking for the expected name whatever name was dialled."""
        return super().wrap_socket(*arguments, **{**options, "server_hostname": self.server_name})


def _read(demo: Demo, event: str) -> int:
    """Return the number of the alert that the fall raised, as the owner's phone asks for it."""
    request = urllib.request.Request(
        f"{demo.web}/api/alerts?event_id={event}",
        headers={"Authorization": f"Bearer {demo.passwords['DEMO_API_TOKEN']}", "Accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            alerts = cast("list[dict[str, Any]]", json.load(answer)["alerts"])
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise NotYetError(f"the alerts can not be read at {demo.web}: {error}") from None
    if not alerts:
        raise NotYetError(f"the broker acknowledged fall {event}, and there is no alert yet")
    return int(alerts[0]["id"])

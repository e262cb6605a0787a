"""Lamps that fall: a steady stream of events over MQTT with TLS, and what became of each of them.

Every event has an id of its own. The broker's acknowledgement (PUBACK) of each is noted; each acknowledged event must end
as exactly one alert. Shared by the measurements and by the tests of faults.
"""

import http.client
import json
import threading
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from bench.figures import percentile
from cli.demo import NamedContext

EVENTS_PER_SECOND = 20.0
KEEPALIVE_SECONDS = 10
"""A lamp that hears nothing for 1.5 times as long connects anew."""
RECONNECT_SECONDS = (0.2, 1.0)
POLL_SECONDS = 0.02
LOOK_BACK_SECONDS = 2.0
PAGE = 200
"""The most alerts that the API returns at once."""


@dataclass(frozen=True)
class Broker:
    """Where lamps connect."""

    host: str
    port: int
    server_name: str
    """The name that the certificate is checked for; the address may be younger than the certificate."""
    authority: str
    """The authority's certificate, as PEM."""


@dataclass(frozen=True)
class Api:
    """Where a mobile app reads alerts."""

    url: str
    token: str


class Alerts:
    """The mobile API, read over one kept connection; every answer that is no list counts as none."""

    def __init__(self, api: Api) -> None:
        """Connect when first asked."""
        self._api = api
        self._place = urllib.parse.urlsplit(api.url)
        self._connection: http.client.HTTPConnection | None = None

    def page(self, *, limit: int = PAGE, before: int | None = None, event: str | None = None) -> list[dict[str, Any]] | None:
        """Return a page of alerts, newest first; None when the API did not answer with one."""
        query: dict[str, str] = {"limit": str(limit)}
        if before is not None:
            query["before"] = str(before)
        if event is not None:
            query["event_id"] = event
        try:
            status, body = self._get(f"/api/alerts?{urllib.parse.urlencode(query)}")
            return json.loads(body)["alerts"] if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def close(self) -> None:
        """Give the connection up; the next question makes another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _get(self, path: str) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port or 80, timeout=5)
        headers = {"Authorization": f"Bearer {self._api.token}", "Accept": "application/json"}
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


@dataclass
class Event:
    """One fall, and what became of it. Times are of the monotonic clock."""

    id: str
    lamp: str
    published: float
    acknowledged: float | None = None
    readable: float | None = None


@dataclass(frozen=True)
class Report:
    """What became of all events."""

    events: list[Event]
    alerts: Counter[str] = field(repr=False)
    """How many alerts each event has, as the API tells it."""

    @property
    def acknowledged(self) -> list[Event]:
        """The events that the broker promised to keep."""
        return [event for event in self.events if event.acknowledged is not None]

    @property
    def lost(self) -> list[str]:
        """Acknowledged events without an alert."""
        return [event.id for event in self.acknowledged if not self.alerts[event.id]]

    @property
    def doubled(self) -> list[str]:
        """Events with more than one alert."""
        return [event.id for event in self.events if self.alerts[event.id] > 1]

    @property
    def latencies(self) -> list[float]:
        """Seconds from publishing to the alert's being readable, of every event that got one while somebody looked."""
        return [event.readable - event.published for event in self.events if event.readable is not None]

    def milliseconds(self, share: float) -> float:
        """Return the latency that `share` of the events did not exceed, in milliseconds."""
        return percentile(self.latencies, share) * 1000

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{len(self.events)} events published, {len(self.acknowledged)} acknowledged, "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled; "
            f"alert readable after {self.milliseconds(0.5):.0f} ms (median), {self.milliseconds(0.99):.0f} ms (p99), "
            f"{self.milliseconds(1):.0f} ms (longest)"
        )


class Lamp:
    """One lamp's connection: it keeps what was not acknowledged, and sends it again after reconnecting, as a real one does."""

    def __init__(self, broker: Broker, serial: str, password: str) -> None:
        """Connect in the background, for ever. The serial is the client id and the user name: the broker wants both to be the same."""
        self.serial = serial
        self.connections = 0
        """How often the broker has let it in."""
        self.acknowledgements: dict[int, float] = {}
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=serial, protocol=MQTTProtocolVersion.MQTTv311)
        self._client.username_pw_set(serial, password)
        self._client.tls_set_context(NamedContext.trusting(broker.authority, broker.server_name))
        self._client.max_queued_messages_set(0)
        self._client.connect_timeout = 4
        self._client.reconnect_delay_set(*RECONNECT_SECONDS)
        # No lock here: the library holds one of its own while it calls, and another one while it publishes.
        self._client.on_publish = lambda _client, _data, mid, _reason, _properties: self.acknowledgements.setdefault(mid, time.monotonic())
        self._client.on_connect = self._count
        self._client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether the broker let the lamp in."""
        return self._client.is_connected()

    def _count(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, _properties: object) -> None:
        self.connections += not reason.is_failure

    def fall(self, event: str) -> MQTTMessageInfo:
        """Publish a fall, at once or after reconnecting."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return self.publish(f"lamps/{self.serial}/fall", json.dumps({"id": event, "at": at}))

    def publish(self, topic: str, payload: str) -> MQTTMessageInfo:
        """Publish anything with QoS 1."""
        return self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Load:
    """A stream of falls at a fixed rate, and a reader that notes when each alert can be read."""

    def __init__(self, broker: Broker, api: Api, lamps: Mapping[str, str], per_second: float = EVENTS_PER_SECOND) -> None:
        """Prepare `lamps` (serial -> password), each with a connection of its own."""
        self._per_second = per_second
        self._api = api
        self._events: list[Event] = []
        self._by_id: dict[str, Event] = {}
        self._sent: dict[tuple[str, int], Event] = {}
        self._stop_publishing, self._stop_reading = threading.Event(), threading.Event()
        self._unread: set[str] = set()
        self._lamps = [Lamp(broker, serial, password) for serial, password in lamps.items()]
        self._threads: list[threading.Thread] = []

    def start(self, patience: float = 60) -> None:
        """Wait until every lamp is connected, then begin; TimeoutError names those that were not let in."""
        wait_until(lambda: all(lamp.connected for lamp in self._lamps), patience, self._absent)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._publish, self._read)]
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float) -> Report:
        """Stop publishing, wait until every event is acknowledged and every acknowledged one has an alert, and report.

        What has not come about after `patience` seconds is reported as it is.
        """
        self._stop_publishing.set()
        self._threads[0].join()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not self._settled():
            time.sleep(0.1)
        self._stop_reading.set()
        self._threads[1].join()
        self._note_acknowledgements()
        self.close()
        return Report(self._events, self._count_alerts(max(5.0, deadline - time.monotonic())))

    def close(self) -> None:
        """End everything; a lamp left behind would cut off the next one of its name."""
        self._stop_publishing.set()
        self._stop_reading.set()
        for lamp in self._lamps:
            lamp.close()

    @property
    def count(self) -> int:
        """How many events were published so far."""
        return len(self._events)

    @property
    def connections(self) -> int:
        """How often the broker has let one of the lamps in."""
        return sum(lamp.connections for lamp in self._lamps)

    @property
    def readable(self) -> int:
        """How many of them have an alert that could be read."""
        return len(self._events) - len(self._unread)

    def _absent(self) -> str:
        return f"lamps that the broker did not let in: {', '.join(lamp.serial for lamp in self._lamps if not lamp.connected)}"

    def _publish(self) -> None:
        began = time.monotonic()
        while not self._stop_publishing.is_set():
            number = len(self._events)
            wait = began + number / self._per_second - time.monotonic()
            if wait > 0 and self._stop_publishing.wait(wait):
                return
            lamp = self._lamps[number % len(self._lamps)]
            event = Event(str(uuid.uuid4()), lamp.serial, time.monotonic())
            self._by_id[event.id] = event
            self._unread.add(event.id)
            self._events.append(event)
            info = lamp.fall(event.id)
            assert info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN), info.rc
            self._sent[lamp.serial, info.mid] = event

    def _read(self) -> None:
        alerts, looked_back = Alerts(self._api), time.monotonic()
        while not self._stop_reading.wait(POLL_SECONDS):
            waiting = len(self._unread)
            if not waiting:
                continue
            # A short page while all is well: the reading must not be the load.
            page = alerts.page(limit=min(PAGE, waiting + 10))
            self._note_readable(page)
            if page and waiting > PAGE // 2 and time.monotonic() - looked_back > LOOK_BACK_SECONDS:
                self._look_back(alerts, page)
                looked_back = time.monotonic()
        alerts.close()

    def _look_back(self, alerts: Alerts, page: list[dict[str, Any]] | None) -> None:
        """Look for alerts that were raised while nobody could read: they are on later pages."""
        while page and self._unread and any(alert["event_id"] in self._by_id for alert in page):
            self._note_readable(page)
            page = alerts.page(before=page[-1]["id"])

    def _note_readable(self, page: list[dict[str, Any]] | None) -> None:
        now = time.monotonic()
        for alert in page or []:
            if alert["event_id"] in self._unread:
                self._by_id[alert["event_id"]].readable = now
                self._unread.discard(alert["event_id"])

    def _settled(self) -> bool:
        self._note_acknowledgements()
        return all(event.acknowledged is not None and event.readable is not None for event in self._events)

    def _note_acknowledgements(self) -> None:
        for lamp in self._lamps:
            for mid, moment in list(lamp.acknowledgements.items()):
                event = self._sent.get((lamp.serial, mid))
                if event and event.acknowledged is None:
                    event.acknowledged = moment

    def _count_alerts(self, patience: float) -> Counter[str]:
        """Count the alerts of every event, page by page until nothing of this load is on one."""
        deadline = time.monotonic() + patience
        counted: Counter[str] = Counter()
        alerts, before = Alerts(self._api), None
        while True:
            page = alerts.page(before=before)
            if page is None:
                if time.monotonic() > deadline:
                    raise TimeoutError("the API can not be read, so the alerts can not be counted")
                time.sleep(0.2)
                continue
            ours = [alert["event_id"] for alert in page if alert["event_id"] in self._by_id]
            counted.update(ours)
            if not page or (not ours and len(counted) > 0) or (not ours and page[-1]["id"] <= 1):
                alerts.close()
                return counted
            before = page[-1]["id"]


@contextmanager
def running(load: Load) -> Iterator[Load]:
    """Run a load; `stop` it inside. It ends in any case."""
    try:
        load.start()
        yield load
    finally:
        load.close()


def wait_until(done: Callable[[], bool], patience: float, complaint: Callable[[], str]) -> None:
    """Wait until `done` says so; TimeoutError with the complaint when it has not after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint())
        time.sleep(0.05)

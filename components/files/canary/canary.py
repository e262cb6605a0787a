"""A lamp that falls every minute, and asks until somebody would know: how long an alarm takes, measured from outside the app.

It publishes as a lamp does - its own account, TLS, the certificate's name verified, a connection of its own, QoS 1 - and then reads the
alert over HTTP as a carer's app does. All it was told is in canary.json; its secrets are files.
"""

# What it imports is in its image alone.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false, reportAttributeAccessIssue=false

import http.client
import json
import queue
import signal
import ssl
import sys
import time
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from falls import Fall, Falls, filled
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

TICK_SECONDS = 0.2
"""How often it asks: what a latency is exact to."""
CONNECT_SECONDS = 5
ASK_SECONDS = 2
STUCK_SECONDS = 60
"""Its loop takes at most `late` and some seconds a turn; after this it counts as dead."""
FOUND, NOT_YET = 200, 404

disable_created_metrics()
PUBLISHED = Counter("canary_published_total", "Falls that the broker acknowledged.")
ACKNOWLEDGED = Gauge("canary_acknowledged_timestamp_seconds", "When the broker last acknowledged one.")
SEEN = Gauge("canary_last_alert_seen_timestamp_seconds", "When an alert was last read; at first, when the canary started.")
LATENCY = Histogram(
    "canary_alert_latency_seconds", "From publishing to the alert's being readable.", buckets=(0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 120)
)
LAST_LATENCY = Gauge("canary_last_alert_latency_seconds", "The last such time.")
OUTSTANDING = Gauge("canary_outstanding_seconds", "How long the oldest fall has been waiting for its alert; 0 when none is.")
FAILURES = Counter(
    "canary_failures_total", "What went wrong: no connection, no acknowledgement, no answer of the web, an alert too late.", ["stage"]
)
STAGES = ("connect", "acknowledge", "ask", "alert")


class NotSentError(Exception):
    """A fall that did not get through; the first argument is the stage."""


def say(message: str, **more: object) -> None:
    """Write one line of JSON, as the app does."""
    print(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "msg": message, **more}), flush=True)


class Canary:
    """Sends falls and waits for their alerts, for ever."""

    def __init__(self, said: dict[str, Any]) -> None:
        """`said` is canary.json."""
        self.said = said
        self.falls = Falls()
        self.turned = time.monotonic()
        SEEN.set_to_current_time()
        LAST_LATENCY.set(0)
        OUTSTANDING.set_function(lambda: self.falls.outstanding(time.monotonic()))
        for stage in STAGES:
            FAILURES.labels(stage)

    @property
    def alive(self) -> bool:
        """Whether its loop still turns."""
        return time.monotonic() - self.turned < STUCK_SECONDS + self.said["late"]

    def run(self) -> None:
        """Go on until the process is ended."""
        due, turn = time.monotonic(), 0
        while True:
            self.turned = now = time.monotonic()
            if now >= due:
                self.fall(now)
                # One that took long is followed by the next at its own time, and none is caught up on.
                due = max(due + self.said["every"], time.monotonic())
            self.look(turn)
            turn += 1
            time.sleep(TICK_SECONDS)

    def fall(self, due: float) -> None:
        """Send one fall."""
        fall = Fall(id=str(uuid.uuid4()), due=due)
        self.falls.add(fall)
        try:
            self.publish(fall)
        except NotSentError as failure:
            stage, reason = failure.args
            FAILURES.labels(stage).inc()
            say("fall not sent", stage=stage, reason=reason, fall=fall.id)
            return
        PUBLISHED.inc()
        ACKNOWLEDGED.set_to_current_time()

    def publish(self, fall: Fall) -> None:
        """Publish over a connection of its own; NotSentError when the broker does not acknowledge."""
        host, port = self.said["host"], self.said["port"]
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"canary-{fall.id[:13]}")
        answers: queue.Queue[Any] = queue.Queue()
        client.on_connect = lambda _client, _data, _flags, code, _properties: answers.put(code)
        client.connect_timeout = CONNECT_SECONDS
        if self.said["user"]:
            client.username_pw_set(self.said["user"], secret(self.said["password_file"]))
        if (context := trust(self.said["tls"], self.said["ca_file"])) is not None:
            client.tls_set_context(context)
        try:
            client.connect(host, port, keepalive=30)
        except (OSError, ValueError) as error:
            raise NotSentError("connect", f"{host}:{port}: {type(error).__name__}: {error}") from None
        client.loop_start()
        try:
            code = answers.get(timeout=CONNECT_SECONDS)
            if code.is_failure:
                raise NotSentError("connect", f"{host}:{port}: {code}")
            time_now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            fall.sent = time.monotonic()
            message = client.publish(self.said["topic"], filled(self.said["payload"], fall.id, time_now), qos=1)
            message.wait_for_publish(self.said["late"])
            if not message.is_published():
                raise NotSentError("acknowledge", f"{host}:{port}: no PUBACK within {self.said['late']} s")
        except queue.Empty:
            raise NotSentError("connect", f"{host}:{port}: no answer within {CONNECT_SECONDS} s") from None
        except (OSError, ValueError, RuntimeError) as error:
            raise NotSentError("acknowledge", f"{host}:{port}: {type(error).__name__}: {error}") from None
        finally:
            client.disconnect()
            client.loop_stop()

    def look(self, turn: int) -> None:
        """Ask for what is outstanding, and count what has become late."""
        for fall in self.falls.to_ask(turn):
            if self.readable(fall) and fall.sent is not None:
                took = time.monotonic() - fall.sent
                LATENCY.observe(took)
                LAST_LATENCY.set(took)
                SEEN.set_to_current_time()
                self.falls.seen(fall)
                say("alert seen", fall=fall.id, seconds=round(took, 3))
        for fall in self.falls.become_late(time.monotonic(), self.said["late"]):
            FAILURES.labels("alert").inc()
            say("alert is late", fall=fall.id, limit=self.said["late"])

    def readable(self, fall: Fall) -> bool:
        """Say whether the web answers 200 for the fall's alert."""
        host, port = self.said["web"]
        headers = {"Host": self.said["web_host"], "X-Forwarded-Proto": "https"}
        if self.said["token_file"]:
            headers["Authorization"] = f"Bearer {secret(self.said['token_file'])}"
        connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", filled(self.said["path"], fall.id), headers=headers)
            status: int | str = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            status = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if status not in (FOUND, NOT_YET) and not fall.unanswered:
            fall.unanswered = True
            FAILURES.labels("ask").inc()
            say("the web does not answer", answer=status, fall=fall.id)
        return status == FOUND


def secret(path: str) -> str:
    """Return the secret in a file."""
    return Path(path).read_text().strip()


def trust(mode: str, ca_file: str | None) -> ssl.SSLContext | None:
    """Return how the broker is verified; None: it is spoken to in clear."""
    if mode == "disable":
        return None
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def serve(canary: Canary, port: int) -> None:
    """Answer /metrics, and /live as long as the canary's loop turns."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = {"/metrics": (200, generate_latest()), "/live": (200 if canary.alive else 503, b"")}
            status, body = found.get(self.path.split("?")[0], (404, b""))
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: Prometheus asks every ten seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Run with the path of canary.json."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    said = json.loads(Path(sys.argv[1]).read_text())
    canary = Canary(said)
    serve(canary, said["metrics_port"])
    say("canary started", every=said["every"], late=said["late"], topic=said["topic"], broker=f"{said['host']}:{said['port']}")
    canary.run()


if __name__ == "__main__":
    main()

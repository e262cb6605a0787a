"""A webhook receiver: it notes when each alert arrived and when it was over, as Alertmanager tells it."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sandbox.layout import HOST

ALERTS, SECOND, HEARTBEAT = "/alerts", "/second", "/heartbeat"


class Receiver:
    """What arrived: times are of the monotonic clock."""

    def __init__(self, port: int = 0) -> None:
        """Listen on the sandbox's bridge, which its pods reach and nobody else does; port 0 is any that is free."""
        self.deaf = False
        """While true, the second receiver answers 500."""
        self.refused: float | None = None
        """When it first did."""
        self.firing: dict[str, float] = {}
        """When each alert first arrived."""
        self.resolved: dict[str, float] = {}
        """When each was last told to be over."""
        self.heartbeats: list[float] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(receiver.take(self.path, body["alerts"]))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def take(self, path: str, alerts: list[dict[str, dict[str, str]]]) -> int:
        """Note what a notification says, and return the answer's status."""
        now = time.monotonic()
        if path == HEARTBEAT:
            self.heartbeats.append(now)
        if path == SECOND and self.deaf:
            self.refused = self.refused or now
            return 500
        if path == ALERTS:
            over = {alert["labels"]["alertname"] for alert in alerts if str(alert["status"]) == "resolved"}
            for name in {alert["labels"]["alertname"] for alert in alerts} - over:
                self.firing.setdefault(name, now)
                self.resolved.pop(name, None)
            # One of several of a name may go on.
            on = {alert["labels"]["alertname"] for alert in alerts if str(alert["status"]) == "firing"}
            self.resolved.update(dict.fromkeys(over - on, now))
        return 200

    def serve(self) -> None:
        """Take notifications until `close`."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    """Give a receiver that listens while the block runs."""
    made = Receiver(port)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(timeout=5)


def settings(url: str) -> dict[str, object]:
    """Return the settings `alerts` of a stack that tells this receiver, a second one, and its heartbeat."""
    hooks = {name: {"webhook": {"url": f"{url}{path}"}} for name, path in (("first", ALERTS), ("second", SECOND))}
    watchdog = {"url": f"{url}{HEARTBEAT}", "every": "10s"}
    return {"receivers": hooks, "critical": ["first", "second"], "watchdog": watchdog, "expected_messages": 5}

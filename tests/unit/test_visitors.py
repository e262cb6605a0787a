"""Those who visit the edge while something is replaced: what they take for an answer, and what for a failure."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bench.visitors import Visitor, Visits, Way


class Gone(BaseHTTPRequestHandler):
    """What a gateway answers that has lost its routes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Plain(Way):
    """A way without TLS."""

    def connection(self, *, source: str | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=5)  # pyright: ignore[reportReturnType]


@pytest.fixture
def way() -> Iterator[Way]:
    server = HTTPServer(("127.0.0.1", 0), Gone)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Plain("127.0.0.1", server.server_port, "edge.example", None)
    server.shutdown()
    server.server_close()


def test_a_page_that_is_gone_has_failed_and_a_post_to_where_nothing_is_has_its_answer(way: Way) -> None:
    visits = Visits()
    visitor = Visitor(way, visits, threading.Lock())
    visitor.ask("GET")
    visitor.ask("POST", "/nowhere")
    visitor.leave()
    assert len(visits.seconds) == 1 and visits.failures == {"GET answered 404": 1}

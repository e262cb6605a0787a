"""The cluster's API through `kubectl proxy`: kubectl logs in, once, and every question after that takes milliseconds.

The proxy listens on a Unix socket in a folder that only its owner can open; no port of this machine is opened.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import cast
from urllib.parse import urlencode

from preflight.objects import Object, parts
from preflight.scratch import Scratch

START_SECONDS = 10
SECONDS = 10
"""How long the API server may take for one answer."""
WHILE_WE_LIVE = '"$@" & child=$!; trap : TERM INT; read -r _; kill $child; wait $child'
"""A shell that ends the proxy when our end of its standard input closes: also when we are killed."""


class ApiError(Exception):
    """The API server refused, or can not be reached (status 0 and 5xx)."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status and the server's message."""
        super().__init__(message)
        self.status = status


class Proxy:
    """A running `kubectl proxy` for one cluster and context."""

    def __init__(self, kubectl: Sequence[str], env: Mapping[str, str]) -> None:
        """Take kubectl's command line up to the subcommand: program, --kubeconfig, --context."""
        self._kubectl = kubectl
        self._env = env
        self._scratch: Scratch | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Api":
        """Start it and return the API behind it; ApiError when kubectl can not: no such file, no such context."""
        self._scratch = Scratch.make()
        path, said = self._scratch.path / "api", self._scratch.path / "said"
        argv = ["sh", "-c", WHILE_WE_LIVE, "sh", *self._kubectl, "proxy", f"--unix-socket={path}"]
        with said.open("wb") as log:
            # A group of its own: Ctrl-C must not take it away before everything is tidied up.
            self._process = subprocess.Popen(
                argv, env=dict(self._env), stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_for(path, said)
        except BaseException:
            self.close()
            raise
        return Api(path, said)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it."""
        self.close()

    def close(self) -> None:
        """Stop it and remove its folder."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._scratch:
            self._scratch.remove()
            self._scratch = None


def _wait_for(path: Path, complaints: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _listens(path):
        if said := _complaint(complaints):
            raise ApiError(0, said)
        if time.monotonic() > deadline:
            raise ApiError(0, f"kubectl proxy did not start within {START_SECONDS} s")
        time.sleep(0.02)


class Api:
    """One cluster's API. It can be used from many threads at once."""

    def __init__(self, path: Path, said: Path) -> None:
        """Talk through the proxy at `path`, which writes its complaints to `said`."""
        self._path = path
        self._complaints = said

    def get(self, path: str, **query: str) -> Object:
        """Return the object or list at `path`; ApiError when there is none."""
        return cast("Object", json.loads(self.call("GET", _with(path, query))[0]))

    def items(self, path: str, **query: str) -> list[Object]:
        """Return the objects of the list at `path`."""
        return parts(self.get(path, **query), "items")

    def find(self, path: str) -> Object | None:
        """Return the object at `path`; None when there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def text(self, path: str, **query: str) -> str:
        """Return a text, such as a container's log."""
        return self.call("GET", _with(path, query))[0]

    def create(self, path: str, body: Object, **query: str) -> Object:
        """Create an object and return it as the server made it."""
        return cast("Object", json.loads(self.call("POST", _with(path, query), body)[0]))

    def merge(self, path: str, body: Object) -> None:
        """Merge `body` into the object at `path`."""
        self.call("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str, **query: str) -> None:
        """Delete what is at `path`, if it is there."""
        try:
            self.call("DELETE", _with(path, query))
        except ApiError as error:
            if error.status != 404:
                raise

    def ahead(self) -> float:
        """Return by how many seconds the API server's clock is ahead of ours; negative when it is behind."""
        said = parsedate_to_datetime(self.call("GET", "/version")[1])
        return said.timestamp() - time.time()

    def call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> tuple[str, str]:
        """Return the answer's text and its Date header; ApiError when it is none that helps."""
        connection = _Connection(self._path)
        try:
            headers = {"Content-Type": kind, "Accept": "application/json, */*"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text, date = answer.read().decode(errors="replace"), answer.headers.get("Date", "")
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"no answer: {error}") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError(answer.status, _message(text) or _complaint(self._complaints) or f"HTTP status {answer.status}")
        return text, date


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._unix = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._unix))


def _listens(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as tried:
        return tried.connect_ex(str(path)) == 0


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _complaint(file: Path) -> str:
    """Return the last thing that kubectl wrote about what it could not do."""
    lines = [line for line in file.read_text(errors="replace").splitlines() if line and not line.startswith("Starting to serve")]
    return lines[-1].split("] ", 1)[-1].removeprefix("error: ") if lines else ""


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return ""

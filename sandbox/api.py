"""The little of the Kubernetes API that the sandbox itself needs, over the administrator's certificate."""

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

from sandbox.layout import API_PORT, HOST

Object = dict[str, Any]
"""A Kubernetes object, or an answer, as JSON."""

FIELD_MANAGER = "sandbox"


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status and the server's message."""
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A client of the sandbox's API server; the certificates are read when first needed."""

    def __init__(self, pki: Path) -> None:
        """Use the certificates in `pki`."""
        self._pki = pki
        self._tls: ssl.SSLContext | None = None

    def get(self, path: str) -> Object:
        """Return the object or list at `path`."""
        return self._call("GET", path)

    def find(self, path: str) -> Object | None:
        """Return the object at `path`, None when there is none."""
        try:
            return self._call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, body: Object) -> Object:
        """Create or change an object as `kubectl apply --server-side --force-conflicts` does."""
        query = f"{path}?fieldManager={FIELD_MANAGER}&force=true"
        return self._call("PATCH", query, body, "application/apply-patch+yaml")

    def merge(self, path: str, body: Object) -> Object:
        """Merge `body` into the object at `path`."""
        return self._call("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str) -> None:
        """Delete the object at `path` if it is there."""
        try:
            self._call("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def ready(self) -> bool:
        """Say whether the API server calls itself ready."""
        try:
            self._call("GET", "/readyz", timeout=2)
        except (OSError, http.client.HTTPException, ApiError):
            return False
        return True

    @staticmethod
    def listens(address: str, port: int) -> bool:
        """Say whether somebody accepts connections there."""
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json", timeout: float = 20) -> Object:
        connection = http.client.HTTPSConnection(HOST, API_PORT, timeout=timeout, context=self._context())
        try:
            headers = {"Content-Type": kind, "Accept": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError(answer.status, _message(text))
        return json.loads(text) if text.startswith("{") else {}

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
            context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
            self._tls = context
        return self._tls


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:300]

"""Asks a running gateway: for JSON and images, with the key of its configuration."""

import http.client
import json
from urllib.parse import urlsplit

from msgspec import Struct

from imagegate.cli.where import Where
from imagegate.config.load import load_settings
from imagegate.diagnosis.redact import redact
from imagegate.errors import (
    AuthenticationError,
    BadRequestError,
    ImageError,
    NotFoundError,
    OverloadedError,
)
from imagegate.types import Json, Secret

TIMEOUT_S = 60.0
BODY_BYTES_MAX = 1024 * 1024 * 1024
_CLASSES: dict[int, type[ImageError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: BadRequestError,
    410: NotFoundError,
}


class GatewayReader(Struct, frozen=True):
    """One gateway: its address, and the key that it is asked with."""

    url: str
    key: Secret

    def read_json(self, path: str) -> Json:
        """Return the JSON at `path`. Raises the `ImageError` that the gateway answers with."""
        return json.loads(self.read_bytes(path))

    def ask_json(self, path: str, asked: Json) -> Json:
        """Return the JSON answer to a POST. Raises the `ImageError` that the gateway tells."""
        return json.loads(self._ask("POST", path, json.dumps(asked).encode()))

    def read_bytes(self, path: str) -> bytes:
        """Return what is at `path`. Raises the `ImageError` that the gateway answers with."""
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, asked: bytes | None = None) -> bytes:
        try:
            status, body = self._send(method, path, asked)
        except (OSError, http.client.HTTPException) as error:
            raise OverloadedError(
                f"No gateway answers at {self.url} ({error}). Start it with `imagegate serve`, or "
                "name another with --gateway.",
                code="gateway_unreachable",
            ) from error
        if status >= 300:
            raise _error(status, body)
        return body

    def _send(self, method: str, path: str, asked: bytes | None) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=TIMEOUT_S)
        key = self.key.reveal()
        headers = {"content-type": "application/json"} if asked else {}
        headers |= {"authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request(method, parts.path.rstrip("/") + path, asked, headers)
            response = connection.getresponse()
            return response.status, response.read(BODY_BYTES_MAX)
        finally:
            connection.close()


def open_gateway(where: Where) -> GatewayReader:
    """Return the gateway of a configuration, or the one at an address.

    Raises `ConfigError` for a configuration with faults, `BadRequestError` for no address.
    """
    server = load_settings(None if where.config is None else str(where.config)).server
    host = f"[{server.host}]" if ":" in server.host else server.host
    url = where.gateway or f"http://{host}:{server.port}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadRequestError(f"{url!r} is no address of a gateway", param="gateway")
    return GatewayReader(url, server.master_key)


def _error(status: int, body: bytes) -> ImageError:
    """Return what was said, redacted: whoever answers at that address may repeat our key."""
    try:
        told = json.loads(body)["error"]
        message, code = str(told["message"]), str(told["code"])
    except (ValueError, KeyError, TypeError):
        message, code = f"The gateway answered with status {status}.", None
    kind = _CLASSES.get(status, OverloadedError)
    return kind(redact(message), code=code, http_status=status)

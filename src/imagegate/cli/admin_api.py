"""Asks a running gateway's admin routes, for the commands that need an admin."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from imagegate.config.load import MASTER_KEY_ENV, environment
from imagegate.diagnosis.redact import redact
from imagegate.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ImageError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
)
from imagegate.types import Json

DEFAULT_URL = "http://127.0.0.1:4000"
URL_ENV = "IMAGEGATE_URL"
KEY_ENV = ("IMAGEGATE_ADMIN_KEY", *MASTER_KEY_ENV)
TIMEOUT_S = 60.0
PAGES_MAX = 1000
_CLASSES: Mapping[int, type[ImageError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: BadRequestError,
    429: OverloadedError,
    503: OverloadedError,
}


class AdminApi:
    """A gateway at `url`, asked with `key`, by default that of the environment."""

    def __init__(self, url: str | None, key: str = "") -> None:
        variables = environment()
        self._url = url or variables.get(URL_ENV) or DEFAULT_URL
        self._key = key or next((variables[name] for name in KEY_ENV if variables.get(name)), "")

    def ask(self, method: str, path: str, body: Json = None) -> Json:
        """Return the answer. Raises the gateway's own error, `ConfigError` where none answers."""
        status, text, _ = self._send(method, path, None if body is None else json.dumps(body))
        answer = self._parsed(status, text)
        if status >= 400:
            raise _error(status, answer)
        return answer

    def read_bytes(self, path: str) -> tuple[bytes, str]:
        """Return what is at `path`, and its media type. Raises as `ask` does."""
        status, data, media_type = self._send("GET", path, None)
        if status >= 400:
            raise _error(status, self._parsed(status, data))
        return data, media_type

    def pages(self, path: str, **query: str | None) -> list[Json]:
        """Return the rows of all pages."""
        rows: list[Json] = []
        given = {name: value for name, value in query.items() if value}
        for _ in range(PAGES_MAX):
            page = self.ask("GET", f"{path}?{urlencode(given)}")
            rows += page["data"]
            if page["next"] is None:
                break
            given["after"] = page["next"]
        return rows

    def _parsed(self, status: int, text: bytes) -> Json:
        try:
            return json.loads(text)
        except ValueError:
            raise ConfigError(f"{self._url} is no imagegate: it answered {status}.") from None

    def _send(self, method: str, path: str, body: str | None) -> tuple[int, bytes, str]:
        place = urlsplit(self._url)
        kind = (
            http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        )
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            connection = kind(place.netloc, timeout=TIMEOUT_S)
            try:
                connection.request(method, place.path.rstrip("/") + path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.getheader("content-type", "")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise ConfigError(
                f"no gateway answers at {self._url} ({error}). Start it with `imagegate serve`, or "
                f"give its address with --url or {URL_ENV}."
            ) from error


def _error(status: int, answer: Json) -> ImageError:
    """Return what was said, redacted: whoever answers at that address may repeat our key."""
    error = answer.get("error") or {}
    told = redact(str(error.get("message", f"The gateway answered {status}.")))
    return _CLASSES.get(status, ImageError)(told, code=error.get("code"), http_status=status)

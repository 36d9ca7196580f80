"""Posts small bodies to receivers that the operator chose: telemetry and webhooks, no images."""

from collections.abc import Mapping

import aiohttp

CONNECT_S = 5.0
CONNECTIONS_MAX = 8


class PostError(Exception):
    """The receiver took nothing; the message names no url, whose path may be a secret."""


class Poster:
    """Connections of one runtime to receivers. Follows no redirect and keeps no cookie."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds_max: float
    ) -> None:
        """Post `body`; raises `PostError` unless the answer is a success in time."""
        timeout = aiohttp.ClientTimeout(total=seconds_max, sock_connect=CONNECT_S)
        try:
            async with self._open().post(
                url, data=body, headers=dict(headers), timeout=timeout, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PostError(type(error).__name__) from error
        if not 200 <= status < 300:
            raise PostError(f"status {status}")

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

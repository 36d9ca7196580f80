"""Whether a place can be reached at all: name, connection, TLS. Nothing is asked there."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from msgspec import Struct
from yarl import URL

from imagegate import clock

REACH_S_MAX = 5.0
_REASON_CHARS_MAX = 200

Hurdle = Literal["", "name", "connection", "tls", "proxy"]


class Reached(Struct, frozen=True):
    """How far it went. `hurdle` is `""` where all of it worked.

    `phases_s` says how long each phase took that was begun (`dns`, `connect`, `tls`), in seconds.
    """

    host: str
    port: int
    hurdle: Hurdle = ""
    reason: str = ""
    addresses: tuple[str, ...] = ()
    phases_s: Mapping[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """How long all of it took, in seconds."""
        return sum(self.phases_s.values())


async def reach(url: str, proxy: str | None = None) -> Reached:
    """Resolve the host of `url`, connect, and shake hands where it is https; 5 s each.

    With a `proxy` that is connected to instead: names are then its business.
    """
    place, first = URL(url, encoded=True), URL(proxy or url, encoded=True)
    way = _Way(first)
    hurdle, reason = await way.go()
    if proxy and hurdle:
        hurdle, reason = "proxy", f"{first.host}:{first.port}: {reason}"
    return Reached(place.host or "", place.port or 443, hurdle, reason, way.addresses, way.phases_s)


class _Way:
    """The way to one place, phase by phase."""

    def __init__(self, place: URL) -> None:
        self._host, self._port = place.host or "", place.port or 443
        self._is_tls = place.scheme == "https"
        self._writer: asyncio.StreamWriter | None = None
        self.addresses: tuple[str, ...] = ()
        self.phases_s: dict[str, float] = {}

    async def go(self) -> tuple[Hurdle, str]:
        """Return the hurdle and its words, both `""` where there is none."""
        phases: tuple[tuple[str, Hurdle, Callable[[], Awaitable[None]]], ...] = (
            ("dns", "name", self._resolve),
            ("connect", "connection", self._connect),
            ("tls", "tls", self._shake_hands),
        )
        try:
            for name, hurdle, phase in phases[: 3 if self._is_tls else 2]:
                started_s = clock.monotonic_s()
                try:
                    async with asyncio.timeout(REACH_S_MAX):
                        await phase()
                except (OSError, UnicodeError, TimeoutError) as error:
                    return hurdle, _words(error)
                finally:
                    self.phases_s[name] = round(clock.monotonic_s() - started_s, 4)
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
        return "", ""

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self.addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def _connect(self) -> None:
        _, self._writer = await asyncio.open_connection(self._host, self._port)

    async def _shake_hands(self) -> None:
        assert self._writer is not None
        context = ssl.create_default_context()
        await self._writer.start_tls(context, server_hostname=self._host)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return f"no answer within {REACH_S_MAX:g} s"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own words name the address once more
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:_REASON_CHARS_MAX]

"""Whether a place can be reached at all: name, connection, TLS. Nothing is asked there."""

import asyncio
import os
import socket
import ssl
from typing import Literal

from msgspec import Struct
from yarl import URL

from imagegate import clock

REACH_S_MAX = 5.0
_REASON_CHARS_MAX = 200

Hurdle = Literal["", "name", "connection", "tls", "proxy"]


class Reached(Struct, frozen=True):
    """How far it went. `hurdle` is `""` where all of it worked; `elapsed_s` in seconds."""

    host: str
    port: int
    hurdle: Hurdle = ""
    reason: str = ""
    addresses: tuple[str, ...] = ()
    elapsed_s: float = 0.0


async def reach(url: str, proxy: str | None = None) -> Reached:
    """Resolve the host of `url`, connect, and shake hands where it is https; 5 s each.

    With a `proxy` that is connected to instead: names are then its business.
    """
    place, first = URL(url, encoded=True), URL(proxy or url, encoded=True)
    started_s = clock.monotonic_s()
    hurdle, reason, addresses = await _go(first)
    if proxy and hurdle:
        hurdle, reason = "proxy", f"{first.host}:{first.port}: {reason}"
    elapsed_s = clock.monotonic_s() - started_s
    return Reached(place.host or "", place.port or 443, hurdle, reason, addresses, elapsed_s)


async def _go(place: URL) -> tuple[Hurdle, str, tuple[str, ...]]:
    host, port = place.host or "", place.port or 443
    try:
        async with asyncio.timeout(REACH_S_MAX):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError) as error:
        return "name", _words(error), ()
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    try:
        async with asyncio.timeout(REACH_S_MAX):
            context = ssl.create_default_context() if place.scheme == "https" else None
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "tls", _words(error), addresses
    except (OSError, TimeoutError) as error:
        return "connection", _words(error), addresses
    writer.transport.abort()
    return "", "", addresses


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return f"no answer within {REACH_S_MAX:g} s"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own words name the address once more
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:_REASON_CHARS_MAX]

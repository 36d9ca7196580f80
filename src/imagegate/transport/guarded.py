"""Connections to hosts that we did not choose: the address decides, at the moment of connecting.

No cookie, no proxy, nothing kept between two requests. The address is checked
where it is resolved and again by the socket, so that a name that changes its mind gains nothing.
"""

import socket
import ssl
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from imagegate.transport.addresses import AddressPolicy, UrlRefusedError

CONNECTIONS_MAX = 32


class AddressRefusedError(OSError):
    """A connection to an address that the policy does not allow."""


def open_session(
    policy: AddressPolicy,
    headers: Mapping[str, str],
    *,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """Return a session that connects to what `policy` allows, and to nothing else.

    `resolver` and `tls` replace the system's.
    """
    connector = aiohttp.TCPConnector(
        resolver=_CheckedResolver(resolver or aiohttp.ThreadedResolver(), policy),
        socket_factory=_checked_sockets(policy),
        ssl=tls or True,
        use_dns_cache=False,
        force_close=True,
        limit=CONNECTIONS_MAX,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers=headers,
    )


def any_address(_address: str) -> bool:
    """Allow every address: that of a host which the operator named."""
    return True


class _CheckedResolver(AbstractResolver):
    """Resolves names to the addresses that the policy allows, and to nothing else."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._policy(result["host"])]
        if found and not allowed:
            raise AddressRefusedError("its host has no public address")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _checked_sockets(
    policy: AddressPolicy,
) -> Callable[[aiohttp.connector.AddrInfoType], socket.socket]:
    def open_socket(address: aiohttp.connector.AddrInfoType) -> socket.socket:
        # The last word: this is the address that the socket is about to be connected to.
        family, kind, protocol, _, place = address
        if not policy(str(place[0])):
            raise AddressRefusedError("its address is not public")
        return socket.socket(family, kind, protocol)

    return open_socket


def reason_of(error: Exception) -> str:
    """Return why a host was not reached, in words that name nothing of the url."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UrlRefusedError | AddressRefusedError):
            return str(cause)
        cause = cause.__cause__
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host has no address"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its TLS certificate or connection is not valid"
        case aiohttp.ClientConnectorError():
            return "its server cannot be reached"
        case _:
            return "its server broke off or answered with broken HTTP"

"""Connections to hosts that we did not choose: the address decides, at the moment of connecting.

No cookie, no proxy, nothing kept between two requests.
"""

import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver

from imagegate.transport.addresses import AddressPolicy, UrlRefusedError
from imagegate.transport.checked import AddressRefusedError, CheckedResolver, checked_sockets

CONNECTIONS_MAX = 32


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
        resolver=CheckedResolver(policy, resolver),
        socket_factory=checked_sockets(policy),
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

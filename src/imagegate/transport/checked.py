"""Connections that lead only where a policy lets them, looked at again as each is made.

A name may resolve to another address than a moment ago: so the address is checked where the name
is resolved, and the very one that a socket is about to be connected to once more.
"""

import socket
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from imagegate.transport.addresses import AddressPolicy


class AddressRefusedError(OSError):
    """A connection to an address that the policy does not allow."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason  # all that aiohttp tells of an error


class CheckedResolver(AbstractResolver):
    """Resolves names to the addresses that the policy allows, and to nothing else.

    `inner` is by default the system's; `kind` is what the policy asks for, in a refusal's words.
    """

    def __init__(
        self, policy: AddressPolicy, inner: AbstractResolver | None = None, *, kind: str = "public"
    ) -> None:
        self._inner = inner or aiohttp.ThreadedResolver()
        self._policy = policy
        self._kind = kind

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return those allowed. Raises `AddressRefusedError` where there are others only."""
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._policy(result["host"])]
        if found and not allowed:
            raise AddressRefusedError(f"its host has no {self._kind} address")
        return allowed

    async def close(self) -> None:
        """Close the resolver that is asked."""
        await self._inner.close()


def checked_sockets(
    policy: AddressPolicy, *, kind: str = "public"
) -> Callable[[aiohttp.connector.AddrInfoType], socket.socket]:
    """Return what makes sockets for the addresses that the policy allows."""

    def open_socket(address: aiohttp.connector.AddrInfoType) -> socket.socket:
        # The last word: this is the address that the socket is about to be connected to.
        family, socket_type, protocol, _, place = address
        if not policy(str(place[0])):
            raise AddressRefusedError(f"its address is not {kind}")
        return socket.socket(family, socket_type, protocol)

    return open_socket

"""Fetches urls that we did not choose: a caller's `image_url`, and urls in an upstream's answer.

https only, public addresses only, no credential, no cookie, no proxy, no second guess: the
address is checked where it is resolved and again at the moment of connecting, so that a name that
changes its mind in between gains nothing. Redirects are followed by hand and checked like the
first url.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from msgspec import Struct
from yarl import URL

from imagegate.errors import BadRequestError
from imagegate.transport.addresses import (
    AddressPolicy,
    CheckedUrl,
    UrlRefusedError,
    check_url,
    is_public,
)
from imagegate.transport.guarded import any_address, open_session, reason_of

CHUNK_BYTES = 256 * 1024
CODE = "invalid_image_url"

_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"accept": "image/*", "accept-encoding": "identity", "user-agent": "imagegate"}


class DownloadLimits(Struct, frozen=True, kw_only=True):
    """What one fetch may take: bytes of the body, seconds in all, redirects."""

    bytes_max: int
    seconds_max: float = 60.0
    redirects_max: int = 3


class Fetched(Struct, frozen=True):
    """What came: the media type as the server named it (lower case, or ""), and the length."""

    content_type: str
    size_bytes: int


class Downloader:
    """Fetches untrusted urls. Keeps nothing between fetches; call `aclose` when done.

    `policy` says which addresses may be connected to; `resolver` and `tls` replace the system's.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy = is_public,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._sessions: dict[AddressPolicy, aiohttp.ClientSession] = {}

    async def fetch(
        self,
        url: str,
        *,
        write: Callable[[bytes], object],
        limits: DownloadLimits,
        param: str | None = None,
        trusted_origin: str | None = None,
        allow_hosts: Collection[str] = (),
        only_hosts: Collection[str] = (),
    ) -> Fetched:
        """Fetch `url` into `write`, which is called once a chunk, and return what came.

        `trusted_origin` is a deployment's own base url: urls of that origin may be http and
        private. `allow_hosts` are names whose addresses may be private; https stays required.
        Where `only_hosts` are given, every other host is refused; one that starts with a dot
        stands for all names below it.
        Raises `BadRequestError` with `param` and the reason, never with the url's path or query;
        by then `write` may have had a part of the body.
        """
        trust = _Trust(trusted_origin, allow_hosts, only_hosts, self._policy)
        host = ""
        try:
            host = check_url(url).host
            async with asyncio.timeout(limits.seconds_max):
                return await self._follow(url, write, limits, trust)
        except TimeoutError as error:
            reason = f"it took longer than {limits.seconds_max:g} s"
            raise _refusal(reason, host, param) from error
        except (UrlRefusedError, aiohttp.ClientError, OSError) as error:
            raise _refusal(reason_of(error), host, param) from error

    async def aclose(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    async def _follow(
        self,
        url: str,
        write: Callable[[bytes], object],
        limits: DownloadLimits,
        trust: "_Trust",
    ) -> Fetched:
        for _ in range(limits.redirects_max + 1):
            target = check_url(url)
            policy = trust.policy_for(target)
            async with self._session(policy).get(
                URL(target.url, encoded=True), allow_redirects=False
            ) as response:
                if response.status not in _REDIRECTS:
                    return await _receive(response, write, limits.bytes_max)
                url = urljoin(target.url, response.headers.get("location", ""))
        raise UrlRefusedError(f"it redirects more than {limits.redirects_max} times")

    def _session(self, policy: AddressPolicy) -> aiohttp.ClientSession:
        if policy not in self._sessions:
            self._sessions[policy] = open_session(
                policy, _HEADERS, resolver=self._resolver, tls=self._tls
            )
        return self._sessions[policy]


class _Trust:
    """What one fetch may reach beyond public https urls. A redirect never gains trust."""

    def __init__(
        self,
        origin: str | None,
        allow_hosts: Collection[str],
        only_hosts: Collection[str],
        policy: AddressPolicy,
    ) -> None:
        self._origin = _origin_of(origin)
        self._only_hosts = tuple(host.lower() for host in only_hosts)
        self._allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._policy = policy

    def policy_for(self, target: CheckedUrl) -> AddressPolicy:
        """Return the address policy of this hop. Raises `UrlRefusedError` where none allows it."""
        if target.origin == self._origin:
            return any_address
        self._origin = None  # left the trusted origin: a redirect back is someone else's wish
        if target.scheme != "https":
            raise UrlRefusedError("only https urls are fetched")
        if self._only_hosts and not self._is_listed(target.host):
            raise UrlRefusedError("its host is none of those that this provider's images come from")
        if target.host in self._allow_hosts:
            return any_address
        if target.is_address and not self._policy(target.host):
            raise UrlRefusedError("its address is not public")
        return self._policy

    def _is_listed(self, host: str) -> bool:
        return any(
            host.endswith(listed) if listed.startswith(".") else host == listed
            for listed in self._only_hosts
        )


def _origin_of(url: str | None) -> tuple[str, str, int] | None:
    """Return the origin of a base url; None, which trusts nothing, where it is no plain http(s)."""
    try:
        return check_url(url).origin if url else None
    except UrlRefusedError:
        return None


async def _receive(
    response: aiohttp.ClientResponse, write: Callable[[bytes], object], bytes_max: int
) -> Fetched:
    if response.status != 200:
        raise UrlRefusedError(f"its server answered with status {response.status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UrlRefusedError("its server compresses although it was asked not to")
    size = 0
    _check_size(response.content_length or 0, bytes_max)
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        size += len(chunk)
        _check_size(size, bytes_max)
        write(chunk)
    return Fetched(response.headers.get("content-type", "").partition(";")[0].lower().strip(), size)


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise UrlRefusedError(f"it is larger than {bytes_max} bytes")


def _refusal(reason: str, host: str, param: str | None) -> BadRequestError:
    # Only the host: paths and queries of signed urls are secrets.
    where = f" at {host}" if host else ""
    return BadRequestError(
        f"the image url{where} cannot be fetched: {reason}. Send the image itself, as a file or "
        "a data url.",
        param=param,
        code=CODE,
    )

"""Posts to urls that callers named: guarded as downloads are, and without a redirect."""

import asyncio
import ssl
from collections.abc import Collection, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from imagegate.transport.addresses import AddressPolicy, UrlRefusedError, check_url, is_public
from imagegate.transport.guarded import any_address, open_session, reason_of

POST_S_MAX = 15.0
_HEADERS = {"content-type": "application/json", "user-agent": "imagegate"}


class HookError(Exception):
    """The receiver did not take it; the message names nothing of the url. `status` 0: no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class HookPoster:
    """Connections to receivers. `allow_hosts` are the operator's own: http and private are fine.

    `policy` says which other addresses may be called; `resolver` and `tls` replace the system's.
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

    def policy_for(self, url: str, allow_hosts: Collection[str]) -> AddressPolicy:
        """Return which addresses `url` may lead to. Raises `UrlRefusedError` where to none."""
        target = check_url(url)
        if target.host in {host.lower() for host in allow_hosts}:
            return any_address
        if target.scheme != "https":
            raise UrlRefusedError("only https urls are called")
        if target.is_address and not self._policy(target.host):
            raise UrlRefusedError("its address is not public")
        return self._policy

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        allow_hosts: Collection[str] = (),
    ) -> None:
        """Post `body`; raises `HookError` unless the answer is a success in time."""
        try:
            session = self._session(self.policy_for(url, allow_hosts))
            async with asyncio.timeout(POST_S_MAX):
                status = await _post(session, url, body, headers)
        except TimeoutError as error:
            raise HookError(f"it did not answer within {POST_S_MAX:g} s") from error
        except (UrlRefusedError, aiohttp.ClientError, OSError) as error:
            raise HookError(reason_of(error)) from error
        if not 200 <= status < 300:
            raise HookError(f"it answered with status {status}", status)

    async def aclose(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    def _session(self, policy: AddressPolicy) -> aiohttp.ClientSession:
        if policy not in self._sessions:
            self._sessions[policy] = open_session(
                policy, _HEADERS, resolver=self._resolver, tls=self._tls
            )
        return self._sessions[policy]


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> int:
    target = URL(check_url(url).url, encoded=True)
    async with session.post(
        target, data=body, headers=dict(headers), allow_redirects=False
    ) as response:
        return response.status

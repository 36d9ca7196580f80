"""A conversation on real sockets. It writes every answer to the journal as it arrives."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Self
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
import msgspec
from yarl import URL

from imagegate import clock
from imagegate.assets.spool import CallSpool, Spool, SpoolFile
from imagegate.config.settings import ANSWER_BYTES_MAX, Credential, Deployment
from imagegate.errors import (
    UpstreamTimeoutError,
)
from imagegate.transport.addresses import AddressPolicy
from imagegate.transport.answer_log import AnswerLog, LoggedHead
from imagegate.transport.auth import headers_for, may_see
from imagegate.transport.bodies import (
    IncomingBody,
    OutgoingBody,
    inflated,
    new_tag,
    read_body,
    too_large,
)
from imagegate.transport.checked import CheckedResolver, checked_sockets
from imagegate.transport.faults import broke_off, fault_of
from imagegate.transport.gate import BodyGate
from imagegate.transport.lane import Lanes
from imagegate.transport.mask import Mask
from imagegate.transport.pacing import PLAIN_BYTES, PacedBody
from imagegate.transport.sandbox import SandboxUpstream
from imagegate.transport.sigv4 import sign
from imagegate.wire.exchange import Event, UpstreamRequest, UpstreamResponse
from imagegate.wire.lift import Lift, lift_whole
from imagegate.wire.sse import EventScanner

CONNECT_S = 10.0
# A reset on an older idle connection could not be told from a lost image (design.md 7).
IDLE_CONNECTION_S = 9.0
# Behind it an answer with an image is masked in its skeleton only: a search costs 0.1 ms a MB.
MASKED_BYTES_MAX = 64 * 1024
# With all that aiohttp would add by itself.
OWN_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "user-agent": "imagegate",
}


NO_SECRETS = Mask(Credential(), {})


class Transport:
    """The sockets of one snapshot: a connection pool, the sandbox, and the gate for large bodies.

    `answer_bytes_max` bounds an answer. One `gate` may serve several. With a `policy` it connects
    only to addresses that this allows.
    """

    def __init__(
        self,
        spool: Spool,
        proxies: Mapping[str, str],
        policy: AddressPolicy | None = None,
        *,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        gate: BodyGate | None = None,
    ) -> None:
        self.spool = spool
        self.answer_bytes_max = answer_bytes_max
        self.gate = gate or BodyGate()
        self.lanes = Lanes()
        self.sandbox = SandboxUpstream()
        self._proxies = dict(proxies)
        self._narrowed: list[Transport] = []
        self.session = aiohttp.ClientSession(
            connector=_connector(policy),
            headers=OWN_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=16 * 1024,  # until a large body has its turn: see pacing.py
        )

    def proxy_for(self, url: URL) -> str | None:
        """Return the proxy that the environment names for `url`, or None."""
        if not self._proxies:
            return None
        proxy = self._proxies.get(url.scheme)
        if proxy and url.host and not proxy_bypass_environment(url.host, self._proxies):
            return proxy
        return None

    def narrowed(self, policy: AddressPolicy) -> "Transport":
        """Return one that connects only where `policy` allows it; it is closed with this one."""
        narrow = Transport(
            self.spool,
            self._proxies,
            policy,
            answer_bytes_max=self.answer_bytes_max,
            gate=self.gate,
        )
        self._narrowed.append(narrow)
        return narrow

    async def aclose(self) -> None:
        """Close all connections and the sandbox's worker."""
        for narrow in self._narrowed:
            await narrow.aclose()
        await self.session.close()
        await self.sandbox.aclose()


class LiveConversation:
    """One exchange's sockets; a context manager that closes what is still open.

    `headers` are the last answer's; `files` hold large answers, for evidence of what went wrong.
    `traceparent` and `idempotency_key` go to the deployment's own place where they are set.
    A recovery's conversation is not logged: the log of the process before it stays the truth.
    """

    def __init__(
        self,
        transport: Transport,
        deployment: Deployment,
        attempt_id: str,
        spool: CallSpool,
        *,
        is_logged: bool = True,
    ) -> None:
        self._transport = transport
        self._deployment = deployment
        self._lane = transport.lanes.of(deployment)
        self._spool = spool
        self._log = AnswerLog(transport.spool.journal if is_logged else None, attempt_id)
        self._response: aiohttp.ClientResponse | None = None
        self._body: PacedBody | None = None
        self._events: EventStream | None = None
        self._mask = NO_SECRETS
        self.headers: Mapping[str, str] = {}
        self.traceparent = ""
        self.idempotency_key = ""
        self.files: list[SpoolFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.end()  # its adapter had what it wanted, or a refusal, before the end
        if self._response is not None and not self._response.closed:
            self._response.close()
        if self._body is not None:
            self._body.close()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request; when this returns, its answer's body is in the spool.

        Raises the fault of design.md 7: `moment` while the body was not fully handed over,
        `ambiguous` from then on.
        """
        if request.seconds_max is None:
            return await self._converse(request)
        try:
            async with asyncio.timeout(request.seconds_max):
                return await self._converse(request)
        except TimeoutError as error:
            if self._response is not None:
                self._response.close()
            host = URL(request.url, encoded=True).host
            raise UpstreamTimeoutError(
                f"{host} did not answer within {request.seconds_max:g} s."
            ) from error

    async def _converse(self, request: UpstreamRequest) -> UpstreamResponse:
        status: int
        headers: Mapping[str, str]
        if request.url.startswith("sandbox:"):
            answer = await self._transport.sandbox.send(request)
            status, headers, chunks = answer.status, answer.headers, answer.chunks
        else:
            status, headers, chunks = await self._send_http(request)
        headers = self._mask.hide_in(headers)
        self.headers = headers
        try:
            return await self._take(request, status, headers, chunks)
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(error) from error

    async def next_event(self) -> Event | None:
        """Return the next event of the stream, or None at its end."""
        assert self._events is not None
        try:
            return await self._events.next_event()
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(error) from error

    async def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await clock.sleep(seconds)

    async def _send_http(
        self, request: UpstreamRequest
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        url = URL(request.url, encoded=True)
        headers = await self._headers_of(request)
        self._mask = self._lane.mask or Mask(self._deployment.credential, headers)
        body = OutgoingBody(request.body, headers.get("content-type", ""))
        try:
            response = await self._transport.session.request(
                request.method,
                url,
                data=body if request.body else None,
                headers=headers,
                allow_redirects=False,
                proxy=self._transport.proxy_for(url),
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise fault_of(error, url, is_sent=body.is_sent) from error
        self._response = response
        self._body = PacedBody(response, self._transport.gate)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return response.status, lowered, self._body

    async def _headers_of(self, request: UpstreamRequest) -> dict[str, str]:
        deployment = self._deployment
        place = (request.url, deployment.target.base_url, deployment.provider.trusted_hosts)
        if not may_see(*place):
            return dict(request.headers)
        headers = {**request.headers, **self._own_headers(request)}
        if self._lane.headers is not None:
            return {**headers, **self._lane.headers}
        headers |= {**deployment.headers, **await headers_for(deployment.credential, *place)}
        if deployment.credential.kind == "sigv4":
            region = str(deployment.target.traits["aws_region_name"])
            headers |= await sign(deployment.credential, region, request, headers)
        return headers

    def _own_headers(self, request: UpstreamRequest) -> dict[str, str]:
        """Return what the deployment's own place is told of this attempt."""
        told = {"traceparent": self.traceparent} if self.traceparent else {}
        if self.idempotency_key and request.method == "POST":
            told["idempotency-key"] = self.idempotency_key
        return told

    async def _take(
        self,
        request: UpstreamRequest,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
    ) -> UpstreamResponse:
        is_stream = request.events and status == 200 and _is_event_stream(headers)
        if isinstance(chunks, PacedBody) and not is_stream and self._is_small(chunks, headers):
            data = self._mask.hide(await chunks.whole())
            self._log.write(status, headers, data)
            return UpstreamResponse(status, headers, lift_whole(data, new_tag()))
        return await self._take_pieces(status, headers, chunks, is_stream=is_stream)

    def _is_small(self, body: PacedBody, headers: Mapping[str, str]) -> bool:
        """Whether an answer is taken in one piece: most need no file, no turn and no scanner."""
        size = body.announced_bytes
        limit = min(PLAIN_BYTES, self._transport.answer_bytes_max)
        return size is not None and size <= limit and "content-encoding" not in headers

    async def _take_pieces(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        limit = self._transport.answer_bytes_max
        encoding = headers.get("content-encoding", "").lower()
        if encoding not in ("", "identity"):
            chunks = inflated(chunks, encoding, bytes_max=limit)
        head = self._log.begin(status, headers)
        whole = is_stream or status != 200
        chunks = self._mask.stream(chunks, bytes_max=None if whole else MASKED_BYTES_MAX)
        if is_stream:
            file = self._spool.new_file()
            self.files.append(file)
            head.in_file(file, events=True)
            self._events = EventStream(chunks, file, head, bytes_max=limit)
            return UpstreamResponse(status, headers, Lift("").finish(b""), is_event_stream=True)

        def on_file(file: SpoolFile) -> None:
            self.files.append(file)
            head.in_file(file)

        body = IncomingBody(self._spool, on_file)
        await read_body(chunks, body, bytes_max=limit)
        head.end(body.data, body.file)
        lifted = body.finish()
        skeleton = self._mask.hide(lifted.skeleton)
        return UpstreamResponse(status, headers, msgspec.structs.replace(lifted, skeleton=skeleton))


class EventStream:
    """An event stream that is being read: every byte goes to the file, events come out."""

    def __init__(
        self, chunks: AsyncIterator[bytes], file: SpoolFile, head: "LoggedHead", *, bytes_max: int
    ) -> None:
        self._chunks = chunks
        self._file = file
        self._head = head
        self._bytes_max = bytes_max
        self._scanner = EventScanner(file, new_tag())
        self._pending: deque[Event] = deque()
        self._has_ended = False

    async def next_event(self) -> Event | None:
        """Return the next event, or None at the end of the stream."""
        while not self._pending and not self._has_ended:
            try:
                chunk = await self._next_chunk()
            except BaseException:
                self._has_ended = True  # broken: what came of it is no whole answer
                raise
            if chunk is None:
                self._pending.extend(self._scanner.finish())
                self.end()
                break
            self._pending.extend(self._scanner.feed(chunk))
        return self._pending.popleft() if self._pending else None

    async def _next_chunk(self) -> bytes | None:
        chunk = await anext(self._chunks, None)
        if chunk is not None:
            self._file.write(chunk)
        if self._file.size > self._bytes_max:
            raise too_large(self._bytes_max)
        return chunk

    def end(self) -> None:
        """Note that what came is all that matters; further calls do nothing."""
        if not self._has_ended:
            self._has_ended = True
            self._head.end(b"", self._file)


def _connector(policy: AddressPolicy | None) -> aiohttp.TCPConnector:
    if policy is None:
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S)
    return aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=IDLE_CONNECTION_S,
        resolver=CheckedResolver(policy, kind="permitted"),
        socket_factory=checked_sockets(policy, kind="permitted"),
    )


def _is_event_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")

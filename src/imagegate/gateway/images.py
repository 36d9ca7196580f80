"""The image routes: read a call, start it, answer it. A plain ASGI callable: the hot path."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec
from starlette.types import Scope, Send

from imagegate import clock
from imagegate.assets.spool import CallSpool
from imagegate.call_options import HasLeft
from imagegate.closing import refused_event
from imagegate.errors import ImageError, OverloadedError, UpstreamTimeoutError
from imagegate.gateway.answer import echoes_quality, send_answer
from imagegate.gateway.auth import Gatekeeper
from imagegate.gateway.channel import CallerLeftError, Channel
from imagegate.gateway.connection import connection_of
from imagegate.gateway.errors import error_body, error_headers, internal_error
from imagegate.gateway.events import send_events
from imagegate.gateway.intake import Intake, Request
from imagegate.gateway.later import send_accepted
from imagegate.gateway.options import read_options
from imagegate.gateway.overrides import take_overrides
from imagegate.gateway.prefer import Preference, read_preference
from imagegate.gateway.repeat import attach_terms
from imagegate.gateway.responses import send_response
from imagegate.gateway.traffic import Traffic
from imagegate.gateway.webhooks import promise_message, read_url
from imagegate.ledger.people import Account
from imagegate.linker import Linker
from imagegate.running import RunningCall
from imagegate.runtime.snapshot import Snapshot
from imagegate.runtime.webhooks import Courier
from imagegate.trace import Trace, parse_traceparent
from imagegate.types import ImageCall, Operation
from imagegate.wire.openai_calls import build_answer

OVERLOADED_RETRY_S = 5.0


class ImageEndpoint:
    """Serves image calls by one snapshot; counts those that are in flight."""

    def __init__(
        self,
        runtime: Snapshot,
        gatekeeper: Gatekeeper,
        traffic: Traffic,
        courier: Courier | None = None,
    ) -> None:
        self._runtime = runtime
        self._courier = courier
        self._gatekeeper = gatekeeper
        self._traffic = traffic
        self._intake = Intake(runtime)
        self._calls_max = runtime.settings.server.calls_max
        self._docs_url = runtime.settings.server.docs_url

    async def serve(self, scope: Scope, send: Send, operation: Operation, path_model: str) -> None:
        """Answer one request; `path_model` is the model named by the path, `""` for none."""
        connection = connection_of(scope)
        channel = Channel(connection, send, self._docs_url)
        call_id = clock.new_id("call")
        request = Request(dict(scope["headers"]), connection, operation, path_model)
        trace = _trace_of(request, call_id)
        running: RunningCall | None = None
        self._runtime.users.enter()
        self._traffic.request_count += 1
        try:
            account = await self._gatekeeper.identify(scope, request.headers)
            self._check_room()
            trace.belong(account.key_id, account.team_id)
            preference = read_preference(scope, request.headers)
            url = read_url(request.headers, self._courier, account, preference)
            running = await self._start(request, trace, account, preference, channel.left)
            channel.watch(running.hang_up)
            if url:
                await promise_message(self._courier, running, url, account)
            await self._answer(channel, running, request.headers, scope, preference)
        except CallerLeftError:
            pass  # nothing was dispatched and there is nobody to tell
        except ImageError as error:
            if error.call_id is None and not trace.is_told:  # no row tells of it
                self._runtime.tools.sinks.publish(refused_event(trace, None, error))
            await _send_error(channel, error, call_id)
        except asyncio.CancelledError:  # a second signal: the process ends now
            await _send_error(channel, _stopped(is_started=running is not None), call_id)
        except Exception as fault:  # the last resort: a bug still gets an answer
            await _send_error(channel, internal_error(fault, call_id), call_id)
        finally:
            channel.close()
            self._traffic.request_count -= 1
            self._runtime.users.leave()

    def _check_room(self) -> None:
        """Let the request in, or raise, by our state alone."""
        if self._traffic.stage == "draining":
            raise _stopped(is_started=False)
        if self._traffic.is_above(self._calls_max):
            raise OverloadedError(
                f"{self._calls_max} calls are in work, which is the limit here (server."
                "calls_max). Send the request again later.",
                retry_after_s=OVERLOADED_RETRY_S,
            )

    async def _start(
        self,
        request: Request,
        trace: Trace,
        account: Account,
        preference: Preference | None,
        has_left: HasLeft,
    ) -> RunningCall:
        """Read the call and start it; from here on its files are its own."""
        options = read_options(request.headers, account)
        terms = None
        spool = self._runtime.spool.open_call(trace.call_id)
        try:
            with trace.step("read"):
                call = await self._read(request, spool)
            settings = self._runtime.settings
            call, options = take_overrides(call, request.headers, options, settings)
            if call.operation != "responses":
                if preference is not None:
                    preference.check(call)
                terms = await attach_terms(call, request.headers, account)
            options = msgspec.structs.replace(
                options,
                trace=trace,
                has_left=has_left,
                is_later=preference is not None,
                attach=terms,
            )
            return await self._runtime.pipeline.start(call, spool, options)
        except BaseException:
            spool.close()
            raise

    async def _read(self, request: Request, spool: CallSpool) -> ImageCall:
        """Return the call; a disk that takes no more is our trouble, not the caller's."""
        try:
            return await self._intake.read_call(request, spool)
        except OSError as error:
            raise OverloadedError(
                f"The gateway cannot store the request's files ({error.strerror}). Nothing was "
                "sent on; send the request again later.",
                code="spool_unavailable",
                retry_after_s=OVERLOADED_RETRY_S,
            ) from error

    async def _answer(
        self,
        channel: Channel,
        running: RunningCall,
        headers: Mapping[bytes, bytes],
        scope: Scope,
        preference: Preference | None,
    ) -> None:
        """Answer when the call has ended; a caller who left leaves the call running."""
        is_delivered = False
        try:
            echo_quality = echoes_quality(running.call, headers)
            if running.call.operation == "responses":
                is_delivered = await send_response(channel, running)
            elif running.call.stream:
                is_delivered = await send_events(channel, running, echo_quality=echo_quality)
            else:
                linker = self._linker(running.call, scope)
                answer = partial(_answer_whole, channel, running, linker, echo_quality)
                if preference is None:
                    is_delivered = await answer()
                else:
                    is_delivered = await self._answer_or_promise(
                        channel, running, preference, answer
                    )
        except ImageError:
            is_delivered = True  # the error is the answer
            raise
        finally:
            if is_delivered:
                running.release()
            else:
                running.abandon()

    async def _answer_or_promise(
        self,
        channel: Channel,
        running: RunningCall,
        preference: Preference,
        answer: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Answer where the call ends while its caller waits, else tell where its answer will be."""
        if preference.wait_s and await _has_ended_within(preference.wait_s, running):
            return await answer()
        if channel.has_left:
            return False
        running.promise()
        await send_accepted(channel, self._runtime, running.id, preference)
        return True

    def _linker(self, call: ImageCall, scope: Scope) -> Linker | None:
        """Return what makes urls for a call that asked for them."""
        links, settings = self._runtime.tools.links, self._runtime.settings
        if links is None or call.response_format != "url":
            return None
        base_url = settings.server.public_url or _base_url(scope)
        return Linker(links, base_url, settings.assets.url_s)


async def _answer_whole(
    channel: Channel, running: RunningCall, linker: Linker | None, echo_quality: bool
) -> bool:
    outcome = await running.wait_while_connected()
    if outcome is None:
        return False
    now_s = clock.now_s()
    result = linker.with_urls(outcome, now_s) if linker else outcome.result
    body = build_answer(result, created=int(now_s), echo_quality=echo_quality)
    return await send_answer(channel, running, outcome, body)


async def _has_ended_within(wait_s: float, running: RunningCall) -> bool:
    """Return whether the call ended, well or not, while its caller was there and waited."""
    with suppress(TimeoutError, ImageError):
        async with asyncio.timeout(wait_s):
            await running.wait_while_connected()
    return running.has_ended


def _trace_of(request: Request, call_id: str) -> Trace:
    header = request.headers.get(b"traceparent")
    return Trace(call_id, parse_traceparent(header.decode("latin-1")) if header else None)


def _stopped(*, is_started: bool) -> ImageError:
    """Return what a caller is told by a gateway that ends before the call does."""
    if not is_started:
        return OverloadedError(
            "This gateway is shutting down; send the request again.",
            code="shutting_down",
            retry_after_s=OVERLOADED_RETRY_S,
        )
    return UpstreamTimeoutError(
        "This gateway was stopped while the call was at work. It may be billed; what had come of "
        "it is kept at the next start, under this call id. Do not send it again before you looked.",
        code="gateway_stopped",
    )


def _base_url(scope: Scope) -> str:
    """Return the address that the request came to: our own socket's, not what its head claims."""
    host, port = scope.get("server") or ("127.0.0.1", None)
    host = f"[{host}]" if ":" in host else host
    return f"{scope['scheme']}://{host}:{port}" if port else f"{scope['scheme']}://{host}"


async def _send_error(channel: Channel, error: ImageError, call_id: str) -> None:
    if channel.is_head_sent:
        return  # uvicorn closes a connection whose answer has no end
    error.call_id = error.call_id or call_id
    body = error_body(error, channel.docs_url)
    await channel.send_whole(error.http_status, error_headers(error), body)

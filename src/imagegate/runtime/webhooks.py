"""Tells receivers how calls ended: signed messages, each tried until it is taken or given up.

A message is a row of the ledger, so it outlives the process. Whoever is about to try it moves its
next try first, so that of several processes one sends it, and none is lost where that one dies.
"""

import asyncio
import datetime
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from imagegate import clock, telemetry
from imagegate.call_fields import call_fields
from imagegate.config.settings import Settings
from imagegate.config.webhooks import WebhookSettings
from imagegate.ledger.records import ConflictError, LedgerError
from imagegate.ledger.store import SqlLedger
from imagegate.ledger.webhook_schema import SELECT_DUE, SELECT_OF_CALL
from imagegate.ledger.webhooks import AddWebhook, ChangeWebhook, HastenWebhooks, WebhookRecord
from imagegate.linker import Linker
from imagegate.running import RunningCall
from imagegate.runtime.snapshot import Snapshot
from imagegate.settle import Tools
from imagegate.stored import StoredCall, error_of, read_stored
from imagegate.transport.hooks import POST_S_MAX, HookError, HookPoster
from imagegate.types import Json
from imagegate.wire.openai_calls import error_fields
from imagegate.wire.standard_webhooks import derive_key, read_secret, sign, write_secret

PERIOD_S = 5.0
POSTS_MAX = 32
LEASE_S = 2 * POST_S_MAX  # behind it another process may take a message that was being tried
AGAIN_AFTER_S = (1.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""How long after each failed try the next one comes: ten of them, over three days."""
JITTER = 0.2
GONE = 410

log = logging.getLogger(telemetry.LOGGER)


class Courier:
    """Delivers the messages of one ledger, as far as they are due, by the settings of now."""

    def __init__(self, snapshot: Callable[[], Snapshot], ledger: SqlLedger) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._poster = HookPoster()
        self._posts: set[asyncio.Task[None]] = set()
        self._is_due = asyncio.Event()

    @property
    def settings(self) -> WebhookSettings:
        """What the operator wants of webhooks now."""
        return self._snapshot().settings.webhooks

    def secret_of(self, holder: str) -> str:
        """Return the secret by which this holder's messages are signed."""
        return write_secret(self._keys_of(holder)[0])

    def check(self, url: str) -> None:
        """Raise `UrlRefusedError` for a url that is never posted to."""
        self._poster.policy_for(url, self.settings.allow_hosts)

    async def add(self, running: RunningCall, url: str, holder: str) -> None:
        """Promise a message about a call; durable when this returns. Raises `LedgerError`."""
        now_s = clock.now_s()
        webhook = WebhookRecord(
            id=_id_of(running.id, url),
            call_id=running.id,
            url=url,
            holder=holder,
            due_at=now_s,
            created_at=now_s,
        )
        await self._ledger.commit(AddWebhook(webhook))
        running.on_end(self._is_due.set)

    async def of_call(self, call_id: str) -> tuple[WebhookRecord, ...]:
        """Return the messages about a call. Raises `LedgerError`."""
        return await self._ledger.select(WebhookRecord, SELECT_OF_CALL, b_id=call_id)

    async def run(self) -> None:
        """Deliver what is due until cancelled, also while the ledger is away."""
        if not self._ledger.is_shared:  # then nobody has any in hand, whatever its row says
            with suppress(LedgerError):
                await self._ledger.commit(HastenWebhooks(clock.now_s()))
        while True:
            self._is_due.clear()
            try:
                await self._send_due()
            except LedgerError:
                log.exception(telemetry.TASK_CRASHED, extra={"task": "webhooks"})
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._is_due.wait()

    async def aclose(self) -> None:
        """Let go of messages that are under way: they are due again at the next start."""
        for post in self._posts:
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        await self._poster.aclose()

    def _keys_of(self, holder: str) -> list[bytes]:
        roots = (read_secret(one.reveal()) for one in self.settings.secrets)
        return [derive_key(root, holder) for root in roots]

    async def _send_due(self) -> None:
        if not self.settings.is_on:
            return
        room = POSTS_MAX - len(self._posts)
        parameters = {"b_now": clock.now_s(), "b_limit": room}
        for webhook in await self._ledger.select(WebhookRecord, SELECT_DUE, **parameters):
            post = asyncio.create_task(self._deliver(webhook), name=f"webhook {webhook.id}")
            self._posts.add(post)
            post.add_done_callback(self._end_post)

    def _end_post(self, post: asyncio.Task[None]) -> None:
        if len(self._posts) == POSTS_MAX:
            self._is_due.set()  # others may have waited for this place
        self._posts.discard(post)

    async def _deliver(self, webhook: WebhookRecord) -> None:
        tried = msgspec.structs.replace(
            webhook, tries=webhook.tries + 1, due_at=clock.now_s() + LEASE_S
        )
        try:
            await self._ledger.commit(ChangeWebhook(tried, webhook.tries))
            ended = await self._try(tried)
            await self._ledger.commit(ChangeWebhook(ended, tried.tries))
        except ConflictError:
            pass  # another process has it
        except LedgerError:
            log.exception(telemetry.TASK_CRASHED, extra={"task": "webhooks"})
        else:
            self._tell(ended)

    async def _try(self, webhook: WebhookRecord) -> WebhookRecord:
        """Send a message once; return what it is after that."""
        call = await self._ledger.get_call(webhook.call_id)
        assert call is not None, "rows of calls stay"
        body = self._body(await read_stored(self._ledger, call))
        headers = sign(self._keys_of(webhook.holder), webhook.id, int(clock.now_s()), body)
        allow_hosts = self.settings.allow_hosts
        try:
            await self._poster.post(webhook.url, body, headers, allow_hosts=allow_hosts)
        except HookError as error:
            return _failed(webhook, error, clock.now_s())
        return msgspec.structs.replace(
            webhook, state="delivered", ended_at=clock.now_s(), error_text=""
        )

    def _tell(self, webhook: WebhookRecord) -> None:
        if webhook.state == "delivered":
            return
        name = telemetry.WEBHOOK_FAILED if webhook.state == "waiting" else telemetry.WEBHOOK_LOST
        told = {"call_id": webhook.call_id, "webhook": webhook.id, "tries": webhook.tries}
        log.warning(name, extra=told | {"reason": webhook.error_text})
        if webhook.state == "waiting":
            wait_s = webhook.due_at - clock.now_s()
            asyncio.get_running_loop().call_later(wait_s, self._is_due.set)

    def _body(self, stored: StoredCall) -> bytes:
        ended_at = stored.call.finished_at or clock.now_s()
        moment = datetime.datetime.fromtimestamp(ended_at, datetime.UTC)
        return msgspec.json.encode(
            {
                "type": f"image.call.{stored.call.state}",
                "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "data": self._fields(stored),
            }
        )

    def _fields(self, stored: StoredCall) -> Mapping[str, Json]:
        snapshot = self._snapshot()
        fields, linker = call_fields(stored), _linker(snapshot.settings, snapshot.tools)
        if linker is not None:
            url_of = partial(linker.url_of, now_s=clock.now_s())
            urls = [{"url": url_of(asset)} for asset in stored.assets]
            fields["images"] = [a | b for a, b in zip(fields["images"], urls, strict=True)]
        error = error_of(stored)
        return fields | (error_fields(error) if error else {})


def _linker(settings: Settings, tools: Tools) -> Linker | None:
    """Return what signs urls of images, where it is known how others reach this gateway."""
    base_url = settings.server.public_url
    if not base_url or tools.links is None:
        return None
    return Linker(tools.links, base_url, settings.assets.url_s)


def _id_of(call_id: str, url: str) -> str:
    """Return the id of the message about a call to an url: one, however often it is asked for."""
    return "msg_" + hashlib.sha256(f"{call_id}\n{url}".encode()).hexdigest()[:32]


def _failed(webhook: WebhookRecord, error: HookError, now_s: float) -> WebhookRecord:
    is_last = error.status == GONE or webhook.tries > len(AGAIN_AFTER_S)
    if is_last:
        return msgspec.structs.replace(
            webhook, state="given_up", ended_at=now_s, error_text=str(error)
        )
    wait_s = AGAIN_AFTER_S[webhook.tries - 1] * (1 + JITTER * clock.chance())
    return msgspec.structs.replace(webhook, due_at=now_s + wait_s, error_text=str(error))

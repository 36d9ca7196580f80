"""A process that is gone while a provider answers: what the next one makes of its journal.

Each provider's recorded conversation is had on real sockets and logged as always; it ends after
some of its answers, as a kill ends it. What had come whole is adopted, a job is followed by GETs
alone, and a POST is never sent again.
"""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegate import clock
from imagegate.assets.blobs import read_bytes
from imagegate.assets.check import check_answer_blob
from imagegate.assets.journal import Opened
from imagegate.assets.spool import Spool
from imagegate.attempt import without_bytes
from imagegate.config.settings import Deployment, Settings
from imagegate.errors import ImageError, UpstreamEmptyError
from imagegate.ledger.records import Admit, AttemptRecord, CallRecord
from imagegate.ledger.store import open_ledger
from imagegate.runtime.assemble import Runtime, open_runtime
from imagegate.stored import open_asset
from imagegate.transport.live import LiveConversation, Transport
from imagegate.transport.run import run
from imagegate.types import Blob, ImageCall
from imagegate.wire.exchange import UpstreamRequest, UpstreamResponse
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.exchanges.recorded import BY_HTTP, Upstream, deployment_of, served, settings_of
from tests.upstream.pictures import picture


def is_whole(case: Case) -> bool:
    """Return whether its images can be had: some recordings hold the start of one only."""
    for image in (case.result or {}).get("images", ()):
        file = base64.b64decode(image.get("base64", ""))
        if image.get("url", "").startswith("https://storage.googleapis.com"):
            return False
        try:
            if file:
                check_answer_blob(Blob(file, 0, len(file)))
        except UpstreamEmptyError:
            return False
    return True


def kind_of(case: Case) -> str:
    """Return of what there is one recording enough."""
    if case.error is None:
        return f"{case.operation} {case.case}"
    return f"{case.error.fault} {any(turn.response.is_event_stream for turn in case.turns)}"


def scenes() -> Iterator[tuple[Provider, Case, int]]:
    """Yield for each kind of recording after how many answers the process dies."""
    for provider in BY_HTTP:
        found = {kind_of(case): case for case in cases.cases_of(provider.name) if is_whole(case)}
        for case in found.values():
            methods = {turn.request.method for turn in case.turns}
            if case.error is None:
                yield from ((provider, case, answers) for answers in range(len(methods) + 1))
            elif methods == {"POST"}:
                yield provider, case, 1


class KilledError(Exception):
    """The process ends here."""


class DyingConversation(LiveConversation):
    """A live conversation that ends before the request after `answers` answers."""

    answers = 0

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        if not self.answers:
            raise KilledError
        self.answers -= 1
        return await super().send(request)


class CountingUpstream(Upstream):
    """Counts the requests that it has had, by method."""

    def __init__(self, case: Case) -> None:
        super().__init__(case, 1)
        self.methods: list[str] = []
        self.may_answer.set()

    async def answer(self, request):  # type: ignore[no-untyped-def]
        self.methods.append(request.method)
        return await super().answer(request)


def name_of(value: object) -> str:
    if isinstance(value, Provider):
        return value.name
    return f"{value.operation}_{value.case}" if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("provider", "case", "answers"), list(scenes()), ids=name_of)
def test_what_had_come_is_adopted(
    provider: Provider, case: Case, answers: int, tmp_path: Path
) -> None:
    asyncio.run(_scene(provider, case, answers, tmp_path))


async def _scene(provider: Provider, case: Case, answers: int, folder: Path) -> None:
    upstream = CountingUpstream(case)
    async with served(upstream) as origin:
        deployment = deployment_of(provider, case, origin)
        settings = settings_of(folder, deployment)
        call = case.build_call(id=clock.new_id("call"), model=provider.name)
        await _die(settings, deployment, call, answers)
        bought = upstream.methods.count("POST")
        runtime = await open_runtime(settings, embedded=False)
        try:
            await runtime.background[0]
            (attempt,) = await runtime.ledger.attempts_of(call.id)
            assert attempt.state == (state_after(case) if answers else "unknown")
            assert upstream.methods.count("POST") == bought, "nothing is bought again"
            assert await _kept(runtime, call.id) == (images_of(case) if answers else [])
        finally:
            await runtime.aclose()


async def _die(settings: Settings, deployment: Deployment, call: ImageCall, answers: int) -> None:
    """Have the conversation up to so many answers, and leave everything as it is then."""
    spool, ledger = Spool(settings.assets), open_ledger(settings.database_url.reveal())
    attempt_id, now_s = clock.new_id("att"), clock.now_s()
    provider, target = deployment.provider, deployment.target
    await ledger.commit(
        Admit(
            CallRecord(
                id=call.id,
                operation=call.operation,
                model=call.model,
                created_at=now_s,
                owner=spool.owner,
            ),
            AttemptRecord(
                id=attempt_id,
                call_id=call.id,
                number=1,
                deployment_id=deployment.id,
                provider=provider.name,
                upstream_model=target.upstream_model,
                dispatched_at=now_s,
                owner=spool.owner,
            ),
        )
    )
    spool.journal.append(Opened(attempt_id, provider.name, "", without_bytes(call), target))
    transport = Transport(spool, {})
    conversation = DyingConversation(transport, deployment, attempt_id, spool.open_call(call.id))
    conversation.answers = answers
    adapter = provider.adapter(call.operation)
    assert adapter is not None
    try:
        with conversation:
            await run(adapter(call, target), conversation, lambda _: None)
    except (KilledError, ImageError):
        pass
    await transport.aclose()
    await ledger.aclose()
    spool.has_leftovers = True
    spool.close()


async def _kept(runtime: Runtime, call_id: str) -> list[bytes]:
    """Return the images of a call as they are kept."""
    kept = []
    for asset in await runtime.ledger.assets_of(call_id):
        opened = await open_asset(asset, runtime.ledger, runtime.tools.store)
        kept.append(read_bytes(opened.blob))
        opened.file.close()
    return kept


def state_after(case: Case) -> str:
    """Return how an attempt ended of which the whole recording had come."""
    if case.error is None:
        return "settled"
    return "unknown" if case.error.fault == "ambiguous" else "refused"


def images_of(case: Case) -> list[bytes]:
    """Return the images of a recording; those behind urls are the fake upstream's own."""
    return [
        base64.b64decode(image["base64"]) if "base64" in image else picture("a red cube")
        for image in (case.result or {}).get("images", ())
    ]

"""Live conversations: a poll has a time limit of its own, and goes where it may go."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from imagegate.assets.journal import Head, read_records
from imagegate.assets.spool import Spool
from imagegate.config.settings import (
    ANSWER_BYTES_MAX,
    AssetSettings,
    Credential,
    Deployment,
)
from imagegate.errors import UpstreamFailedError, UpstreamTimeoutError
from imagegate.providers import provider_for
from imagegate.transport.faults import broke_off
from imagegate.transport.live import LiveConversation, Transport
from imagegate.types import Secret
from imagegate.wire.exchange import UpstreamRequest, UpstreamResponse
from imagegate.wire.provider import Target
from tests.upstream.fake import FakeUpstream


@asynccontextmanager
async def conversing(
    folder: Path, origin: str, *, is_logged: bool = True, answer_bytes_max: int = ANSWER_BYTES_MAX
) -> AsyncIterator[LiveConversation]:
    provider = provider_for("black_forest_labs")
    assert provider
    deployment = Deployment(
        id="d",
        group="img",
        provider=provider,
        target=Target(origin, "flux-2-pro"),
        credential=Credential("header", Secret("sk-test-1"), header="x-key"),
    )
    spool = Spool(AssetSettings(folder=str(folder)))
    transport = Transport(spool, {}, answer_bytes_max=answer_bytes_max)
    files = spool.open_call("call_1")
    try:
        with LiveConversation(
            transport, deployment, "att_1", files, is_logged=is_logged
        ) as conversation:
            yield conversation
    finally:
        files.close()
        await transport.aclose()
        spool.has_leftovers = True
        spool.close()


def get(url: str, seconds_max: float | None = None) -> UpstreamRequest:
    return UpstreamRequest("GET", url, seconds_max=seconds_max)


def test_a_disk_that_is_full_is_not_the_upstreams_fault() -> None:
    error = broke_off(OSError(errno.ENOSPC, "No space left on device"))
    assert (error.code, error.owner, error.fault) == ("spool_full", "operator", "ambiguous")
    assert broke_off(ConnectionResetError()).owner == "provider"


def test_a_request_with_a_limit_ends_by_it_and_the_next_one_works(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    async def scene() -> int:
        async with conversing(tmp_path, upstream.v1) as conversation:
            upstream.reply("hang")
            post = UpstreamRequest(
                "POST",
                f"{upstream.v1}/images/generations",
                (b'{"model": "gpt-image-2", "prompt": "x"}',),
                {"content-type": "application/json", "authorization": "Bearer sk-test-1"},
                seconds_max=0.05,
            )
            with pytest.raises(UpstreamTimeoutError):
                await conversation.send(post)
            return (await conversation.send(get(f"{upstream.v1}/models", 10.0))).status

    assert asyncio.run(scene()) == 200


@pytest.mark.parametrize("is_logged", [True, False])
def test_a_recovery_writes_no_second_log(
    upstream: FakeUpstream, tmp_path: Path, is_logged: bool
) -> None:
    async def scene() -> None:
        async with conversing(tmp_path, upstream.v1, is_logged=is_logged) as conversation:
            await conversation.send(get(f"{upstream.v1}/models"))

    asyncio.run(scene())
    (folder,) = (tmp_path / "spool").iterdir()
    assert len(list(read_records(folder))) == int(is_logged)


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[str]:
    """Answer one request by these pieces, one packet each, and close; yields the origin."""
    is_closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        is_closed.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            await is_closed.wait()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 29\r\nx-echo: sk-test-1\r\n\r\n"
PIECES = (HEAD + b'{"key": "sk-', b'test-1"', b', "a": 12}')


def ask(folder: Path, *pieces: bytes, answer_bytes_max: int = ANSWER_BYTES_MAX) -> UpstreamResponse:
    async def scene() -> UpstreamResponse:
        async with (
            answering(*pieces) as origin,
            conversing(folder, origin, answer_bytes_max=answer_bytes_max) as conversation,
        ):
            return await conversation.send(get(origin))

    return asyncio.run(scene())


@pytest.mark.parametrize("pieces", [(b"".join(PIECES),), PIECES], ids=["at once", "in pieces"])
def test_a_small_answer_is_whole_and_hides_the_credential(
    pieces: tuple[bytes, ...], tmp_path: Path
) -> None:
    assert ask(tmp_path, *pieces).json() == {"key": "*********", "a": 12}
    (folder,) = (tmp_path / "spool").iterdir()
    (head,) = read_records(folder)
    assert isinstance(head, Head)
    assert head.body == b'{"key": "*********", "a": 12}'
    assert head.headers["x-echo"] == "*********"


def test_a_small_answer_that_breaks_off_is_none(tmp_path: Path) -> None:
    with pytest.raises(UpstreamFailedError, match="breaks off"):
        ask(tmp_path, *PIECES[:2])


def test_a_small_answer_may_be_larger_than_the_operator_allows(tmp_path: Path) -> None:
    with pytest.raises(UpstreamFailedError, match="larger than 28 bytes"):
        ask(tmp_path, *PIECES, answer_bytes_max=28)


def test_a_credential_in_a_header_goes_to_the_own_origin(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with conversing(tmp_path, upstream.v1) as conversation:
            await conversation.send(get(f"{upstream.v1}/models"))
        async with conversing(tmp_path, "https://api.bfl.ai") as conversation:
            await conversation.send(get(f"{upstream.v1}/models"))

    asyncio.run(scene())
    assert [record.headers.get("x-key") for record in upstream.bill] == ["sk-test-1", None]

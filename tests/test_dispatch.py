"""Whether a call may still be taken back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from imagegate.dispatch import Dispatch
from imagegate.errors import ImageError, RateLimitError, UpstreamFailedError


def in_loop(test: Callable[[Dispatch], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test(Dispatch())

    asyncio.run(whole())


async def forever() -> None:
    await asyncio.Event().wait()


def test_what_is_sent_is_not_taken_back() -> None:
    dispatch = Dispatch()
    dispatch.begin("a")
    assert not dispatch.cancel()
    assert not dispatch.is_cancelled
    dispatch.begin("b")


@pytest.mark.parametrize("error", [RateLimitError("later"), UpstreamFailedError("half a body")])
def test_what_may_have_been_bought_stays_sent(error: ImageError) -> None:
    dispatch = Dispatch()
    dispatch.begin("a")
    dispatch.end("a", error)
    assert dispatch.cancel() == (error.fault == "moment")


def test_one_of_several_parts_at_an_upstream_is_enough() -> None:
    dispatch = Dispatch()
    dispatch.begin("a")
    dispatch.begin("b")
    dispatch.end("a", RateLimitError("later"))
    assert not dispatch.cancel()


def test_nothing_is_sent_of_a_cancelled_call() -> None:
    dispatch = Dispatch()
    assert dispatch.cancel()
    with pytest.raises(ImageError, match="nothing was bought"):
        dispatch.begin("a")
    assert not dispatch.is_sent


def test_a_wait_ends_with_the_call() -> None:
    async def test(dispatch: Dispatch) -> None:
        waiting = asyncio.create_task(dispatch.unless_cancelled(forever()))
        await asyncio.sleep(0)
        dispatch.cancel()
        with pytest.raises(ImageError) as caught:
            await waiting
        assert caught.value.code == "call_cancelled"

    in_loop(test)


def test_what_was_granted_in_the_same_moment_is_not_lost() -> None:
    async def test(dispatch: Dispatch) -> None:
        granted = asyncio.Event()
        waiting = asyncio.create_task(dispatch.unless_cancelled(granted.wait()))
        await asyncio.sleep(0)
        granted.set()
        dispatch.cancel()
        assert await waiting is True

    in_loop(test)


def test_what_goes_wrong_in_a_wait_is_told() -> None:
    async def fail() -> None:
        raise RateLimitError("no place")

    async def test(dispatch: Dispatch) -> None:
        with pytest.raises(RateLimitError):
            await dispatch.unless_cancelled(fail())

    in_loop(test)

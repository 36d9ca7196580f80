"""Identifiers sort as they were drawn; a deadline ends what takes too long, and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from imagegate import clock

LONG_S = 60.0


def test_ids_sort_as_they_were_drawn() -> None:
    ids = [clock.new_id("call") for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {len("call_") + 26}


def test_the_least_id_of_a_moment_parts_what_was_drawn_before_and_after() -> None:
    before = clock.new_id("call")
    least = clock.least_id("call", clock.now_s() + 0.01)
    assert before < least < clock.least_id("call", clock.now_s() + 3600.0)
    assert clock.least_id("call", clock.now_s()) <= clock.new_id("call")
    assert clock.least_id("call", -1.0) == "call_" + "0" * 26


def test_what_is_done_in_time_goes_on() -> None:
    async def work() -> str:
        with clock.Deadline(0.001):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        return "done"

    assert asyncio.run(work()) == "done"


def test_what_takes_too_long_ends_by_a_timeout_and_may_be_cancelled_later() -> None:
    async def work() -> int:
        with pytest.raises(TimeoutError), clock.Deadline(0.0):
            await asyncio.sleep(LONG_S)
        return _this_task().cancelling()

    assert asyncio.run(work()) == 0


def test_an_error_of_its_own_is_raised_as_it_is() -> None:
    async def work() -> None:
        with clock.Deadline(LONG_S):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(work())


async def _cancelled_before() -> None:
    asyncio.get_running_loop().call_soon(_this_task().cancel)
    with clock.Deadline(LONG_S):
        await asyncio.sleep(LONG_S)


async def _cancelled_in_the_same_moment() -> None:
    with clock.Deadline(0.0):
        asyncio.get_running_loop().call_later(0.0, _this_task().cancel)
        await asyncio.sleep(LONG_S)


@pytest.mark.parametrize("work", [_cancelled_before, _cancelled_in_the_same_moment])
def test_who_is_cancelled_by_somebody_else_stays_cancelled(
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())


def test_the_inner_of_two_deadlines_ends_the_inner_work_only() -> None:
    async def work() -> str:
        with clock.Deadline(LONG_S):
            with pytest.raises(TimeoutError), clock.Deadline(0.0):
                await asyncio.sleep(LONG_S)
            await asyncio.sleep(0)
        return "done"

    assert asyncio.run(work()) == "done"


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task

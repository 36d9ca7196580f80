"""Work aside: what hangs holds up its own kind only."""

import asyncio
import threading

import pytest

from imagegate.aside import Aside


def test_it_returns_and_raises_what_the_work_does() -> None:
    async def test() -> None:
        aside = Aside("test")
        assert await aside.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await aside.run(divmod, 7, 0)
        assert await aside.run(threading.current_thread) is not threading.main_thread()

    asyncio.run(test())


def test_so_many_at_once_and_no_more() -> None:
    meeting = threading.Barrier(3)

    async def test() -> None:
        aside = Aside("test", threads_max=3)
        await asyncio.gather(*(aside.run(meeting.wait, 10) for _ in range(3)))
        names = await asyncio.gather(*(aside.run(threading.get_ident) for _ in range(20)))
        assert len(set(names)) <= 3

    asyncio.run(test())


def test_what_hangs_does_so_alone_and_what_nobody_waits_for_is_not_begun() -> None:
    may_end, begun = threading.Event(), []

    async def test() -> None:
        hung, other = Aside("hung"), Aside("other")
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await hung.run(lambda: (begun.append(1), may_end.wait()))
        assert await other.run(int, "7") == 7
        may_end.set()
        assert await hung.run(int, "8") == 8

    asyncio.run(test())
    assert len(begun) == 1

import asyncio
import gc

from imagegate.runtime.supervisor import Supervisor, Users


def test_work_that_nobody_else_holds_goes_on():
    done = []

    async def run() -> None:
        supervisor, users, loop = Supervisor(), Users(), asyncio.get_running_loop()

        async def work() -> None:
            waiting = loop.create_future()
            futures.append(waiting)
            await waiting
            done.append(True)

        futures: list[asyncio.Future[None]] = []
        supervisor.start(users, "call_1", work())
        await asyncio.to_thread(gc.collect)
        assert supervisor.running_count == 1
        futures.pop().set_result(None)
        async with asyncio.timeout(10.0):
            await users.gone()
        assert supervisor.running_count == 0

    asyncio.run(run())
    assert done == [True]


def test_a_crash_is_told_and_hurts_nobody(caplog):
    async def run() -> None:
        supervisor, users = Supervisor(), Users()

        async def crash() -> None:
            raise ValueError("a defect")

        supervisor.start(users, "call_1", crash())
        supervisor.start(users, "call_2", asyncio.sleep(0))
        async with asyncio.timeout(10.0):
            await users.gone()
        assert supervisor.running_count == 0

    asyncio.run(run())
    (record,) = [one for one in caplog.records if one.message == "task.crashed"]
    assert record.task == "call_1"
    assert "a defect" in str(record.exc_info[1])

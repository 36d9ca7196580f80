import asyncio

from imagegate.ledger.records import HoldOrphans, KeepAlive, LedgerUnavailableError
from imagegate.runtime.holding import hold_forever


class Ledger:
    """Notes what it is given until it has enough; the first of it finds nobody at home."""

    def __init__(self) -> None:
        self.given: list[object] = []
        self.enough = asyncio.Event()

    async def commit(self, command: object) -> None:
        self.given.append(command)
        if len(self.given) == 1:
            raise LedgerUnavailableError("away")
        if len(self.given) >= 3:
            self.enough.set()


def test_it_goes_on_while_the_ledger_is_away():
    async def run() -> list[object]:
        ledger = Ledger()
        task = asyncio.create_task(hold_forever(ledger, "own_1", period_s=0.0))
        async with asyncio.timeout(10.0):
            await ledger.enough.wait()
        task.cancel()
        return ledger.given[:3]

    assert asyncio.run(run()) == [KeepAlive("own_1"), KeepAlive("own_1"), HoldOrphans()]

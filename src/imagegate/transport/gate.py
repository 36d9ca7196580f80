"""Bounds how many large answers are read at once, so that memory does not grow with the load."""

import asyncio
from collections import deque

SLOTS = 16
SILENCE_S = 0.05


class Slot:
    """One body's place at the gate; `is_fresh` is set by its reader with each chunk."""

    __slots__ = ("is_fresh", "is_held")

    def __init__(self) -> None:
        self.is_held = False
        self.is_fresh = False


class BodyGate:
    """Lets `SLOTS` bodies be read at once; the others wait in the kernel's buffers.

    A body that brings no data for `SILENCE_S` loses its slot to one that waits, so that a slow
    upstream cannot hold up the others; it takes a new one with its next chunk.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self._free = slots
        self._holders: set[Slot] = set()
        self._waiting: deque[tuple[Slot, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def try_acquire(self, slot: Slot) -> bool:
        """Take a place where one is free and nobody waits; return whether it was."""
        if self._free == 0 or self._waiting:
            return False
        self._free -= 1
        self._grant(slot)
        return True

    async def acquire(self, slot: Slot) -> None:
        """Wait for a place, first come, first served."""
        if self.try_acquire(slot):
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append((slot, turn))
        if self._timer is None:
            self._timer = loop.call_later(SILENCE_S, self._take_from_silent)
        try:
            await turn
        except asyncio.CancelledError:
            self.release(slot)
            raise

    def release(self, slot: Slot) -> None:
        """Give the place back; without one, nothing happens."""
        if slot.is_held:
            slot.is_held = False
            self._holders.discard(slot)
            self._free += 1
            self._hand_on()

    def _grant(self, slot: Slot) -> None:
        slot.is_held = slot.is_fresh = True
        self._holders.add(slot)

    def _hand_on(self) -> None:
        while self._free > 0 and self._waiting:
            slot, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                self._grant(slot)
                turn.set_result(None)

    def _take_from_silent(self) -> None:
        for slot in list(self._holders):
            if not slot.is_fresh:
                self.release(slot)
            slot.is_fresh = False
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SILENCE_S, self._take_from_silent)

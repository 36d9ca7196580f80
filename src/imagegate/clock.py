"""The only module that reads time, waits, or draws identifiers from time and chance."""

import asyncio
import os
import random
import time
from collections.abc import Iterator

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_TICKS_A_S = 1_024_000  # a ULID's milliseconds, and ten bits below them
_LETTERS = (_ALPHABET * 8).encode()  # of each byte
_CHANCE_CHARS = 14
_POOL_COUNT = 256
_SECOND_BITS = 20  # a tick without them is the same for about a second
_SECOND_SHIFTS, _TICK_SHIFTS = (50, 40, 30, 20), (10, 0)

# Asked for dozens of times a call: a function of our own around them would double their cost.
now_s = time.time
"""Return the wall clock in unix seconds."""

monotonic_s = time.monotonic
"""Return a clock that never steps back, in seconds; for durations and deadlines only."""


async def sleep(seconds: float) -> None:
    """Wait `seconds` without blocking the event loop."""
    await asyncio.sleep(seconds)


def chance() -> float:
    """Return a number from 0 up to 1, each as likely as the other; never for secrets."""
    return random.random()  # noqa: S311 - it draws lots among deployments


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 characters that sort as they were drawn in this process (a ULID)."""
    return f"{prefix}_{_ids.draw()}"


def least_id(prefix: str, at_s: float) -> str:
    """Return what sorts before every id that was drawn at `at_s` (unix seconds) or later."""
    tick = max(0, int(at_s * _TICKS_A_S))
    return f"{prefix}_{_text(tick, _SECOND_SHIFTS)}{_text(tick, _TICK_SHIFTS)}{'0' * _CHANCE_CHARS}"


def new_trace_id() -> str:
    """Return a W3C trace id: 32 hexadecimal digits."""
    return random.randbytes(16).hex()  # noqa: S311 - nobody is let in by it


def new_span_id() -> str:
    """Return a W3C span id: 16 hexadecimal digits."""
    return random.randbytes(8).hex()  # noqa: S311 - nobody is let in by it


class _Ids:
    """Draws ids: a moment later than the one before, also where the clock went back, and chance.

    Chance comes from the system in bulk: one draw of it costs as much as a journal's line.
    """

    def __init__(self) -> None:
        self._tick = self._second = 0
        self._second_text = ""
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # two processes never share an id

    def forget(self) -> None:
        self._chance: Iterator[str] = iter(())

    def draw(self) -> str:
        tick = int(time.time() * _TICKS_A_S)
        if tick <= self._tick:
            tick = self._tick + 1
        self._tick = tick
        if tick >> _SECOND_BITS != self._second:
            self._second = tick >> _SECOND_BITS
            self._second_text = _text(tick, _SECOND_SHIFTS)
        chance = next(self._chance, "") or self._fresh_chance()
        return f"{self._second_text}{_PAIRS[tick >> 10 & 1023]}{_PAIRS[tick & 1023]}{chance}"

    def _fresh_chance(self) -> str:
        letters = os.urandom(_CHANCE_CHARS * _POOL_COUNT).translate(_LETTERS).decode()
        starts = range(0, len(letters), _CHANCE_CHARS)
        self._chance = iter([letters[at : at + _CHANCE_CHARS] for at in starts])
        return next(self._chance)


def _text(tick: int, shifts: tuple[int, ...]) -> str:
    return "".join([_PAIRS[tick >> shift & 1023] for shift in shifts])


_ids = _Ids()

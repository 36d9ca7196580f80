"""The only module that reads time, waits, or draws identifiers from time and chance."""

import asyncio
import os
import random
import time
from collections.abc import Iterator

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_SHIFTS = range(120, -1, -10)  # 26 characters, two at a time
_ID_CHANCE_BYTES = 10
_POOL_BYTES = 400 * _ID_CHANCE_BYTES

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
    return _id(prefix, _chance.draw_later())


def least_id(prefix: str, at_s: float) -> str:
    """Return what sorts before every id that was drawn at `at_s` (unix seconds) or later."""
    return _id(prefix, max(0, int(at_s * 1000)) << 80)


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _PAIR_SHIFTS])}"


def new_trace_id() -> str:
    """Return a W3C trace id: 32 hexadecimal digits."""
    return random.randbytes(16).hex()  # noqa: S311 - it guards nothing


def new_span_id() -> str:
    """Return a W3C span id: 16 hexadecimal digits."""
    return random.randbytes(8).hex()  # noqa: S311 - it guards nothing


class _Chance:
    """Random bytes drawn from the system in bulk: one draw costs as much as a journal's line."""

    def __init__(self) -> None:
        self._last = 0
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # two processes never share an id

    def forget(self) -> None:
        self._pool: Iterator[bytes] = iter(())

    def draw(self) -> bytes:
        for chance in self._pool:
            return chance
        fresh = os.urandom(_POOL_BYTES)
        starts = range(0, _POOL_BYTES, _ID_CHANCE_BYTES)
        self._pool = iter([fresh[start : start + _ID_CHANCE_BYTES] for start in starts])
        return next(self._pool)

    def draw_later(self) -> int:
        """Return the time in ms and 80 bits of chance, as a number above the last one.

        Within one ms, or where the clock went back, it is above the last one by 32 bits of chance.
        """
        number = int(time.time() * 1000) << 80 | int.from_bytes(self.draw(), "big")
        if number <= self._last:
            number = self._last + 1 + (number & 0xFFFFFFFF)
        self._last = number
        return number


_chance = _Chance()

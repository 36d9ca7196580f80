"""The only module that reads time, waits, or draws identifiers from time and chance."""

import asyncio
import os
import random
import time
from collections.abc import Iterator

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_ID_LENGTH = 26
_ID_CHANCE_BYTES = 10
_POOL_BYTES = 400 * _ID_CHANCE_BYTES


def now_s() -> float:
    """Return the wall clock in unix seconds."""
    return time.time()


def monotonic_s() -> float:
    """Return a clock that never steps back, in seconds; for durations and deadlines only."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait `seconds` without blocking the event loop."""
    await asyncio.sleep(seconds)


def chance() -> float:
    """Return a number from 0 up to 1, each as likely as the other; never for secrets."""
    return random.random()  # noqa: S311 - it draws lots among deployments


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 characters that sort by the time they were drawn (a ULID)."""
    return _id(prefix, int(time.time() * 1000) << 80 | int.from_bytes(_chance.draw(), "big"))


def least_id(prefix: str, at_s: float) -> str:
    """Return what sorts before every id that was drawn at `at_s` (unix seconds) or later."""
    return _id(prefix, max(0, int(at_s * 1000)) << 80)


def _id(prefix: str, number: int) -> str:
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_ID_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def new_trace_id() -> str:
    """Return a W3C trace id: 32 hexadecimal digits."""
    return (_chance.draw() + _chance.draw())[:16].hex()


def new_span_id() -> str:
    """Return a W3C span id: 16 hexadecimal digits."""
    return _chance.draw()[:8].hex()


class _Chance:
    """Random bytes drawn from the system in bulk: one draw costs as much as a journal's line."""

    def __init__(self) -> None:
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


_chance = _Chance()

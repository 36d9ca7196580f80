"""The only module that reads time, waits, or draws identifiers from time and chance."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_TICKS_A_S = 1_024_000  # a ULID's milliseconds, and ten bits below them
_LETTERS = (_ALPHABET * 8).encode()  # of each byte
_LETTER_COUNT = 14
_HEX_COUNT = 16
_POOL_COUNT = 256

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
    return f"{prefix}_{_tick_text(_ticks.draw())}{_letters.draw()}"


def least_id(prefix: str, at_s: float) -> str:
    """Return what sorts before every id that was drawn at `at_s` (unix seconds) or later."""
    return f"{prefix}_{_tick_text(max(0, int(at_s * _TICKS_A_S)))}{'0' * _LETTER_COUNT}"


def _tick_text(tick: int) -> str:
    """Return a moment as the first 12 characters of an id."""
    return f"{_second_text(tick >> 20)}{_PAIRS[tick >> 10 & 1023]}{_PAIRS[tick & 1023]}"


@lru_cache(maxsize=1)
def _second_text(number: int) -> str:
    """Return the 8 characters that ids have in common for a second."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in (30, 20, 10, 0)])


def new_trace_id() -> str:
    """Return a W3C trace id: 32 hexadecimal digits."""
    return _digits.draw() + _digits.draw()


def new_span_id() -> str:
    """Return a W3C span id: 16 hexadecimal digits."""
    return _digits.draw()


class _Ticks:
    """Moments of this process, each later than the one before, also where the clock went back."""

    def __init__(self) -> None:
        self._last = 0

    def draw(self) -> int:
        self._last = max(int(time.time() * _TICKS_A_S), self._last + 1)
        return self._last


class _Pool:
    """Random texts drawn from the system in bulk: one draw costs as much as a journal's line."""

    def __init__(self, length: int, draw_text: Callable[[int], str]) -> None:
        self._length = length
        self._draw_text = draw_text
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # two processes never share an id

    def forget(self) -> None:
        self._texts: Iterator[str] = iter(())

    def draw(self) -> str:
        for text in self._texts:
            return text
        size = self._length * _POOL_COUNT
        fresh = self._draw_text(size)
        starts = range(0, size, self._length)
        self._texts = iter([fresh[start : start + self._length] for start in starts])
        return next(self._texts)


_ticks = _Ticks()
_letters = _Pool(_LETTER_COUNT, lambda count: os.urandom(count).translate(_LETTERS).decode())
_digits = _Pool(_HEX_COUNT, lambda count: os.urandom(count // 2).hex())

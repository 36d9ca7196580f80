"""The only module that reads time, waits, or draws identifiers from time and chance."""

import asyncio
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_ID_LENGTH = 26


def now_s() -> float:
    """Return the wall clock in unix seconds."""
    return time.time()


def monotonic_s() -> float:
    """Return a clock that never steps back, in seconds; for durations and deadlines only."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait `seconds` without blocking the event loop."""
    await asyncio.sleep(seconds)


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 characters that sort by the time they were drawn (a ULID)."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_ID_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"

"""Whether little is written, which goes at once, or much, which is gathered into groups. Pure."""

from collections import deque

AT_ONCE_MAX = 4
REST_S = 0.004
"""Between two groups, and for `AT_ONCE_MAX` writes. Large answers bring one write at a time, with a
commit and two thread changes each. Gathering them takes 7 % off the CPU of a 1.5 MB answer."""
GATHER_S = 0.1
"""So long writes are gathered after there were many: a burst has its pauses."""
LONELY_MAX = 3
LONELY_S = 1.0
"""So long nothing is gathered after `LONELY_MAX` groups of one: a caller that makes one call after
the other would only be delayed by waiting for company."""


class Pace:
    """The last writes of one ledger."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=AT_ONCE_MAX)
        self._gathers_until_s = self._lonely_until_s = 0.0
        self._lonely_count = 0

    def is_slow(self, now_s: float) -> bool:
        """Count a write at `now_s` (monotonic); return whether there are so few that it may go."""
        if len(self._last) == AT_ONCE_MAX and now_s - self._last[0] < REST_S:
            self._gathers_until_s = now_s + GATHER_S
        self._last.append(now_s)
        return now_s >= self._gathers_until_s or now_s < self._lonely_until_s

    def rest_s(self, count: int, now_s: float) -> float:
        """Take note of a group for which `count` waited; return how long to rest behind it."""
        self._lonely_count = self._lonely_count + 1 if count < 2 else 0
        if self._lonely_count < LONELY_MAX:
            return REST_S
        self._lonely_until_s = now_s + LONELY_S
        return 0.0

"""How many calls run at once, and who waits: limits by subject, and a line that is fair.

Holders of keys take turns: whoever sends a thousand calls has a thousand in its own line, and
delays nobody else by more than one of them.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar


class Ticket:
    """One call's place. `limits` say how many calls its subjects may have at once, itself counted.

    A subject is what a limit is of, as in `key:key_01`; `""` is the gateway.
    """

    __slots__ = ("holder", "limits")

    def __init__(self, holder: str, limits: Mapping[str, int]) -> None:
        self.holder = holder
        self.limits = limits


T = TypeVar("T", bound=Ticket)


class Gate(Generic[T]):
    """Counts the calls that run, and keeps those that wait in their order. Nothing waits here."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._running: dict[str, int] = {}
        self._lines: dict[str, dict[T, None]] = {}  # whose turn is next stands first
        self.waiting_count = 0

    def take_over(self, former: "Gate[T]") -> None:
        """Count on with the calls that run; those that wait stay where they are."""
        self._running = former._running

    def full_subject(self, ticket: T) -> str | None:
        """Return whose limit keeps a call from running now, None where no limit does."""
        for name, most in ticket.limits.items():
            if self._running.get(name, 0) >= most:
                return name
        return None

    def begin(self, ticket: T) -> None:
        """Note that a call runs; where it waited, the next turn is another holder's."""
        for name in ticket.limits:
            self._running[name] = self._running.get(name, 0) + 1
        if self.waiting_count:
            self.leave(ticket)
            if (line := self._lines.pop(ticket.holder, None)) is not None:
                self._lines[ticket.holder] = line

    def end(self, ticket: T) -> None:
        """Note that a call that ran does so no more."""
        for name in ticket.limits:
            left = self._running.pop(name) - 1
            if left:
                self._running[name] = left

    def line_up(self, ticket: T) -> T | None:
        """Let a call wait. Return who may not wait where all places are taken.

        That is the last one of the longest line, which may be the call itself: a holder with many
        calls takes no place from one with few.
        """
        self._lines.setdefault(ticket.holder, {})[ticket] = None
        self.waiting_count += 1
        if self.waiting_count <= self._waiting_max:
            return None
        own = self._lines[ticket.holder]
        longest = max(self._lines.values(), key=len)
        last = next(reversed(longest if len(longest) > len(own) else own))
        self.leave(last)
        return last

    def leave(self, ticket: T) -> None:
        """Give up a place in the line, if it has one."""
        line = self._lines.get(ticket.holder, {})
        if ticket not in line:
            return
        del line[ticket]
        self.waiting_count -= 1
        if not line:
            del self._lines[ticket.holder]

    def in_turn(self) -> Iterator[T]:
        """Yield all that wait, in the order of their turns: each holder's first, then the second.

        It stands as it was when asked; who was let in or left meanwhile is yielded all the same.
        """
        rounds = itertools.zip_longest(*(tuple(line) for line in self._lines.values()))
        return (ticket for turn in rounds for ticket in turn if ticket is not None)

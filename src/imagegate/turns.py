"""Waiting for a turn: a call that finds no place is held here, before anything of it is written.

One whose caller does not wait for its answer is written first (`pipeline.py`).

Who is next is decided by `router/gate.py`, where there is a place by `router/route.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from imagegate import clock
from imagegate.call_options import CallOptions, HasLeft
from imagegate.config.settings import QueueSettings
from imagegate.errors import ImageError, OverloadedError
from imagegate.ledger.people import Account
from imagegate.router.gate import Gate, Ticket
from imagegate.router.route import Route, Router
from imagegate.trace import Trace

RETRY_S = 5.0
LOOK_AGAIN_S = 1.0  # a rest ends and a minute passes without anybody telling
QUEUE_FULL = "queue_full"
QUEUE_TIMEOUT = "queue_timeout"
CALLER_LEFT = "caller_left"


class Turn(Struct, frozen=True, eq=False):
    """A call may go: its `route` is begun. `ticket` is None where no limit counts the call."""

    route: Route
    ticket: "Waiter | None" = None
    waited_s: float = 0.0


class Waiter(Ticket):
    """A call at the gate. `find` routes it anew.

    `granted`, which is there while it waits, ends that: by what went wrong, or by None, when its
    `route` is begun.
    """

    __slots__ = ("find", "granted", "route")
    granted: asyncio.Future[Exception | None]

    def __init__(
        self, holder: str, limits: Mapping[str, int], route: Route, find: Callable[[], Route]
    ) -> None:
        super().__init__(holder, limits)
        self.route = route
        self.find = find


class Turns:
    """Lets calls begin, one after the other where they are too many. `refused` counts by code."""

    def __init__(self, settings: QueueSettings, router: Router) -> None:
        self._settings = settings
        self._router = router
        self._gate: Gate[Waiter] = Gate(settings.waiting_max)
        self._timer: asyncio.TimerHandle | None = None
        self._former: Turns | None = None
        self.refused: Counter[str] = Counter()

    def take_over(self, former: "Turns") -> None:
        """Go on for a configuration of before: its calls count on, who waits there comes first."""
        self._gate.take_over(former._gate)
        self.refused = former.refused
        self._former = former if former.waiting_count else None

    @property
    def waiting_count(self) -> int:
        """How many calls wait."""
        before = self._former.waiting_count if self._former else 0
        return self._gate.waiting_count + before

    def must_wait(self, route: Route, options: CallOptions) -> bool:
        """Return whether a call would find no place now, and the queue has room for it."""
        limits = _limits_of(options.account, self._settings)
        waiter = Waiter(options.account.key_id or "", limits, route, lambda: route)
        is_full = bool(route.full) or self._gate.full_subject(waiter) is not None
        return is_full and self.waiting_count < self._settings.waiting_max

    async def take(
        self, route: Route, find: Callable[[], Route], options: CallOptions, trace: Trace
    ) -> Turn:
        """Return when the call may go, its route begun; `end` it once, when its work is over.

        Raises `OverloadedError` (429 by a limit of the caller's own, else 503) where the queue is
        full or it waited too long, and what `find` raises where the wait became useless.
        """
        limits = _limits_of(options.account, self._settings)
        if not (limits or route.full or self.waiting_count):
            self._router.begin(route, route.plan.requests, clock.monotonic_s())
            return Turn(route)
        waiter = Waiter(options.account.key_id or "", limits, route, find)
        taken: set[str] = set()
        if self.waiting_count:
            taken = self.look()  # a place that became free by time alone is theirs who wait
            waiter.route = find()
        if self._begin(waiter, waiter.route, taken):
            return Turn(waiter.route, waiter)
        began_s = clock.monotonic_s()
        with trace.step("queue"):
            await self._wait(waiter, options)
        return Turn(waiter.route, waiter, clock.monotonic_s() - began_s)

    def end(self, turn: Turn) -> None:
        """Give a place back: the call's work is over."""
        if turn.ticket is not None:
            self._gate.end(turn.ticket)
        self.look()

    def look(self) -> set[str]:
        """Let go who may, in turn; to be called whenever a place may have become free.

        Return the deployments whose next places are taken: a call that needs several there would
        never get them if those behind it took each one.
        """
        taken: set[str] = set()
        if self._former is not None:
            taken = self._former.look()
            self._former = self._former if self._former.waiting_count else None
        if self._gate.waiting_count:
            now_s = clock.monotonic_s()
            for waiter in self._gate.in_turn():
                if self._gate.full_subject(waiter) is None:
                    self._offer(waiter, taken, now_s)
        return taken

    def _offer(self, waiter: Waiter, taken: set[str], now_s: float) -> None:
        """Let a waiter go or, where it has to wait for deployments, take their next places."""
        if not (waiter.route.full and self._router.must_wait(waiter.route, now_s)):
            self._try(waiter, taken)
        if not waiter.granted.done():
            taken.update(plan.deployment.id for plan in waiter.route.full)

    def _try(self, waiter: Waiter, taken: set[str]) -> None:
        try:
            route = waiter.find()
        except Exception as error:  # its own, not that of the call that made room
            self._gate.leave(waiter)
            waiter.granted.set_result(error)
            return
        if self._begin(waiter, route, taken):
            waiter.granted.set_result(None)
        elif route.full:
            waiter.route = route

    def _begin(self, waiter: Waiter, route: Route, taken: set[str]) -> bool:
        """Begin the route of a call; return False where it has no place yet."""
        is_free = not route.full and route.plan.deployment.id not in taken
        if not is_free or self._gate.full_subject(waiter) is not None:
            return False
        waiter.route = route
        self._gate.begin(waiter)
        self._router.begin(route, route.plan.requests, clock.monotonic_s())
        return True

    async def _wait(self, waiter: Waiter, options: CallOptions) -> None:
        waiter.granted = asyncio.get_running_loop().create_future()
        self._line_up(waiter)
        left: asyncio.Future[Any] = asyncio.ensure_future(_left(options.has_left))
        ends: tuple[asyncio.Future[Any], ...] = (waiter.granted, left)
        limit_s = min(self._settings.wait_s_max, options.timeout_s or self._settings.wait_s_max)
        try:
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            left.cancel()
        error = self._error_of(waiter, limit_s, has_left=left.done())
        if error is not None:
            self._withdraw(waiter)
            raise error

    def _line_up(self, waiter: Waiter) -> None:
        last = self._gate.line_up(waiter)
        if last is not None:
            end = f"The queue is full: {self._gate.waiting_count} calls wait"
            last.granted.set_result(self._refusal(last, QUEUE_FULL, end))
        self._look_later()

    def _error_of(self, waiter: Waiter, limit_s: float, *, has_left: bool) -> Exception | None:
        """Return why a call may not go, None where its turn has come."""
        if has_left:
            return self._refusal(waiter, CALLER_LEFT, "Its caller left the queue")
        if not waiter.granted.done():
            return self._refusal(waiter, QUEUE_TIMEOUT, f"It waited {limit_s:g} s in the queue")
        return waiter.granted.result()

    def _withdraw(self, waiter: Waiter) -> None:
        """Take a call out that will not go, also where its turn came in the same moment."""
        self._gate.leave(waiter)
        if waiter.granted.done() and waiter.granted.result() is None:
            self._router.cancel(waiter.route, waiter.route.plan.requests)
            self._gate.end(waiter)
            self.look()

    def _look_later(self) -> None:
        """Look once a second, while somebody waits."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOOK_AGAIN_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.look()
        if self._gate.waiting_count:
            self._look_later()

    def _refusal(self, waiter: Waiter, code: str, end: str) -> ImageError:
        """Return what the caller is told: whose limit it met, and how its wait ended."""
        self.refused[code] += 1
        subject = self._gate.full_subject(waiter)
        error = self._router.unavailable(waiter.route, clock.monotonic_s())
        why, attempts = error.message, error.attempts
        if subject is not None:
            most = waiter.limits[subject]
            why = f"{subject or 'This gateway'} has {most} calls in work, which is its limit."
            attempts = ()
        refusal = OverloadedError(
            f"{why} {end}. Nothing was sent; send the request again later.",
            code=code,
            http_status=429 if subject else 503,
            retry_after_s=RETRY_S,
        )
        refusal.attempts = attempts
        return refusal


def _limits_of(account: Account, settings: QueueSettings) -> dict[str, int]:
    """Return how many calls at once each subject of a call may have, by subject."""
    limits = {} if settings.calls_max is None else {"": settings.calls_max}
    if account.key_id and settings.key_calls_max is not None:
        limits[f"key:{account.key_id}"] = settings.key_calls_max
    for limit in account.limits:
        if limit.calls_in_flight is not None:
            most = limits.get(limit.subject, limit.calls_in_flight)
            limits[limit.subject] = min(most, limit.calls_in_flight)
    return limits


def elsewhere(route: Route) -> ImageError:
    """Return why an attempt that was written down is not made: another place became free first."""
    return OverloadedError(f"{route.plan.deployment.id} had room first; nothing was sent here.")


async def _left(has_left: HasLeft | None) -> None:
    """Return when the caller has left; never where nobody can tell."""
    if has_left is None:
        await asyncio.Event().wait()
    else:
        await has_left()

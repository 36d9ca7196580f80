"""One call in parts: what a model makes in one request at a time is asked for in several at once.

At most ten, since no call is for more images. Each part is an attempt with a row, a bill and a
verdict of its own. What was paid for is delivered, also where other parts failed.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable, Sequence
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from imagegate.attempt import Attempt
from imagegate.errors import Fault, ImageError, UpstreamFailedError
from imagegate.keep import with_facts
from imagegate.ledger.records import (
    AssetRecord,
    AttemptEnd,
    AttemptState,
    CallEnd,
    state_of,
)
from imagegate.plan import Plan
from imagegate.running import Outcome
from imagegate.types import Adjustment, ImageCall, ImageResult
from imagegate.wire.openai_images import sum_json, sum_usage

T = TypeVar("T")

# Parameters whose values are words of the API; in any other there may be anything.
_PLAIN_PARAMS = frozenset(ImageCall.__struct_fields__) - frozenset(
    ("prompt", "negative_prompt", "user", "safety_identifier", "svg", "extra")
)
# What a caller has to know first: an image may exist; then whether asking again can help.
_GRAVEST: tuple[Fault, ...] = ("ambiguous", "call", "deployment", "moment")


class Made(Struct, frozen=True, eq=False):
    """A part that brought images. `cost_e10` is None where it is unknown.

    `refusal`: a guardrail lets nobody have them; they cost what they cost.
    """

    attempt: Attempt
    result: ImageResult
    cost_e10: int | None
    assets: tuple[AssetRecord, ...] = ()
    refusal: ImageError | None = None


class Lost(Struct, frozen=True, eq=False):
    """A part that brought none, nowhere."""

    attempt: Attempt
    error: ImageError


Part: TypeAlias = Made | Lost


async def all_of(parts: Iterable[Awaitable[tuple[Part, ...]]]) -> tuple[Part, ...]:
    """Return what all parts come to, in their order, when the last has ended.

    A defect in one of them is raised only then: the others are buying images.
    """
    ended = await asyncio.gather(*parts, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return tuple(itertools.chain.from_iterable(one for one in ended if isinstance(one, tuple)))


class Roll:
    """The attempts of one call: how many there were, which are under way, how the others ended."""

    def __init__(self, call: ImageCall, owner: str) -> None:
        self._call = call
        self._owner = owner
        self._states: dict[str, AttemptState] = {}
        self._adjustments: list[Adjustment] = []
        self._costs: list[int | None] = []
        self.failed: list[tuple[Attempt, ImageError]] = []
        self.bought_again: list[tuple[Attempt, ImageError]] = []
        """Those that may be billed although another one was made in their place."""

    @property
    def count(self) -> int:
        """How many attempts there were."""
        return len(self._states)

    @property
    def known_cost_e10(self) -> int | None:
        """What the attempts that ended cost in 1e-10 USD, None where one may yet be charged."""
        known = [cost for cost in self._costs if cost is not None]
        return sum(known) if len(known) == len(self._costs) else None

    def enter(self, part: Plan, estimate_e10: int | None) -> Attempt:
        """Return an attempt at a part of the call, with what is to be set aside for it."""
        number = len(self._states) + 1
        attempt = Attempt(part, number=number, owner=self._owner, estimate_e10=estimate_e10)
        self._states[attempt.id] = attempt.record.state
        return attempt

    def strike(self, attempts: Sequence[Attempt]) -> None:
        """Forget attempts that got no row: nothing of theirs was sent."""
        for attempt in attempts:
            del self._states[attempt.id]

    def replace(self, attempt: Attempt, error: ImageError) -> None:
        """Note that an attempt failed and another one was made in its place."""
        end = attempt.failed(error)
        self._states[attempt.id] = end.state
        self._costs.append(end.cost_e10)
        self.failed.append((attempt, error))
        if end.state == "unknown":
            self.bought_again.append((attempt, error))

    def lose(self, attempt: Attempt, error: ImageError) -> Lost:
        """Note that an attempt failed and none was made in its place."""
        self.failed.append((attempt, error))
        return Lost(attempt, error)

    def end(self, attempt: Attempt, end: AttemptEnd) -> CallEnd | None:
        """Note how an attempt ended; return the end of the call where it was the last one."""
        self._states[attempt.id] = end.state
        self._costs.append(end.cost_e10)
        known = self._adjustments
        for one in attempt.plan.adjustments:
            if one not in known:
                known.append(one)
        state = state_of(self._states.values())
        if state == "running":
            return None
        return CallEnd(
            id=self._call.id,
            state=state,
            finished_at=end.ended_at,
            adjustments=_recorded(known),
            error_code="" if state == "done" else end.error_code,
        )


def _recorded(adjustments: Sequence[Adjustment]) -> str:
    """Return adjustments as the ledger keeps them: without what a caller wrote freely."""
    if not adjustments:
        return "[]"
    kept = [
        one if one.param in _PLAIN_PARAMS else msgspec.structs.replace(one, asked=None)
        for one in adjustments
    ]
    return msgspec.json.encode(kept).decode()


def conclude(
    call: ImageCall, parts: Sequence[Part], roll: Roll, *, partial: Literal["deliver", "refuse"]
) -> Outcome:
    """Return what the parts come to, in their order.

    Raises the gravest error where no part brought an image; with `refuse`, where one brought none.
    """
    made, lost = _sort(parts)
    if lost and (not made or partial == "refuse"):
        twice = [error for _, error in roll.bought_again]
        error = _all_or_nothing(made, lost, call) if made else gravest([*lost, *twice])
        error.attempts = tuple(attempt.report(each) for attempt, each in roll.failed)
        raise error
    first = made[0].attempt
    plans = [part.attempt.plan for part in made]
    result = join_results([part.result for part in made])
    warnings = [one for plan in plans for one in plan.warnings]
    warnings += shortfall(call, len(result.images), lost)
    warnings += itertools.starmap(_bought_twice, roll.bought_again)
    return Outcome(
        call=_whole(first.plan.call, call.n),
        result=result,
        adjustments=_distinct([one for plan in plans for one in plan.adjustments]),
        warnings=_distinct(warnings),
        cost_e10=_cost_e10(parts, roll),
        deployment=first.plan.deployment,
        attempts=roll.count,
        upstream_headers=first.relayed_headers(),
        assets=tuple([asset for part in made for asset in part.assets]),
    )


def _sort(parts: Sequence[Part]) -> tuple[list[Made], list[ImageError]]:
    """Return what may be delivered, and why the other parts are missing."""
    made: list[Made] = []
    lost: list[ImageError] = []
    for part in parts:
        if isinstance(part, Lost):
            lost.append(part.error)
        elif part.refusal is not None:
            lost.append(part.refusal)
        else:
            made.append(part)
    return made, lost


def _whole(sent: ImageCall, count: int) -> ImageCall:
    """Return the call for all `count` images of which a part was sent."""
    return sent if sent.n == count else msgspec.structs.replace(sent, n=count)


def gravest(errors: Sequence[ImageError]) -> ImageError:
    """Return the error that decides what may be done next."""
    return min(errors, key=lambda error: _GRAVEST.index(error.fault))


def _all_or_nothing(
    made: Sequence[Made], lost: Sequence[ImageError], call: ImageCall
) -> ImageError:
    """Return the refusal of a part of what was asked: the rest was bought, so do not ask again."""
    count = sum(len(part.result.images) for part in made)
    reason = gravest(lost)
    return UpstreamFailedError(
        f"{count} of {call.n} images were made and paid for; they are kept under this call id, and "
        f"not delivered, because this gateway delivers all or none. {reason.message}",
        code="partial_result",
        upstream=reason.upstream,
    )


def shortfall(call: ImageCall, count: int, lost: Sequence[ImageError]) -> list[str]:
    """Return why `count` images are fewer than was asked for; `lost` tells of the missing parts."""
    if lost:
        return [f"{count} of {call.n} images: {error.code}: {error.message}" for error in lost]
    if count >= call.n or call.operation == "responses":
        return []
    return [f"The provider made {count} of {call.n} images and did not say why."]


def _bought_twice(attempt: Attempt, error: ImageError) -> str:
    return (
        f"{attempt.plan.deployment.id} may have made and billed an image as well ({error.code}), "
        "and this model group may buy twice. Its charge is held until it is known."
    )


def _cost_e10(parts: Sequence[Part], roll: Roll) -> int | None:
    """Return what all attempts cost, None where one of them may yet be charged."""
    total_e10 = 0
    for part in parts:
        if isinstance(part, Made):
            if part.cost_e10 is None:
                return None
            total_e10 += part.cost_e10
    for _, error in roll.failed:
        if error.fault == "ambiguous":
            return None
        total_e10 += error.cost_e10
    return total_e10


def join_results(results: Sequence[ImageResult]) -> ImageResult:
    """Return the results of all parts as one."""
    if len(results) == 1:
        return results[0]
    raw = [result.raw_usage for result in results if result.raw_usage]
    joined = msgspec.structs.replace(
        results[0],
        usage=sum_usage(result.usage for result in results),
        raw_usage=sum_json(raw) if raw else None,
    )
    return with_facts(joined, [image for result in results for image in result.images])


def _distinct(items: Sequence[T]) -> tuple[T, ...]:
    """Return each item once, in order; they need not be hashable."""
    if len(items) < 2:
        return tuple(items)
    found: list[T] = []
    for item in items:
        if item not in found:
            found.append(item)
    return tuple(found)

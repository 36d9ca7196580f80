"""Jobs: submit once, poll until done, with a limit on every wait.

A poll may be repeated, a submit never. Once a job was submitted it may be billed, so nothing that
happens later may look like a reason to buy the image elsewhere: such faults become ambiguous.
"""

from collections.abc import Callable, Generator
from typing import TypeAlias

import msgspec
from msgspec import Struct

from imagegate.errors import (
    ContentPolicyViolationError,
    ImageError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from imagegate.types import ImageResult
from imagegate.wire.exchange import (
    Answer,
    Command,
    Exchange,
    UpstreamRequest,
    UpstreamResponse,
    send,
    wait,
)

ParsePoll: TypeAlias = Callable[[UpstreamResponse], ImageResult | None]
"""The result, or None while the job runs. Raises what the job ended with; an error whose fault is
`moment` says only that this poll failed, and it is repeated."""

GROWTH = 1.5
FAULT_WAIT_S = 1.0
FAULT_WAIT_S_MAX = 30.0


class JobLimits(Struct, frozen=True, kw_only=True):
    """How long a job is followed.

    `wait_s` goes before the first poll and grows up to `wait_s_max`; `poll_s_max` is for one poll.
    After `polls_max` polls, or `faults_max` faults in a row, nobody asks any more.
    """

    wait_s: float = 0.5
    wait_s_max: float = 2.0
    poll_s_max: float = 30.0
    polls_max: int = 300
    faults_max: int = 10


JOB_LIMITS = JobLimits()


def poll_until_done(
    polling: UpstreamRequest, parse_poll: ParsePoll, limits: JobLimits = JOB_LIMITS
) -> Exchange:
    """Send `polling` again and again and return what `parse_poll` makes of the last answer.

    Raises what the job ended with, `UpstreamTimeoutError` where it does not end, and
    `UpstreamFailedError` where it cannot be followed any more.
    """
    polling = msgspec.structs.replace(polling, seconds_max=limits.poll_s_max)
    pause_s, faults = limits.wait_s, 0
    for _ in range(limits.polls_max):
        yield from wait(pause_s)
        outcome = yield from _poll(polling, parse_poll)
        if isinstance(outcome, ImageResult):
            return outcome
        faults = faults + 1 if outcome else 0
        if outcome is None:
            pause_s = min(pause_s * GROWTH, limits.wait_s_max)
        elif faults > limits.faults_max:
            raise _lost(outcome) from outcome
        else:
            pause_s = _pause_after(outcome, faults)
    raise UpstreamTimeoutError(
        f"The upstream's job did not end within {limits.polls_max} polls. The image may still be "
        "made and billed; look at the upstream's own log before you ask again."
    )


def _poll(
    polling: UpstreamRequest, parse_poll: ParsePoll
) -> Generator[Command, Answer, ImageResult | ImageError | None]:
    """Return the result, None while the job runs, or a fault that may pass; raise what is final."""
    try:
        response = yield from send(polling)
    except ImageError as fault:
        if fault.fault == "deployment":
            raise _lost(fault) from fault
        return fault
    try:
        return parse_poll(response)
    except ImageError as error:
        if error.fault == "moment":
            return error
        if error.fault == "ambiguous" or isinstance(error, ContentPolicyViolationError):
            raise
        # A refused poll says nothing about the job.
        raise _lost(error) from error


def _pause_after(fault: ImageError, faults: int) -> float:
    """Return the seconds until the next poll: the upstream's wish, or longer each time."""
    wished_s = fault.retry_after_s or FAULT_WAIT_S * 2 ** (faults - 1)
    return min(wished_s, FAULT_WAIT_S_MAX)


def _lost(error: ImageError) -> UpstreamFailedError:
    return UpstreamFailedError(
        f"The job was submitted and may be billed, but it cannot be followed: {error.message}",
        upstream=error.upstream,
    )

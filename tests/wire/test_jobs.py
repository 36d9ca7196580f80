"""Polling: what is repeated, how long it waits, and what it never lets look like a new purchase."""

import json
from collections.abc import Sequence

import pytest

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamFailedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from imagegate.types import Image, ImageResult
from imagegate.wire.exchange import Answer, Send, UpstreamRequest, UpstreamResponse, Wait
from imagegate.wire.jobs import FAULT_WAIT_S_MAX, JobLimits, poll_until_done
from imagegate.wire.lift import Lifted

POLLING = UpstreamRequest("GET", "https://api.test/jobs/1")
DONE = ImageResult(images=(Image(url="https://api.test/1.png"),))
LIMITS = JobLimits(wait_s=1.0, wait_s_max=3.0, polls_max=6, faults_max=2, poll_s_max=9.0)
DOWN = UpstreamUnreachableError("no connection")
RESET = UpstreamFailedError("reset")


def poll(status: str) -> UpstreamResponse:
    return UpstreamResponse(200, {}, Lifted(json.dumps({"status": status}).encode()))


def parse(response: UpstreamResponse) -> ImageResult | None:
    match response.json()["status"]:
        case "done":
            return DONE
        case "busy":
            raise RateLimitError("slow down", retry_after_s=7.0)
        case "moderated":
            raise ContentPolicyViolationError("no")
        case "failed":
            raise UpstreamFailedError("it failed")
        case "refused":
            raise UpstreamCredentialError("wrong key")
        case "bad":
            raise BadRequestError("no such id")
        case _:
            return None


class Followed:
    """A job that was followed with a script of answers and faults."""

    def __init__(self, script: Sequence[str | ImageError]) -> None:
        self.waits_s: list[float] = []
        self.sent: list[UpstreamRequest] = []
        self.error: ImageError | None = None
        self.result: ImageResult | None = None
        try:
            self._drive(list(script))
        except ImageError as error:
            self.error = error

    def _drive(self, script: list[str | ImageError]) -> None:
        exchange = poll_until_done(POLLING, parse, LIMITS)
        answer: Answer = None
        fault: ImageError | None = None
        while True:
            try:
                command = exchange.throw(fault) if fault else exchange.send(answer)
            except StopIteration as stop:
                self.result = stop.value
                return
            answer = fault = None
            if isinstance(command, Wait):
                self.waits_s.append(command.seconds)
                continue
            assert isinstance(command, Send)
            self.sent.append(command.request)
            said = script.pop(0)
            if isinstance(said, ImageError):
                fault = said
            else:
                answer = poll(said)


def test_it_waits_longer_each_time_up_to_a_limit() -> None:
    job = Followed(["running", "running", "running", "running", "done"])
    assert job.result == DONE
    assert job.waits_s == [1.0, 1.5, 2.25, 3.0, 3.0]


def test_each_poll_is_the_same_get_with_a_limit_of_its_own() -> None:
    job = Followed(["running", DOWN, "done"])
    assert {(one.method, one.url, one.seconds_max) for one in job.sent} == {
        ("GET", POLLING.url, 9.0)
    }


@pytest.mark.parametrize("fault", [DOWN, RESET, "busy"])
def test_a_poll_that_fails_is_repeated(fault: str | ImageError) -> None:
    job = Followed([fault, fault, "running", fault, fault, "done"])
    assert job.result == DONE


def test_after_a_fault_it_waits_longer_or_as_long_as_the_upstream_wishes() -> None:
    assert Followed([DOWN, DOWN, "done"]).waits_s == [1.0, 1.0, 2.0]
    assert Followed(["busy", "done"]).waits_s == [1.0, 7.0]
    patient = UpstreamUnreachableError("later", retry_after_s=3600.0)
    assert Followed([patient, "done"]).waits_s == [1.0, FAULT_WAIT_S_MAX]


@pytest.mark.parametrize("fault", [DOWN, RESET, "busy"])
def test_too_many_faults_in_a_row_end_it_as_ambiguous(fault: str | ImageError) -> None:
    job = Followed([fault] * 3)
    assert job.error is not None
    assert (job.error.code, job.error.fault) == ("upstream_failed", "ambiguous")


@pytest.mark.parametrize("script", [["refused"], ["bad"], [UpstreamCredentialError("no token")]])
def test_a_refused_poll_is_no_reason_to_buy_elsewhere_or_to_charge_nothing(
    script: list[str | ImageError],
) -> None:
    job = Followed(script)
    assert job.error is not None
    assert job.error.fault == "ambiguous"


def test_what_the_job_ended_with_is_said_as_it_is() -> None:
    assert isinstance(Followed(["running", "moderated"]).error, ContentPolicyViolationError)
    failed = Followed(["failed"])
    assert failed.error is not None
    assert failed.error.message == "it failed"


def test_a_job_that_never_ends_is_given_up() -> None:
    job = Followed(["running"] * LIMITS.polls_max)
    assert isinstance(job.error, UpstreamTimeoutError)
    assert len(job.sent) == LIMITS.polls_max

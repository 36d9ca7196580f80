"""Every adapter against whole recorded conversations: what it sends, what it makes of answers."""

from pathlib import Path
from typing import get_args

import pytest

from imagegate.providers import PROVIDERS, provider_for
from imagegate.types import Operation
from imagegate.wire.exchange import Exchange, Send
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case, read_case
from tests.exchanges.official import CHECKS
from tests.exchanges.play import Played, body_of, plain_partial, plain_result

PATHS = cases.paths()
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
DECLARED = [
    (provider, operation)
    for provider in PROVIDERS
    for operation in OPERATIONS
    if provider.adapter(operation)
]


def case_id(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def exchange_of(case: Case, provider: str, **changes: object) -> Exchange:
    found = provider_for(provider)
    assert found, f"there is no provider {provider}"
    adapter = found.adapter(case.operation)
    assert adapter, f"{provider} has no {case.operation}"
    return adapter(case.build_call(**changes), case.target)


@pytest.mark.parametrize("path", PATHS, ids=case_id)
def test_exchange(path: Path) -> None:
    """Given the call and the recorded responses, the adapter sends the recorded requests and
    returns the recorded result, or raises the recorded error."""
    case = read_case(path)
    played = Played(exchange_of(case, path.parent.name), [turn.response for turn in case.turns])
    assert played.unused == 0
    for sent, turn in zip(played.requests, case.turns, strict=True):
        recorded = turn.request
        assert (sent.method, sent.url) == (recorded.method, recorded.url)
        assert dict(sent.headers) == recorded.headers
        assert body_of(sent) == cases.build_body(recorded)
    assert [plain_partial(partial) for partial in played.partials] == case.partials
    if case.error is None:
        assert played.result is not None, played.error
        assert plain_result(played.result) == case.result
        return
    error = played.error
    assert error is not None, played.result
    found = (type(error).__name__, error.code, error.fault, error.param, error.retry_after_s)
    wanted = case.error
    assert found == (wanted.name, wanted.code, wanted.fault, wanted.param, wanted.retry_after_s)


@pytest.mark.parametrize("path", PATHS, ids=case_id)
def test_the_official_client_says_the_same(path: Path) -> None:
    """The official SDK sends the same request for the same call, and its types take the answer.

    What cannot be checked so is named in the case, with the reason.
    """
    case = read_case(path)
    official = case.official
    assert official.unchecked.keys() <= {"request", "answer"}
    assert all(len(reason) > 10 for reason in official.unchecked.values())
    if official.client is None:
        assert "request" in official.unchecked
        return
    check = CHECKS[official.client]
    for turn in case.conversation:
        if "request" not in official.unchecked:
            check.request(case, turn)
        if case.result is not None and "answer" not in official.unchecked:
            check.answer(case, turn.response)


@pytest.mark.parametrize(
    ("provider", "operation"), DECLARED, ids=[f"{one.name}-{name}" for one, name in DECLARED]
)
def test_no_case_is_missing(provider: Provider, operation: Operation) -> None:
    held = [case for case in cases.cases_of(provider.name) if case.operation == operation]
    required = set(cases.REQUIRED)
    if operation == "responses":
        required.discard("empty_success")  # a response may well be text alone
    if held and streams(held[0], provider):
        required.update(cases.REQUIRED_OF_STREAMS)
    if any(polls(case) for case in held):
        required.update(cases.REQUIRED_OF_JOBS)
    assert required <= {case.case for case in held}


def streams(case: Case, provider: Provider) -> bool:
    """Return whether the provider's answer to a streamed call may be an event stream."""
    command = next(exchange_of(case, provider.name, stream=True))
    return isinstance(command, Send) and command.request.events


def polls(case: Case) -> bool:
    return any(turn.request.method == "GET" for turn in case.conversation)


def test_each_case_is_of_a_provider_and_ends_in_one_way() -> None:
    names = {provider.name for provider in PROVIDERS}
    for path in PATHS:
        case = read_case(path)
        assert path.parent.name in names
        assert path.stem.startswith(f"{case.operation}_{case.case}"), path
        assert case.about
        assert (case.result is None) != (case.error is None), path

"""What a call had is freed when it is over, without the collector."""

import gc
from collections.abc import Iterator

import pytest

from imagegate.running import RunningCall, Work
from imagegate.trace import Trace
from tests.gateway.running import RunningGateway

ASKS_MAX = 200


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def alive() -> int:
    return sum(isinstance(one, (Work, RunningCall, Trace)) for one in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
def test_nothing_of_a_call_waits_for_the_collector(gateway: RunningGateway) -> None:
    gc.collect()
    before = alive()
    assert gateway.generate().status == 200
    # The task behind an answer ends after it.
    for _ in range(ASKS_MAX):
        gateway.get("/healthz")
        if alive() == before:
            return
    raise AssertionError(f"{alive() - before} objects are left")

"""Calls take turns on an event loop: however they come, leave and end, no limit is exceeded."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegate.call_options import CallOptions
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import Deployment, QueueSettings, RouterSettings, Routing
from imagegate.errors import ImageError
from imagegate.ledger.people import Account
from imagegate.plan import Plan
from imagegate.providers import provider_for
from imagegate.router.route import Route, Router
from imagegate.trace import Trace
from imagegate.turns import Turn, Turns
from imagegate.types import ImageCall
from imagegate.wire.provider import Target

OPENAI = provider_for("openai")
assert OPENAI
PLACES = {"a": 2, "b": 1}
ALL_MAX, KEY_MAX = 3, 2
PLANS = tuple(
    Plan(
        deployment=Deployment(
            id=name,
            group="img",
            provider=OPENAI,
            target=Target("http://x", "m"),
            routing=Routing(max_in_flight=most),
            model=builtin_catalogue().find("openai/gpt-image-2"),
        ),
        call=ImageCall(id="call_1", operation="generate", model="img"),
        n_max=10,
    )
    for name, most in PLACES.items()
)


async def turn_round() -> None:
    """Let everybody act upon what happened, and upon what came of that."""
    for _ in range(10):
        await asyncio.sleep(0)


class Office:
    """A router and its turns; `calls` work there and note who works at the same time."""

    def __init__(
        self, seed: int = 1, plans: tuple[Plan, ...] = PLANS, **queue: float | None
    ) -> None:
        self.chance = random.Random(seed)
        self.router = Router(RouterSettings(), self.chance.random)
        limits = QueueSettings(calls_max=ALL_MAX, key_calls_max=KEY_MAX)
        self.turns = Turns(msgspec.structs.replace(limits, **queue), self.router)
        self.plans = plans
        self.at_work: Counter[str] = Counter()
        self.done: list[str] = []

    def find(self) -> Route:
        return self.router.start("img", lambda _: self.plans, 1000.0)

    async def call(self, key: str, has_left: Callable[[], object] | None = None) -> None:
        options = CallOptions(account=Account(role="caller", key_id=key), has_left=has_left)  # type: ignore[arg-type]
        turn = await self.turns.take(self.find(), self.find, options, Trace("call_1"))
        await asyncio.shield(asyncio.create_task(self.work(turn, key)))  # whoever leaves

    async def work(self, turn: Turn, key: str) -> None:
        place = turn.route.plan.deployment.id
        self.at_work.update(("all", key, place))
        self.check()
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        self.at_work.subtract(("all", key, place))
        self.router.end(turn.route, None, images=1, seconds=1.0, now_s=1000.0)
        self.turns.end(turn)
        self.done.append(key)

    def check(self) -> None:
        limits = {"all": ALL_MAX, "k1": KEY_MAX, "k2": KEY_MAX, "k3": KEY_MAX} | PLACES
        assert all(self.at_work[name] <= most for name, most in limits.items()), self.at_work


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(st.sampled_from(("k1", "k2", "k3")), min_size=1, max_size=30),
    leavers=st.sets(st.integers(0, 29)),
    stopped=st.sets(st.integers(0, 29)),
    seed=st.integers(0, 1000),
)
def test_whatever_happens_no_limit_is_exceeded_and_nobody_is_forgotten(
    keys: list[str], leavers: set[int], stopped: set[int], seed: int
) -> None:
    async def run() -> None:
        office = Office(seed, waiting_max=8)
        tasks = []
        for number, key in enumerate(keys):
            has_left = leave_soon if number in leavers else None
            tasks.append(asyncio.create_task(office.call(key, has_left)))
            if office.chance.random() < 0.5:
                await asyncio.sleep(0)
            if number in stopped:
                office.chance.choice(tasks).cancel()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        refused = [end for end in ends if end is not None]
        assert all(isinstance(end, ImageError | asyncio.CancelledError) for end in refused)
        assert len(office.done) + len(refused) >= len(keys)
        assert office.turns.waiting_count == 0
        for key in ("k1", "k2", "k3") * 2:
            await asyncio.wait_for(office.call(key), 10)

    async def leave_soon() -> None:
        await asyncio.sleep(0)

    asyncio.run(run())


def test_nobody_waits_while_there_is_a_place() -> None:
    async def run() -> None:
        office = Office()
        turns = [
            await office.turns.take(office.find(), office.find, CallOptions(), Trace("call_1"))
            for _ in range(ALL_MAX)
        ]
        assert {turn.waited_s for turn in turns} == {0.0}
        assert {turn.route.plan.deployment.id for turn in turns} == {"a", "b"}

    asyncio.run(run())


def test_who_needs_several_places_is_not_overtaken_for_ever() -> None:
    """Each place that becomes free would go to a call that needs one, while others come."""
    [one] = [plan for plan in PLANS if plan.deployment.id == "a"]
    call = msgspec.structs.replace(one.call, n=2)
    two = msgspec.structs.replace(one, call=call, n_max=1)

    async def run() -> None:
        office = Office(plans=(one,), calls_max=None, key_calls_max=None)
        running = [await take(office) for _ in range(2)]
        large = asyncio.create_task(take(office, two))
        await turn_round()
        small = [asyncio.create_task(take(office)) for _ in range(3)]
        await turn_round()
        finish(office, running[0])
        late = asyncio.create_task(take(office))
        await turn_round()
        assert office.turns.waiting_count == 5
        finish(office, running[1])
        await turn_round()
        assert large.done()
        finish(office, large.result(), requests=2)
        await turn_round()
        assert [one.done() for one in (*small, late)] == [True, True, False, False]
        for one_left in (*small, late):
            one_left.cancel()
        await asyncio.gather(*small, late, return_exceptions=True)

    async def take(office: Office, plan: Plan = one) -> Turn:
        def find() -> Route:
            return office.router.start("img", lambda _: (plan,), 1000.0)

        return await office.turns.take(find(), find, CallOptions(), Trace("call_1"))

    def finish(office: Office, turn: Turn, requests: int = 1) -> None:
        for _ in range(requests):
            office.router.end(turn.route, None, images=1, seconds=1.0, now_s=1000.0)
        office.turns.end(turn)

    asyncio.run(run())


def test_the_wait_is_told_so_that_deadlines_count_it() -> None:
    async def run() -> None:
        office = Office()
        first = [
            await office.turns.take(office.find(), office.find, CallOptions(), Trace("call_1"))
            for _ in range(ALL_MAX)
        ]
        trace = Trace("call_2")
        waiting = asyncio.create_task(
            office.turns.take(office.find(), office.find, CallOptions(), trace)
        )
        await asyncio.sleep(0)
        assert office.turns.waiting_count == 1
        office.router.end(first[0].route, None, images=1, seconds=1.0, now_s=1000.0)
        office.turns.end(first[0])
        turn = await waiting
        assert turn.waited_s > 0.0
        assert trace.phases_s["queue"] > 0.0

    asyncio.run(run())


def test_what_goes_wrong_for_one_who_waits_is_its_own() -> None:
    """A defect in finding its way must not end the call that made room."""

    def broken() -> Route:
        raise RuntimeError("a defect")

    async def run() -> None:
        office = Office()
        first = [
            await office.turns.take(office.find(), office.find, CallOptions(), Trace("call_1"))
            for _ in range(ALL_MAX)
        ]
        waiting = asyncio.create_task(
            office.turns.take(office.find(), broken, CallOptions(), Trace("call_2"))
        )
        await asyncio.sleep(0)
        office.router.end(first[0].route, None, images=1, seconds=1.0, now_s=1000.0)
        office.turns.end(first[0])
        with pytest.raises(RuntimeError, match="a defect"):
            await waiting
        assert office.turns.waiting_count == 0

    asyncio.run(run())

"""Where a call goes, and where after a fault: over a scripted clock."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from imagegate.catalogue.price import PriceRange
from imagegate.config.settings import Deployment, RouterSettings, Routing
from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    NotFoundError,
    OverloadedError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from imagegate.plan import Plan
from imagegate.providers import provider_for
from imagegate.router.route import Route, Router, Wishes
from imagegate.router.tags import tagged
from imagegate.types import ImageCall
from imagegate.wire.provider import Target

OPENAI = provider_for("openai")
CALL = ImageCall(id="call_1", operation="generate", model="img")


def plan_for(name: str, price_e10: int | None = None, **routing: Any) -> Plan:
    assert OPENAI
    deployment = Deployment(
        id=name,
        group="img",
        provider=OPENAI,
        target=Target("http://x", "m"),
        routing=Routing(**routing),
    )
    price = None if price_e10 is None else PriceRange(price_e10, price_e10, price_e10)
    return Plan(deployment=deployment, call=CALL, n_max=10, price=price)


class Driver:
    """A router with a clock of its own; `groups` are the plans by model group."""

    def __init__(self, *plans: Plan, seed: int = 1, **settings: Any) -> None:
        self.groups: dict[str, Sequence[Plan]] = {"img": plans}
        self.router = Router(RouterSettings(**settings), random.Random(seed).random)
        self.now_s = 1000.0

    def plan_group(self, group: str) -> Sequence[Plan]:
        if group not in self.groups:
            raise NotFoundError(group)
        return self.groups[group]

    def start(self) -> Route:
        route = self.router.start("img", self.plan_group, self.now_s)
        self.router.begin(route, 1, self.now_s)
        return route

    def end(self, route: Route, error: ImageError | None = None, seconds: float = 1.0) -> None:
        self.router.end(route, error, images=1, seconds=seconds, now_s=self.now_s)

    def fail(self, route: Route, error: ImageError) -> Route | None:
        """End a step by a fault; return the next one, begun."""
        self.end(route, error)
        step = self.router.after(route, error, self.now_s)
        if step is not None:
            self.router.begin(step, 1, self.now_s)
        return step

    def where(self) -> str:
        """Return where a call goes now; it ends well."""
        route = self.start()
        self.end(route)
        return route.plan.deployment.id


def name_of(route: Route | None) -> str | None:
    return None if route is None else route.plan.deployment.id


# --- the fault alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "goes_elsewhere"),
    [
        (BadRequestError("x"), False),
        (ContentPolicyViolationError("x"), False),
        (UpstreamCredentialError("x"), True),
        (UpstreamModelNotFoundError("x"), True),
        (UpstreamUnreachableError("x"), True),
        (RateLimitError("x", retry_after_s=3), True),
        (UpstreamTimeoutError("x"), False),
        (UpstreamFailedError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_who_may_be_asked_after_a_fault(error: ImageError, goes_elsewhere: bool) -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2), retries_max=2)
    step = driver.fail(driver.start(), error)
    assert name_of(step) == ("b" if goes_elsewhere else None)


@pytest.mark.parametrize(
    ("error", "fails", "rests"),
    [
        (BadRequestError("x"), 50, False),
        (UpstreamCredentialError("x"), 1, True),
        (RateLimitError("x", retry_after_s=3), 1, True),
        (RateLimitError("x"), 3, False),
        (RateLimitError("x"), 4, True),
        (UpstreamModelNotFoundError("x"), 1, False),
        (UpstreamModelNotFoundError("x"), 4, True),
        (UpstreamFailedError("x"), 3, False),
        (UpstreamFailedError("x"), 4, True),
    ],
)
def test_when_a_deployment_rests(error: ImageError, fails: int, rests: bool) -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2))
    for _ in range(fails):
        driver.end(driver.start(), error)
    assert driver.where() == ("b" if rests else "a")


def test_failures_are_forgotten_after_a_minute() -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2))
    for _ in range(8):
        driver.end(driver.start(), UpstreamFailedError("x"))
        driver.now_s += 25.0
    assert driver.where() == "a"


def test_a_rest_ends_and_one_call_probes() -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2), cooldown_s=5.0)
    driver.end(driver.start(), UpstreamCredentialError("x"))
    driver.now_s += 4.9
    assert driver.where() == "b"
    driver.now_s += 0.2
    probe = driver.start()
    assert name_of(probe) == "a"
    assert driver.where() == "b", "while one call probes it, the others go elsewhere"
    driver.end(probe)
    assert driver.where() == "a"


def test_what_began_before_the_rest_is_no_probe() -> None:
    """Its end must not let a second call in beside the probe."""
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2), cooldown_s=5.0)
    early, failing = driver.start(), driver.start()
    driver.end(failing, UpstreamCredentialError("x"))
    driver.now_s += 5.1
    assert name_of(driver.start()) == "a"
    driver.end(early, BadRequestError("x"))
    assert driver.where() == "b"


def test_each_rest_in_a_row_is_twice_as_long() -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2), cooldown_s=5.0)
    for rest_s in (5.0, 10.0, 20.0):
        driver.end(driver.start(), UpstreamCredentialError("x"))
        driver.now_s += rest_s - 0.1
        assert driver.where() == "b"
        driver.now_s += 0.2
    assert driver.where() == "a"


def test_the_upstreams_retry_after_wins_over_our_rest() -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2), cooldown_s=5.0)
    driver.end(driver.start(), RateLimitError("x", retry_after_s=60))
    driver.now_s += 59.0
    assert driver.where() == "b"
    driver.now_s += 1.1
    assert driver.where() == "a"


def test_a_deployment_has_a_rest_of_its_own() -> None:
    driver = Driver(plan_for("a", order=1, cooldown_s=100), plan_for("b", order=2))
    driver.end(driver.start(), UpstreamCredentialError("x"))
    driver.now_s += 99.0
    assert driver.where() == "b"


@pytest.mark.parametrize(
    "error", [UpstreamCredentialError("x"), RateLimitError("x", retry_after_s=60)]
)
def test_a_sole_deployment_is_not_silenced_by_one_error(error: ImageError) -> None:
    driver = Driver(plan_for("a"))
    driver.end(driver.start(), error)
    assert driver.where() == "a"


def test_a_sole_deployment_that_never_succeeds_rests_at_last() -> None:
    """Each ambiguous fault may be billed."""
    driver = Driver(plan_for("a"))
    for _ in range(11):
        driver.end(driver.start(), UpstreamFailedError("broken"))
    with pytest.raises(OverloadedError):
        driver.start()
    driver.now_s += 5.1
    assert driver.where() == "a"


# --- retries and fallbacks ---------------------------------------------------------------------


def test_a_moment_is_waited_for_where_nobody_else_is() -> None:
    driver = Driver(plan_for("a"), retries_max=2)
    waits = []
    step: Route | None = driver.start()
    while step is not None:
        step = driver.fail(step, UpstreamUnreachableError("x"))
        waits.append(step.wait_s if step else None)
    assert waits == [0.5, 1.0, None]


@pytest.mark.parametrize("kind", [UpstreamCredentialError, UpstreamModelNotFoundError])
def test_a_fault_of_the_deployment_is_no_moment(kind: type[ImageError]) -> None:
    driver = Driver(plan_for("a"), retries_max=2)
    assert driver.fail(driver.start(), kind("x")) is None


@pytest.mark.parametrize(
    ("told_s", "least_s", "wait_s"), [(3.0, 0.0, 3.0), (3.0, 5.0, 5.0), (12.0, 0.0, None)]
)
def test_the_wait_is_the_upstreams(told_s: float, least_s: float, wait_s: float | None) -> None:
    """A longer one is the caller's own to wait."""
    driver = Driver(plan_for("a"), retries_max=1, retry_after_s=least_s)
    step = driver.fail(driver.start(), RateLimitError("x", retry_after_s=told_s))
    assert (step and step.wait_s) == wait_s


def test_a_caller_may_ask_for_fewer_retries_never_for_more() -> None:
    driver = Driver(plan_for("a"), retries_max=1, retries_asked_max=1)
    for asked, has_retry in ((0, False), (9, True)):
        route = driver.router.start("img", driver.plan_group, driver.now_s, Wishes(asked))
        driver.router.begin(route, 1, driver.now_s)
        step = driver.fail(route, UpstreamUnreachableError("x"))
        assert (step is not None) == has_retry
        if step is not None:
            assert driver.fail(step, UpstreamUnreachableError("x")) is None


def test_retries_have_a_budget() -> None:
    """Of ten calls that fail together two are sent again: a fifth of what is in flight."""
    driver = Driver(plan_for("a"), retries_max=5)
    routes = [driver.start() for _ in range(10)]
    error = UpstreamUnreachableError("x")
    steps = []
    for route in routes:
        driver.end(route, error)
        driver.router.health["a"].in_flight += 1  # the others go on
        step = driver.router.after(route, error, driver.now_s)
        if step is not None:
            driver.router.begin(step, 1, driver.now_s)
            driver.router.health["a"].in_flight -= 1
        steps.append(step)
    assert sum(step is not None for step in steps) == 2


def test_a_group_falls_back_when_it_has_nothing_left() -> None:
    fallbacks = {"img": ("none", "spare")}
    driver = Driver(plan_for("a"), fallbacks=fallbacks, default_fallbacks=("last",))
    driver.groups |= {"spare": [plan_for("s")], "last": [plan_for("l")]}
    step = driver.fail(driver.start(), UpstreamCredentialError("x"))
    assert name_of(step) == "s"
    assert step
    step = driver.fail(step, UpstreamCredentialError("x"))
    assert name_of(step) == "l"
    assert step
    assert driver.fail(step, UpstreamCredentialError("x")) is None


def test_a_group_at_rest_falls_back_at_once() -> None:
    driver = Driver(plan_for("a"), default_fallbacks=("spare",))
    driver.groups["spare"] = [plan_for("s")]
    driver.end(driver.start(), UpstreamCredentialError("x"))
    assert driver.where() == "s"


def test_fallbacks_that_lead_in_a_circle_end() -> None:
    driver = Driver(plan_for("a"), fallbacks={"img": ("spare", "img")})
    driver.groups["spare"] = [plan_for("s")]
    step = driver.fail(driver.start(), UpstreamCredentialError("x"))
    assert step
    assert driver.fail(step, UpstreamCredentialError("x")) is None
    refusal = ContentPolicyViolationError("x")
    driver = Driver(plan_for("a"), policy_fallbacks={"img": ("img", "spare")})
    driver.groups["spare"] = [plan_for("s")]
    step = driver.fail(driver.start(), refusal)
    assert name_of(step) == "s"
    assert step
    assert driver.fail(step, refusal) is None


def test_a_refused_prompt_goes_elsewhere_only_by_its_own_fallbacks() -> None:
    error = ContentPolicyViolationError("x")
    for settings, name in (
        ({"default_fallbacks": ("spare",)}, None),
        ({"policy_fallbacks": {"img": ("spare",)}}, "s"),
    ):
        driver = Driver(plan_for("a", order=1), plan_for("b", order=2), **settings)  # type: ignore[arg-type]
        driver.groups["spare"] = [plan_for("s")]
        assert name_of(driver.fail(driver.start(), error)) == name


def test_a_caller_may_choose_its_own_fallbacks_or_none() -> None:
    for fallbacks, name in (((), None), (("other",), "o"), (None, "s")):
        driver = Driver(plan_for("a"), fallbacks={"img": ("spare",)})
        driver.groups |= {"spare": [plan_for("s")], "other": [plan_for("o")]}
        wishes = Wishes(fallbacks=fallbacks)
        route = driver.router.start("img", driver.plan_group, driver.now_s, wishes)
        driver.router.begin(route, 1, driver.now_s)
        assert name_of(driver.fail(route, UpstreamCredentialError("x"))) == name


def test_without_fallbacks_a_refused_prompt_stays_where_it_was() -> None:
    driver = Driver(plan_for("a"), policy_fallbacks={"img": ("spare",)})
    driver.groups["spare"] = [plan_for("s")]
    route = driver.router.start("img", driver.plan_group, 1000.0, Wishes(fallbacks=()))
    driver.router.begin(route, 1, driver.now_s)
    assert driver.fail(route, ContentPolicyViolationError("x")) is None


@pytest.mark.parametrize("error", [UpstreamTimeoutError("x"), UpstreamFailedError("x")])
def test_a_group_may_opt_in_to_buy_twice(error: ImageError) -> None:
    """Another deployment, never the same; and only while the group asked has opted in."""
    driver = Driver(
        plan_for("a", order=1),
        plan_for("b", order=2),
        buys_twice=frozenset(("img",)),
        default_fallbacks=("spare", "last"),
        retries_max=5,
    )
    spare = plan_for("s")
    spare = msgspec.structs.replace(
        spare, deployment=msgspec.structs.replace(spare.deployment, group="spare")
    )
    driver.groups |= {"spare": [spare], "last": [plan_for("l")]}
    step = driver.fail(driver.start(), error)
    assert step
    assert name_of(step) == "b"
    step = driver.fail(step, error)
    assert step
    assert name_of(step) == "s"
    assert driver.fail(step, error) is None


def test_when_nobody_may_be_asked_each_is_named() -> None:
    driver = Driver(plan_for("a", order=1), plan_for("b", order=2, rpm=1))
    driver.end(driver.start(), RateLimitError("slow down, a", retry_after_s=60))
    driver.start()
    with pytest.raises(OverloadedError) as raised:
        driver.start()
    error = raised.value
    assert (error.http_status, error.code, error.retry_after_s) == (
        503,
        "no_deployment_available",
        60,
    )
    assert "a rests for 60 s after 1 failures; it last said: slow down, a" in error.message
    assert "b is at its limits a minute, with room in 60 s" in error.message
    assert [one.deployment for one in error.attempts] == ["a", "b"]


# --- who comes first ---------------------------------------------------------------------------


def odds(driver: Driver, calls: int = 2000) -> dict[str, float]:
    counts = Counter(driver.where() for _ in range(calls))
    return {name: counts[name] / calls for name in counts}


def test_shuffle_by_weight() -> None:
    found = odds(Driver(plan_for("a", weight=3), plan_for("b", weight=1), plan_for("c", weight=0)))
    assert found["a"] == pytest.approx(0.75, abs=0.03)
    assert "c" not in found


def test_shuffle_by_rpm() -> None:
    found = odds(Driver(plan_for("a", rpm=90000), plan_for("b", rpm=10000)))
    assert found["a"] == pytest.approx(0.9, abs=0.03)


def test_shuffle_evenly() -> None:
    found = odds(Driver(plan_for("a"), plan_for("b"), plan_for("c")))
    assert all(share == pytest.approx(1 / 3, abs=0.04) for share in found.values())


def test_order_comes_before_the_strategy() -> None:
    plans = (plan_for("a", 5, order=2), plan_for("b", 9, order=1))
    assert Driver(*plans, strategy="cost-based-routing").where() == "b"


def test_the_cheapest() -> None:
    plans = (plan_for("unknown"), plan_for("dear", 900), plan_for("cheap", 100))
    assert odds(Driver(*plans, strategy="cost-based-routing"), 50) == {"cheap": 1.0}


def test_the_least_used() -> None:
    """By images in the last minute, whether or not they are done."""
    driver = Driver(plan_for("a"), plan_for("b"), strategy="usage-based-routing")
    assert Counter(driver.where() for _ in range(10)) == {"a": 5, "b": 5}
    driver.groups["img"] = [plan_for("a")]
    assert [driver.where() for _ in range(3)] == ["a"] * 3
    driver.groups["img"] = [plan_for("a"), plan_for("b")]
    assert [driver.where() for _ in range(3)] == ["b"] * 3


def test_what_is_long_past_takes_no_room() -> None:
    driver = Driver(plan_for("a"), plan_for("b"))
    tracemalloc.start()
    try:
        for number in range(20_000):
            driver.end(driver.start(), UpstreamFailedError("x") if number % 9 == 0 else None)
            driver.now_s += 1.0
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 200_000


def test_the_least_busy() -> None:
    driver = Driver(plan_for("a"), plan_for("b"), strategy="least-busy")
    assert {name_of(driver.start()) for _ in range(2)} == {"a", "b"}


def test_the_fastest() -> None:
    driver = Driver(plan_for("a"), plan_for("b"), strategy="latency-based-routing")
    for seconds in (9.0, 2.0):
        driver.end(driver.start(), seconds=seconds)
    speeds = {
        name: health.seconds_an_image(1000.0) for name, health in driver.router.health.items()
    }
    assert sorted(speeds.values(), key=lambda seconds: seconds or 0) == [2.0, 9.0]
    assert odds(driver, 20) == {name: 1.0 for name in speeds if speeds[name] == 2.0}


def test_whose_speed_nobody_knows_is_tried_by_one_call_at_a_time() -> None:
    driver = Driver(plan_for("a", order=1), strategy="latency-based-routing")
    driver.end(driver.start(), seconds=2.0)
    driver.groups["img"] = (plan_for("a"), plan_for("b"))
    assert [name_of(driver.start()) for _ in range(3)] == ["b", "a", "a"]


def test_a_speed_is_forgotten_after_ten_minutes() -> None:
    """One slow image must not send all calls elsewhere for ever."""
    driver = Driver(plan_for("a"), plan_for("b"), strategy="latency-based-routing")
    for seconds in (9.0, 2.0):
        driver.end(driver.start(), seconds=seconds)
    driver.now_s += 500.0
    fast = driver.where()
    driver.now_s += 200.0
    assert driver.where() != fast


@pytest.mark.parametrize("limits", [{"rpm": 2}, {"ipm": 2}])
def test_limits_a_minute(limits: dict[str, int]) -> None:
    driver = Driver(plan_for("a", order=1, **limits), plan_for("b", order=2))
    assert [driver.where() for _ in range(3)] == ["a", "a", "b"]
    driver.now_s += 60.1
    assert driver.where() == "a"


def test_a_call_for_more_images_than_the_limit_goes_alone() -> None:
    driver = Driver(plan_for("a", ipm=1))
    assert driver.where() == "a"
    with pytest.raises(OverloadedError):
        driver.start()


def test_a_full_deployment_is_waited_for() -> None:
    driver = Driver(plan_for("a", max_in_flight=1))
    running = driver.start()
    waiting = driver.router.start("img", driver.plan_group, driver.now_s)
    assert [plan.deployment.id for plan in waiting.full] == ["a"]
    assert driver.router.must_wait(waiting, driver.now_s)
    driver.end(running)
    assert not driver.router.must_wait(waiting, driver.now_s)


def test_who_waits_is_told_when_its_deployment_rests() -> None:
    driver = Driver(plan_for("a", max_in_flight=1), default_fallbacks=("none",))
    running = driver.start()
    waiting = driver.router.start("img", driver.plan_group, driver.now_s)
    driver.end(running, UpstreamCredentialError("no key"))
    assert not driver.router.must_wait(waiting, driver.now_s)
    with pytest.raises(OverloadedError, match=r"a rests for 5 s after 1 failures; .*no key"):
        driver.start()


def test_a_full_fallback_is_waited_for() -> None:
    driver = Driver(plan_for("a"), default_fallbacks=("spare",))
    driver.groups["spare"] = [plan_for("s", max_in_flight=1)]
    driver.end(driver.start(), UpstreamCredentialError("x"))
    driver.start()
    waiting = driver.router.start("img", driver.plan_group, driver.now_s)
    assert [plan.deployment.id for plan in waiting.full] == ["s"]


def test_a_call_of_many_requests_waits_until_there_is_room_for_all() -> None:
    """But one of more requests than the limit goes out alone: it could never go otherwise."""
    many = msgspec.structs.replace(plan_for("a", max_in_flight=3), n_max=1)
    driver = Driver(plan_for("a", max_in_flight=3))
    first, second = driver.start(), driver.start()
    for images, has_to_wait in ((1, False), (2, True)):
        call = msgspec.structs.replace(CALL, n=images)
        driver.groups["img"] = [msgspec.structs.replace(many, call=call)]
        route = driver.router.start("img", driver.plan_group, driver.now_s)
        assert bool(route.full) == has_to_wait
    driver.groups["img"] = [msgspec.structs.replace(many, call=msgspec.structs.replace(CALL, n=9))]
    for running in (first, second):
        assert driver.router.start("img", driver.plan_group, driver.now_s).full
        driver.end(running)
    assert not driver.router.start("img", driver.plan_group, driver.now_s).full


def test_limits_at_the_same_time() -> None:
    driver = Driver(plan_for("a", order=1, max_in_flight=1), plan_for("b", order=2))
    first = driver.start()
    assert driver.where() == "b"
    driver.end(first)
    assert driver.where() == "a"


def test_a_step_that_was_not_taken_leaves_no_trace() -> None:
    driver = Driver(plan_for("a", max_in_flight=1))
    driver.router.cancel(driver.start(), 1)
    assert driver.where() == "a"


# --- tags --------------------------------------------------------------------------------------

EU, US, PLAIN = plan_for("eu", tags=("eu",)), plan_for("us", tags=("us", "default")), plan_for("p")


@pytest.mark.parametrize(
    ("plans", "tags", "names"),
    [
        ((EU, US, PLAIN), ("eu",), ["eu"]),
        ((EU, US, PLAIN), ("eu", "us"), ["eu", "us"]),
        ((EU, US, PLAIN), (), ["us"]),
        ((EU, PLAIN), (), ["eu", "p"]),
    ],
)
def test_tags(plans: tuple[Plan, ...], tags: tuple[str, ...], names: list[str]) -> None:
    assert [plan.deployment.id for plan in tagged(plans, tags)] == names


def test_a_tag_that_nobody_has() -> None:
    with pytest.raises(BadRequestError, match="there are default, eu, us"):
        tagged((EU, US), ("mars",))

"""What every ledger does, whether it forgets or not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from imagegate.ledger import Ledger
from imagegate.ledger.memory import MemoryLedger
from imagegate.ledger.records import (
    Admit,
    CloseCall,
    ConflictError,
    Delivered,
    Fail,
    ForgetFile,
    FreeKey,
    LedgerUnavailableError,
    Redispatch,
    Settle,
)
from imagegate.ledger.store import open_ledger
from tests.ledger.rows import (
    OWNER,
    admit,
    asset,
    attempt,
    attempt_end,
    call,
    call_end,
    fail,
    settle,
)

Test = Callable[[Ledger], Awaitable[None]]


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def run(request, tmp_path):
    """Run a coroutine function on a ledger that is opened for it and closed after it."""

    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_server").new_url()

    def in_loop(test: Test) -> None:
        async def whole() -> None:
            ledger: Ledger = MemoryLedger() if request.param == "memory" else open_ledger(url)
            try:
                await test(ledger)
            finally:
                await ledger.aclose()

        asyncio.run(whole())

    return in_loop


def test_an_admitted_call_reads_back_as_it_was_written(run):
    async def test(ledger):
        asked = call("a", fingerprint="f0", end_user="zoë", adjustments='[{"param":"size"}]')
        first = attempt("a", price='{"row":1}')
        await ledger.commit(Admit(asked, first))
        assert await ledger.get_call("call_a") == asked
        assert await ledger.attempts_of("call_a") == (first,)
        assert await ledger.get_call("call_z") is None

    run(test)


@pytest.mark.parametrize(
    "command",
    [
        admit("a"),
        Redispatch(attempt("a", 1)),
        Redispatch(attempt("a", 1, id="att_a_x")),
        Redispatch(attempt("z", 1)),
        Redispatch(attempt("a", 2), attempt_end("z", "unsent")),
        settle("z"),
        Settle(attempt_end("a"), (asset("a"),), call_end("z")),
        Settle(attempt_end("a"), (asset("b", id="img_a_0"), asset("a")), None),
        CloseCall(call_end("z")),
    ],
)
def test_what_does_not_fit_is_refused_whole(run, command):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(admit("b"))
        await ledger.commit(Settle(attempt_end("b"), (asset("b", id="img_a_0"),)))
        with pytest.raises(ConflictError):
            await ledger.commit(command)
        assert await ledger.get_call("call_a") == call("a")
        assert await ledger.attempts_of("call_a") == (attempt("a"),)
        assert await ledger.assets_of("call_a") == ()

    run(test)


def test_an_attempt_is_settled_once(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(settle("a", cost_e10=5))
        for again in (
            *(settle("a", cost_e10=5), fail("a", "unknown"), fail("a", "refused")),
            Fail(attempt_end("a", "refused")),
            CloseCall(call_end("a", "failed")),
        ):
            with pytest.raises(ConflictError):
                await ledger.commit(again)

    run(test)


def test_a_part_is_settled_once_though_its_call_goes_on(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(Settle(attempt_end("a", cost_e10=5)))
        with pytest.raises(ConflictError):
            await ledger.commit(Settle(attempt_end("a", cost_e10=6)))
        (settled,) = await ledger.attempts_of("call_a")
        assert settled.cost_e10 == 5

    run(test)


def test_a_further_attempt_and_the_end_of_the_one_before_are_one_commit(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        ended = attempt_end("a", "unsent", error_code="upstream_unreachable", error_text="reset")
        await ledger.commit(Redispatch(attempt("a", 2), ended))
        first, second = await ledger.attempts_of("call_a")
        assert (first.state, first.error_text, first.cost_e10) == ("unsent", "reset", None)
        assert second == attempt("a", 2)

    run(test)


def test_parts_of_a_call_end_one_by_one(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(Redispatch(attempt("a", 2)))
        await ledger.commit(Settle(attempt_end("a", cost_e10=7), (asset("a"), asset("a", 1))))
        assert (await ledger.get_call("call_a")).state == "running"
        assert await ledger.assets_of("call_a") == (asset("a"), asset("a", 1))
        assert await ledger.asset_bytes() == 2_000
        await ledger.commit(Fail(attempt_end("a", "refused", 2), call_end("a")))

    run(test)


def test_what_other_owners_left_open_is_found_page_by_page(run):
    async def test(ledger):
        for name in "abcd":
            await ledger.commit(admit(name))
        await ledger.commit(settle("b"))
        await ledger.commit(Fail(attempt_end("c", "unsent")))
        open_now = await ledger.open_attempts(not_owner="own_2")
        assert [one.id for one in open_now] == ["att_a_1", "att_d_1"]
        assert await ledger.open_attempts(not_owner=OWNER) == ()
        calls = await ledger.open_calls(not_owner="own_2", limit=2)
        assert [one.id for one in calls] == ["call_a", "call_c"]
        rest = await ledger.open_calls(not_owner="own_2", after="call_c")
        assert [one.id for one in rest] == ["call_d"]
        assert await ledger.open_calls(not_owner=OWNER) == ()

    run(test)


def test_a_call_between_two_attempts_can_be_closed(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(Fail(attempt_end("a", "unsent")))
        await ledger.commit(CloseCall(call_end("a", "failed")))
        assert await ledger.open_calls(not_owner="own_2") == ()

    run(test)


def test_assets_are_found_by_age_and_forgotten_by_file(run):
    async def test(ledger):
        for name, expires_at in (("a", 30.0), ("b", None), ("c", 10.0)):
            await ledger.commit(admit(name))
            await ledger.commit(
                Settle(attempt_end(name), (asset(name, expires_at=expires_at), asset(name, 1)))
            )
        assert [one.id for one in await ledger.expired_assets(30.0)] == ["img_c_0", "img_a_0"]
        assert [one.id for one in await ledger.expired_assets(29.9)] == ["img_c_0"]
        assert [one.id for one in await ledger.oldest_assets(limit=3)] == [
            "img_a_0",
            "img_a_1",
            "img_b_0",
        ]
        await ledger.commit(ForgetFile("a.body"))
        await ledger.commit(ForgetFile("a.body"))
        assert await ledger.assets_of("call_a") == ()
        assert await ledger.asset_bytes() == 4_000

    run(test)


def test_a_note_that_does_not_fit_is_logged_and_harms_no_one(run, caplog):
    async def test(ledger):
        ledger.note(settle("z"))
        await ledger.commit(admit("a"))
        assert await ledger.get_call("call_a") == call("a")

    run(test)
    assert [record.message for record in caplog.records] == ["ledger.note_lost"]


def test_a_closed_ledger_takes_nothing(run):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.aclose()
        with pytest.raises(LedgerUnavailableError, match="closed"):
            await ledger.commit(admit("b"))

    run(test)


def test_the_memory_ledger_keeps_nothing_of_a_closed_call():
    async def test():
        ledger = MemoryLedger()
        await ledger.commit(admit("a"))
        await ledger.commit(admit("b"))
        await ledger.commit(settle("a"))
        ledger.note(Delivered("call_a", 1.0))
        ledger.note(Delivered("call_b", 2.0))
        assert await ledger.get_call("call_a") is None
        assert (await ledger.attempts_of("call_a"), await ledger.assets_of("call_a")) == ((), ())
        assert await ledger.asset_bytes() == 0
        assert await ledger.get_call("call_b") == call("b", delivered_at=2.0)

    asyncio.run(test())


def test_the_memory_ledger_keeps_a_closed_call_while_a_part_is_open():
    async def test():
        ledger = MemoryLedger()
        await ledger.commit(admit("a"))
        await ledger.commit(Redispatch(attempt("a", 2)))
        await ledger.commit(settle("a"))
        assert (await ledger.get_call("call_a")).state == "done"

    asyncio.run(test())


def test_a_key_is_free_again_only_behind_a_call_that_failed(run):
    async def test(ledger):
        await ledger.commit(admit("a", idempotency_key="k"))
        await ledger.commit(FreeKey("call_a"))
        assert await ledger.call_by_key("k") is not None
        await ledger.commit(fail("a", "refused", cost_e10=0))
        await ledger.commit(FreeKey("call_a"))
        assert await ledger.call_by_key("k") is None

    run(test)

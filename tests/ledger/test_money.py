"""Budgets, reservations, entries and limits, on a file and on a Postgres."""

import asyncio
import contextlib
import datetime
import itertools

import pytest
from sqlalchemy import text

from imagegate.ledger.budget import EVERY_END_USER
from imagegate.ledger.people import AddBudget, ChangeBudget, RemoveBudget
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    ConflictError,
    Fail,
    HoldOrphans,
    KeepAlive,
    Limit,
    RateDeniedError,
    Redispatch,
    Settle,
)
from imagegate.ledger.registry import Registry
from imagegate.ledger.store import SqlLedger, open_ledger
from tests.ledger.databases import in_loop
from tests.ledger.rows import admit, attempt, attempt_end, budget, call, call_end, fail, settle

PRICE_E10 = 2_110_000_000
KEY = "key:key_1"


async def budgets(ledger: SqlLedger) -> dict[str, tuple[int, int]]:
    """Return what is spent and reserved of each budget, by its subject."""
    found = await Registry(ledger).budgets(None)
    return {one.subject: (one.spent_e10, one.reserved_e10) for one in found}


async def rows(ledger: SqlLedger, query: str) -> list[tuple[object, ...]]:
    return await ledger.read(
        lambda connection: [tuple(one) for one in connection.execute(text(query))]
    )


def asked(name: str, **changes) -> Admit:
    """A call of key_1; what it costs at most is PRICE_E10."""
    fields = {"key_id": "key_1", "team_id": "team_1", "end_user": "zoë"}
    return admit(name, **fields | changes)


@pytest.mark.parametrize(
    "subject", [KEY, "team:team_1", "end_user:zoë", "model:gpt-image-2", "provider:openai"]
)
def test_a_call_is_reserved_then_spent_in_each_budget_it_counts_against(ledger_url, subject):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(subject, 3 * PRICE_E10)))
        await ledger.commit(AddBudget(budget("model:other", 1)))
        await ledger.commit(asked("a"))
        assert (await budgets(ledger))[subject] == (0, PRICE_E10)
        await ledger.commit(settle("a", cost_e10=7))
        assert await budgets(ledger) == {subject: (7, 0), "model:other": (0, 0)}
        assert await rows(ledger, "SELECT count(reserved) FROM attempts") == [(0,)]

    in_loop(ledger_url, test)


def test_a_full_budget_denies_by_name_and_writes_nothing(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, PRICE_E10, name="Red")))
        await ledger.commit(asked("a"))
        with pytest.raises(
            BudgetDeniedError, match=r"'Red' \(key:key_1, .*has 0 of 0.211"
        ) as error:
            await ledger.commit(asked("b"))
        assert error.value.subject == KEY
        assert await ledger.get_call("call_b") is None
        assert await budgets(ledger) == {KEY: (0, PRICE_E10)}

    in_loop(ledger_url, test)


def test_five_hundred_at_once_into_a_budget_for_a_hundred(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 100 * PRICE_E10)))
        seen = []

        async def one(name: str) -> bool:
            try:
                await ledger.commit(asked(name))
            except BudgetDeniedError:
                return False
            seen.append((await budgets(ledger))[KEY])
            return True

        results = await asyncio.gather(*(one(f"n{number}") for number in range(500)))
        assert sum(results) == 100
        assert all(spent + reserved <= 100 * PRICE_E10 for spent, reserved in seen)
        assert await budgets(ledger) == {KEY: (0, 100 * PRICE_E10)}

    in_loop(ledger_url, test)


def test_two_processes_share_one_budget_on_postgres(postgres_server):
    url = postgres_server.new_url()

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            ledgers = []
            for _ in range(2):
                ledgers.append(open_ledger(url))
                stack.push_async_callback(ledgers[-1].aclose)
            await ledgers[0].commit(AddBudget(budget(KEY, 100 * PRICE_E10)))
            names = (f"n{number}" for number in range(500))
            calls = zip(itertools.cycle(ledgers), names, strict=False)
            results = await asyncio.gather(
                *(ledger.commit(asked(name)) for ledger, name in calls), return_exceptions=True
            )
            assert results.count(None) == 100
            assert await budgets(ledgers[1]) == {KEY: (0, 100 * PRICE_E10)}

    asyncio.run(test())


@pytest.mark.parametrize("state", ["unsent", "refused"])
def test_what_was_not_billed_is_given_back(ledger_url, state):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, PRICE_E10)))
        await ledger.commit(asked("a"))
        await ledger.commit(fail("a", state, cost_e10=0))
        assert await budgets(ledger) == {KEY: (0, 0)}
        assert await rows(ledger, "SELECT count(*) FROM entries") == [(0,)]
        await ledger.commit(asked("b"))

    in_loop(ledger_url, test)


def test_a_refusal_that_is_billed_is_charged(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, PRICE_E10)))
        await ledger.commit(asked("a"))
        await ledger.commit(fail("a", "refused", cost_e10=3))
        assert await budgets(ledger) == {KEY: (3, 0)}
        assert await rows(ledger, "SELECT kind, amount_e10 FROM entries") == [("charge", 3)]

    in_loop(ledger_url, test)


def test_an_unknown_end_holds_its_charge_until_a_late_image_settles_it(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10)))
        await ledger.commit(asked("a"))
        await ledger.commit(fail("a", "unknown"))
        assert await budgets(ledger) == {KEY: (PRICE_E10, 0)}
        await ledger.commit(settle("a", cost_e10=9))
        assert await budgets(ledger) == {KEY: (9, 0)}
        found = await rows(
            ledger, "SELECT kind, debit, credit, amount_e10 FROM entries ORDER BY kind"
        )
        assert found == [
            ("charge", "team:team_1", "provider:openai", 9),
            ("hold", "team:team_1", "held:openai", PRICE_E10),
            ("unhold", "held:openai", "team:team_1", PRICE_E10),
        ]
        sums = "SELECT DISTINCT charged_e10, held_e10, attempts, unknown FROM spend_days"
        assert await rows(ledger, sums) == [(9, 0, 1, 0)]

    in_loop(ledger_url, test)


def test_an_image_whose_cost_is_unknown_is_never_free(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10)))
        await ledger.commit(asked("a"))
        await ledger.commit(settle("a"))
        assert await budgets(ledger) == {KEY: (PRICE_E10, 0)}

    in_loop(ledger_url, test)


def test_a_call_without_a_price_passes_no_budget_and_counts_as_unknown_without_one(ledger_url):
    def unpriced(name: str) -> Admit:
        return Admit(call(name, key_id="key_1"), attempt(name, estimate_e10=None))

    async def test(ledger):
        await ledger.commit(unpriced("a"))
        await ledger.commit(settle("a"))
        sums = "SELECT DISTINCT charged_e10, held_e10, attempts, unknown FROM spend_days"
        assert await rows(ledger, sums) == [(0, 0, 1, 1)]
        await ledger.commit(AddBudget(budget(KEY, PRICE_E10)))
        with pytest.raises(BudgetDeniedError, match="price of openai/gpt-image-2 is unknown"):
            await ledger.commit(unpriced("b"))

    in_loop(ledger_url, test)


def test_parts_are_reserved_together_or_not_at_all(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10)))
        parts = (attempt("a", 2), attempt("a", 3))
        whole = Admit(call("a", key_id="key_1"), attempt("a"), parts)
        with pytest.raises(BudgetDeniedError, match=r"may cost up to 0\.633"):
            await ledger.commit(whole)
        assert await budgets(ledger) == {KEY: (0, 0)}
        await ledger.commit(Admit(whole.call, whole.attempt, parts[:1]))
        assert await budgets(ledger) == {KEY: (0, 2 * PRICE_E10)}

    in_loop(ledger_url, test)


def test_a_move_to_another_provider_moves_the_reservation(ledger_url):
    async def test(ledger):
        for subject in (KEY, "provider:openai", "provider:azure"):
            await ledger.commit(AddBudget(budget(subject, PRICE_E10)))
        await ledger.commit(asked("a"))
        moved = attempt("a", 2, provider="azure")
        await ledger.commit(Redispatch(moved, attempt_end("a", "unsent", cost_e10=0)))
        free, taken = (0, 0), (0, PRICE_E10)
        expected = {KEY: taken, "provider:openai": free, "provider:azure": taken}
        assert await budgets(ledger) == expected
        await ledger.commit(Settle(attempt_end("a", number=2, cost_e10=5), (), call_end("a")))
        assert await budgets(ledger) == {
            KEY: (5, 0),
            "provider:openai": free,
            "provider:azure": (5, 0),
        }

    in_loop(ledger_url, test)


def test_a_move_counts_against_whatever_the_call_does(ledger_url):
    async def test(ledger):
        await ledger.commit(asked("a"))
        subjects = (KEY, "team:team_1", "end_user:zoë", "model:gpt-image-2")
        for subject in subjects:
            await ledger.commit(AddBudget(budget(subject, PRICE_E10)))
        await ledger.commit(Redispatch(attempt("a", 2), attempt_end("a", "unsent", cost_e10=0)))
        assert await budgets(ledger) == dict.fromkeys(subjects, (0, PRICE_E10))

    in_loop(ledger_url, test)


def test_a_move_is_denied_where_the_other_provider_has_no_room(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget("provider:azure", 1)))
        await ledger.commit(asked("a"))
        moved = attempt("a", 2, provider="azure")
        with pytest.raises(BudgetDeniedError, match="provider:azure"):
            await ledger.commit(Redispatch(moved, attempt_end("a", "unsent", cost_e10=0)))
        assert [one.state for one in await ledger.attempts_of("call_a")] == ["dispatched"]

    in_loop(ledger_url, test)


def test_a_budget_begins_anew_with_its_period(ledger_url):
    async def test(ledger):
        over = budget(KEY, PRICE_E10, period="day", resets_at=1.0, spent_e10=PRICE_E10)
        await ledger.commit(AddBudget(over))
        await ledger.commit(asked("a"))
        (found,) = await Registry(ledger).budgets(None)
        assert (found.spent_e10, found.reserved_e10) == (0, PRICE_E10)
        assert found.resets_at - found.period_start == 86_400
        start = datetime.datetime.fromtimestamp(found.period_start, datetime.UTC)
        assert (start.hour, start.minute, start.second) == (0, 0, 0)

    in_loop(ledger_url, test)


def test_a_hold_of_an_earlier_period_does_not_make_this_one_negative(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10, period="day", resets_at=4e9)))
        await ledger.commit(asked("a"))
        await ledger.commit(fail("a", "unknown"))
        await ledger.read(lambda _: None)
        async with _edited(ledger, "UPDATE budgets SET resets_at = 1"):
            await ledger.commit(settle("a", cost_e10=9))
        assert await budgets(ledger) == {KEY: (0, 0)}

    in_loop(ledger_url, test)


@pytest.mark.parametrize(
    ("change", "limits_e10"),
    [(RemoveBudget("bud_all"), []), (ChangeBudget("bud_all", "all", 7, None), [7, 7])],
)
def test_a_budget_like_another_follows_it_even_in_the_group_that_makes_it(
    ledger_url, change, limits_e10
):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(EVERY_END_USER, PRICE_E10, id="bud_all")))
        assert await asyncio.to_thread(ledger._write, [asked("a"), change]) == [None, None]
        found = await Registry(ledger).budgets(None)
        assert [one.limit_e10 for one in found] == limits_e10

    in_loop(ledger_url, test)


def test_two_ends_of_an_attempt_do_not_go_in_one_group(ledger_url):
    """The second one counts on what the first one booked; the writer then writes each alone."""

    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, PRICE_E10)))
        await ledger.commit(asked("a"))
        ends = [fail("a", "unknown"), settle("a", cost_e10=9)]
        with pytest.raises(ConflictError, match="ends twice"):
            await asyncio.to_thread(ledger._write, ends)
        assert await budgets(ledger) == {KEY: (0, PRICE_E10)}
        for end in ends:
            await ledger.commit(end)
        assert await budgets(ledger) == {KEY: (9, 0)}

    in_loop(ledger_url, test)


@contextlib.asynccontextmanager
async def _edited(ledger: SqlLedger, statement: str):
    """Change a row as no command does, to make time pass."""

    def edit() -> None:
        with ledger._database.writer.begin() as connection:
            connection.execute(text(statement))

    await asyncio.to_thread(edit)
    yield


def test_a_reservation_of_a_process_that_died_is_held_and_of_a_living_one_is_not(ledger_url):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10)))
        await ledger.commit(KeepAlive("own_2"))
        await ledger.commit(asked("a"))
        await ledger.commit(
            Admit(call("b", key_id="key_1", owner="own_2"), attempt("b", owner="own_2"))
        )
        await ledger.commit(HoldOrphans())
        assert await budgets(ledger) == {KEY: (0, 2 * PRICE_E10)}
        async with _edited(
            ledger, "UPDATE attempts SET reserved_until = 1 WHERE reserved_until > 1"
        ):
            await ledger.commit(HoldOrphans())
        assert await budgets(ledger) == {KEY: (PRICE_E10, PRICE_E10)}
        await ledger.commit(HoldOrphans())
        await ledger.commit(settle("a", cost_e10=4))
        assert await budgets(ledger) == {KEY: (4, PRICE_E10)}

    in_loop(ledger_url, test)


def test_a_budget_can_be_changed_and_removed_while_calls_are_under_way(ledger_url):
    async def test(ledger):
        added = budget(KEY, PRICE_E10)
        await ledger.commit(AddBudget(added))
        await ledger.commit(asked("a"))
        await ledger.commit(ChangeBudget(added.id, "Blue", 3 * PRICE_E10, None))
        await ledger.commit(asked("b"))
        assert await budgets(ledger) == {KEY: (0, 2 * PRICE_E10)}
        await ledger.commit(RemoveBudget(added.id))
        await ledger.commit(settle("a", cost_e10=4))
        assert await budgets(ledger) == {}

    in_loop(ledger_url, test)


def test_the_soft_limit_is_told_once(ledger_url, caplog):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 9 * PRICE_E10, soft_e10=10)))
        for name in "abc":
            await ledger.commit(asked(name))
            await ledger.commit(settle(name, cost_e10=6))

    in_loop(ledger_url, test)
    assert [one.message for one in caplog.records] == ["budget.soft_limit"]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(KEY, requests_per_minute=2), "2 requests in this minute"),
        (Limit(KEY, images_per_minute=5), "may ask for 5; this call is for 2"),
        (Limit(KEY, calls_in_flight=2), "2 calls in flight"),
        (Limit("team:team_1", calls_in_flight=2), "team:team_1 has 2 calls in flight"),
    ],
)
def test_a_limit_lets_two_calls_pass_and_not_a_third(ledger_url, limit, words):
    async def test(ledger):
        fields = {"key_id": "key_1", "team_id": "team_1"}

        def limited(name: str) -> Admit:
            return Admit(call(name, **fields), attempt(name), limits=(limit,), images=2)

        # Both of one minute: whoever starts in its last moment is let through anew.
        results = await asyncio.gather(
            *(ledger.commit(limited(name)) for name in "abc"), return_exceptions=True
        )
        (refusal,) = [one for one in results if one is not None]
        assert isinstance(refusal, RateDeniedError)
        assert words in str(refusal)
        assert 0 < refusal.retry_after_s <= 60

    in_loop(ledger_url, test)


def test_a_call_that_ended_is_in_flight_no_more(ledger_url):
    async def test(ledger):
        limits = (Limit(KEY, calls_in_flight=1),)
        await ledger.commit(Admit(call("a", key_id="key_1"), attempt("a"), limits=limits))
        await ledger.commit(settle("a", cost_e10=1))
        await ledger.commit(Admit(call("b", key_id="key_1"), attempt("b"), limits=limits))
        await ledger.commit(Fail(attempt_end("b", "unsent", cost_e10=0), call_end("b", "failed")))

    in_loop(ledger_url, test)

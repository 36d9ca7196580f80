"""A commit of which nobody heard whether it was made: what it admitted is withdrawn."""

import asyncio

import psycopg
import pytest

from imagegate.ledger.records import LedgerUnavailableError
from tests.ledger.databases import in_loop
from tests.ledger.rows import admit


def test_what_was_written_though_everybody_was_told_otherwise(postgres_server):
    async def test(ledger) -> None:
        dialect = ledger._database.writer.dialect
        commit = dialect.do_commit

        def commit_and_break(connection) -> None:
            dialect.do_commit = commit
            commit(connection)
            raise psycopg.OperationalError("the connection broke")

        dialect.do_commit = commit_and_break
        with pytest.raises(LedgerUnavailableError, match="broke"):
            await ledger.commit(admit("a"))
        assert (await ledger.get_call("call_a")).state == "running"
        await ledger.commit(admit("b"))
        (attempt,) = await ledger.attempts_of("call_a")
        assert (attempt.state, attempt.cost_e10) == ("unsent", 0)
        assert (await ledger.get_call("call_a")).state == "failed"
        assert (await ledger.get_call("call_b")).state == "running"

    in_loop(postgres_server.new_url(), test)


@pytest.mark.parametrize("times", [1, 2])
def test_a_commit_that_fails_ends_nothing_but_itself(ledger_url, times):
    """As where the disk is full at that moment. Twice: neither way to write gets it through."""

    async def test(ledger) -> None:
        dialect = ledger._database.writer.dialect
        commit, left = dialect.do_commit, [dialect.loaded_dbapi.OperationalError("full")] * times

        def commit_or_not(connection) -> None:
            if left:
                raise left.pop()
            commit(connection)

        dialect.do_commit = commit_or_not
        results = await asyncio.gather(ledger.commit(admit("a")), return_exceptions=True)
        left.clear()
        await ledger.commit(admit("b"))
        assert (await ledger.get_call("call_b")).state == "running"
        was_taken = results == [None]
        found = await ledger.get_call("call_a")
        assert (found is not None) is was_taken
        assert was_taken is (times == 1 and not ledger.is_shared)

    in_loop(ledger_url, test)

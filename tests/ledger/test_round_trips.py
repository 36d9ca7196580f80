"""Statements that go to Postgres together: their answers, failures and broken connections."""

import asyncio

import pytest
from sqlalchemy.exc import DBAPIError

from imagegate.ledger.records import ConflictError, LedgerUnavailableError
from imagegate.ledger.round_trips import round_trips
from imagegate.ledger.store import open_ledger
from tests.ledger.rows import admit


@pytest.fixture
def connection(postgres_server):
    ledger = open_ledger(postgres_server.new_url())
    with ledger._connection.begin():
        ledger._database.enter(ledger._connection)
        yield ledger._connection
    ledger.close()


def test_each_gets_its_own_answer_and_nothing_is_sent_before_one_is_looked_at(connection):
    trips = round_trips(connection)
    answers = [trips.add(f"SELECT {number}") for number in range(3)]
    assert [answer.result for answer in answers] == [None, None, None]
    assert [answer.value() for answer in answers] == [0, 1, 2]


def test_more_than_the_sockets_hold_goes_both_ways(connection):
    trips = round_trips(connection)
    text = b'"' + b"x" * 8_000_000 + b'"'
    answers = [trips.add("SELECT $1::json", text) for _ in range(4)]
    assert all(len(answer.value()) == 8_000_000 for answer in answers)


def test_behind_a_failure_nothing_is_run(connection):
    trips = round_trips(connection)
    trips.add("SELECT 1 / 0")
    with pytest.raises(DBAPIError, match="division by zero"):
        trips.add("SELECT 1").value()
    with pytest.raises(DBAPIError, match="current transaction is aborted"):
        trips.add("SELECT 1").value()


def test_what_was_prepared_before_a_failure_is_in_nobodys_way(postgres_server):
    ledger = open_ledger(postgres_server.new_url())
    with ledger._connection.begin() as transaction:
        ledger._database.enter(ledger._connection)
        trips = round_trips(ledger._connection)
        for sql in (*(f"SELECT {number}" for number in range(9)), "SELECT * FROM nowhere"):
            trips.add(sql)
        with pytest.raises(DBAPIError, match="nowhere"):
            trips.make()
        transaction.rollback()
    assert ledger._write([admit("a")]) == [None]
    ledger.close()


def test_another_count_of_rows_is_a_conflict(connection):
    trips = round_trips(connection)
    trips.add("UPDATE calls SET owner = owner", rowcount=1)
    with pytest.raises(ConflictError):
        trips.make()


def test_whoever_does_not_take_the_answers_leaves_none_to_the_next(postgres_server):
    class Full:
        def register(self, *_given) -> None:
            raise MemoryError

    ledger = open_ledger(postgres_server.new_url())
    ledger._write([admit("a")])
    round_trips(ledger._connection)._socket = Full()
    with pytest.raises(LedgerUnavailableError):
        ledger._write([admit("b")])
    assert ledger._write([admit("c")]) == [None]
    found = [asyncio.run(ledger.get_call(f"call_{name}")) for name in "abc"]
    ledger.close()
    assert [call is not None for call in found] == [True, False, True]

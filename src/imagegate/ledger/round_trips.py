"""Sends statements to Postgres together, in as few round trips as there are answers to wait for.

The group of a busy gateway has two dozen statements. An answer that is waited for costs two changes
of thread, and a cursor of psycopg ten times the CPU of libpq's own calls. Those are made here: each
statement is prepared once a connection, and goes through libpq's pipeline.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from imagegate.ledger.database import told
from imagegate.ledger.records import ConflictError

if TYPE_CHECKING:  # an extra, which is not always there
    from psycopg.pq.abc import PGconn, PGresult

MISSED = "what is to be changed is missing, or has ended already"
_HERE = "imagegate.round_trips"  # where a connection keeps its own
_IS_DONE = frozenset((1, 2))  # libpq's PGRES_COMMAND_OK and PGRES_TUPLES_OK


class Answer:
    """What a statement meets; it is waited for when it is looked at.

    `rowcount` is how many rows it has to change, None for any number.
    """

    def __init__(
        self, wait: Callable[[], None], sql: str, parameters: list[bytes], rowcount: int | None
    ) -> None:
        self._wait = wait
        self.sql = sql
        self.parameters = parameters
        self.rowcount = rowcount
        self.result: Any = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value() or ())

    def value(self) -> Any:
        """Return the one value that was asked for, which is JSON; None for null."""
        if self.result is None:
            self._wait()
        text = self.result.get_value(0, 0)
        return None if text is None else msgspec.json.decode(text)


class RoundTrips:
    """The statements of one connection, in order."""

    def __init__(self, connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        self._connection = connection
        self._errors: Any = connection.dialect.loaded_dbapi
        self._libpq: PGconn = driver.pgconn
        self._names: dict[str, bytes] = {}
        self._waiting: list[Answer] = []
        self._socket = select.poll()

    def begin(self) -> None:
        """Begin a transaction; what was never sent of the one before is forgotten."""
        self._waiting.clear()
        self.add("BEGIN")

    def add(self, sql: str, *parameters: bytes, rowcount: int | None = None) -> Answer:
        """Return what a statement will meet; it goes with the next answer that is waited for."""
        answer = Answer(self.make, sql, list(parameters), rowcount)
        self._waiting.append(answer)
        return answer

    def make(self) -> None:
        """Send what was added and wait for all answers.

        Raises what SQLAlchemy would, and ConflictError where a count of rows is another.
        """
        answers, self._waiting = self._waiting, []
        if not answers:
            return
        answer = answers[-1]
        try:
            self._prepare(answers)
            names, send = self._names, self._libpq.send_query_prepared
            results = self._exchange(send, [(names[one.sql], one.parameters) for one in answers])
            for answer, result in zip(answers, results, strict=True):
                self._check(result)
                if answer.rowcount not in (None, result.command_tuples):
                    raise ConflictError(MISSED)
                answer.result = result
        except self._errors.Error as error:
            raise told(self._connection, answer.sql, error) from error

    def _prepare(self, answers: Sequence[Answer]) -> None:
        """Let Postgres know the statements that it has not met on this connection."""
        new = dict.fromkeys(one.sql for one in answers if one.sql not in self._names)
        if not new:
            return
        names = {sql: b"imagegate_%d" % at for at, sql in enumerate(new, len(self._names))}
        prepared = [(name, sql.encode()) for sql, name in names.items()]
        results = self._exchange(self._libpq.send_prepare, prepared)
        for sql, result in zip(names, results, strict=True):
            self._check(result)
            # Now, not after the last: what comes before a failure stays prepared, name and all.
            self._names[sql] = names[sql]

    def _exchange(
        self, send: Callable[..., None], each: Sequence[tuple[Any, ...]]
    ) -> list[PGresult]:
        """Send each and return the results; of what comes after a failure none is run."""
        try:
            return self._results(send, each)
        except BaseException:
            # An answer that nobody took would be the next one's: this connection answers no more.
            self._libpq.finish()
            raise

    def _results(
        self, send: Callable[..., None], each: Sequence[tuple[Any, ...]]
    ) -> list[PGresult]:
        libpq = self._libpq
        libpq.enter_pipeline_mode()
        for one in each:
            send(*one)
        libpq.pipeline_sync()
        while libpq.flush():
            self._wait(select.POLLIN | select.POLLOUT)
        results = []
        for _ in range(len(each) + 1):  # the last says that all is done
            while libpq.is_busy():
                self._wait(select.POLLIN)
            result = libpq.get_result()
            if result is None:
                raise self._errors.OperationalError("the connection is gone")
            results.append(result)
            libpq.get_result()  # says that there is no more of it
        libpq.exit_pipeline_mode()
        return results[:-1]

    def _wait(self, events: int) -> None:
        self._socket.register(self._libpq.socket, events)
        self._socket.poll()
        self._libpq.consume_input()

    def _check(self, result: PGresult) -> None:
        if result.status not in _IS_DONE:
            raise self._errors.errors.error_from_result(result)


def round_trips(connection: Connection) -> RoundTrips:
    """Return those of a connection to Postgres."""
    trips = connection.info.get(_HERE)
    if trips is None:
        trips = connection.info[_HERE] = RoundTrips(connection)
    return trips

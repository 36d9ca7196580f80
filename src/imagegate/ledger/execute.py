"""Runs the ledger's statements from text that is made once for each database.

For a group of one call, SQLAlchemy's way from a statement to its text and from a row to its
columns costs more than SQLite itself. Transactions and connections stay SQLAlchemy's, and so do
the errors: they are raised as what it would make of them.

A parameter is named after the field that it is, or `b_` and that name. To Postgres a statement is
sent no sooner than the rows of one of them are looked at, or at `flush` (see `round_trips`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Executable, Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from imagegate.ledger.batch import Types, change_of, question_of
from imagegate.ledger.database import told
from imagegate.ledger.records import ConflictError
from imagegate.ledger.round_trips import MISSED, round_trips

Parameters: TypeAlias = Mapping[str, object]
Rows: TypeAlias = Iterable[Sequence[Any]]

_AMONG = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")


class _Text(NamedTuple):
    """A statement as a database takes it.

    `places` are its parameters in the order of its text, `constants` the values that stand in the
    statement itself, `lists` the parameters that are lists; `take` takes the values of the
    parameters from a row.
    """

    sql: str
    places: Sequence[str]
    constants: dict[str, object]
    lists: tuple[str, ...]
    take: Callable[[Struct], Sequence[object]]


def execute(connection: Connection, statement: Select[Any], parameters: Parameters) -> Rows:
    """Return what `statement` finds.

    A list among the parameters stands where it says `in_(bindparam(expanding=True))`.
    """
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    given: dict[str, Any] = {**text.constants, **parameters}
    if not is_file:
        return round_trips(connection).add(text.sql, msgspec.json.encode(given))
    given.update((name, msgspec.json.encode(given[name]).decode()) for name in text.lists)
    driver: Any = connection.connection.dbapi_connection
    try:
        rows: Rows = driver.execute(text.sql, [given[name] for name in text.places]).fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        raise told(connection, text.sql, error) from error
    return rows


def execute_many(
    connection: Connection,
    statement: Executable,
    rows: Sequence[Struct],
    *,
    is_exact: bool = False,
) -> None:
    """Run `statement` once for each row.

    Raises ConflictError where it `is_exact` and did not change one row for each.
    """
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    if not is_file:
        count = len(rows) if is_exact else None
        round_trips(connection).add(text.sql, msgspec.json.encode(rows), rowcount=count)
        return
    driver: Any = connection.connection.dbapi_connection
    try:
        changed = driver.executemany(text.sql, map(text.take, rows))
    except connection.dialect.loaded_dbapi.Error as error:
        raise told(connection, text.sql, error) from error
    if is_exact and changed.rowcount != len(rows):
        raise ConflictError(MISSED)


def flush(connection: Connection) -> None:
    """Send what was not sent yet; raises what any of it met."""
    if connection.dialect.name != "sqlite":
        round_trips(connection).make()


def _taker(places: Sequence[str]) -> Callable[[Struct], Sequence[object]]:
    """Return what takes the values of parameters from a row, in their order.

    For a name SQLite's driver lets go of Python's lock and takes it again, for a place it does not.
    """
    fields = [name.removeprefix("b_") for name in places]
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda row: [getattr(row, name) for name in fields]


@cache
def _compiled(statement: Executable, is_file: bool) -> _Text:
    assert isinstance(statement, ClauseElement)
    kind: Callable[..., Dialect] = sqlite.dialect if is_file else postgresql.psycopg.dialect
    compiled: Any = statement.compile(dialect=kind(paramstyle="qmark" if is_file else "pyformat"))
    sql, constants = str(compiled), compiled.params
    lists = tuple(_AMONG.findall(sql))
    places: Sequence[str] = tuple(compiled.positiontup or ())
    if is_file:
        sql, places = _of_file(sql, places)
    else:
        types = {name: bind.type for name, bind in compiled.binds.items() if name in constants}
        sql = _of_postgres(statement, sql, types)
    return _Text(
        sql=sql,
        places=places,
        constants={name: value for name, value in constants.items() if value is not None},
        lists=lists,
        take=_taker(places),
    )


def _of_postgres(statement: Executable, sql: str, types: Types) -> str:
    if isinstance(statement, Select):
        return question_of(sql, types, len(statement.selected_columns))
    return change_of(sql, types)


def _of_file(sql: str, places: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return a statement whose list, if any, is one JSON text, and its parameters in order."""
    among = _AMONG.search(sql)
    if among is None or "GROUP BY" in sql:
        return _AMONG.sub("IN (SELECT value FROM json_each(?))", sql), places
    # As a table to begin with: among what is selected, SQLite sorts it into one more table.
    sql = _AMONG.sub("= given.value", sql).replace(
        "FROM ", "FROM json_each(?) AS given CROSS JOIN ", 1
    )
    return sql, (among[1], *(name for name in places if name != among[1]))

"""Runs the ledger's statements from text that is made once for each database.

For a group of one call, SQLAlchemy's way from a statement to its text and from a row to its
columns costs more than SQLite itself. Transactions and connections stay SQLAlchemy's, and so do
the errors: they are raised as what it would make of them.

A parameter is named after the field that it is, or `b_` and that name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Executable, Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from imagegate.ledger.batch import ROWS, in_one
from imagegate.ledger.database import told

Parameters: TypeAlias = Mapping[str, object]
Rows: TypeAlias = Sequence[Sequence[Any]]

_AMONG = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")


class Changed(Protocol):
    """What a statement met that changes rows: how many it changed."""

    rowcount: int


class _Text(NamedTuple):
    """A statement as a database takes it.

    `places` are its parameters in the order of its text, `constants` the values that stand in the
    statement itself, `lists` the parameters that are lists; `has_rows` says whether it returns any.
    `of_many` takes many rows at once, None where there is no such form; then `take` takes the
    values of the parameters from a row.
    """

    sql: str
    places: Sequence[str]
    constants: dict[str, object]
    lists: tuple[str, ...]
    has_rows: bool
    of_many: str | None
    take: Callable[[Struct], Sequence[object]]


def execute(connection: Connection, statement: Executable, parameters: Parameters) -> Rows:
    """Run `statement` once; return what it finds.

    A list among the parameters stands where it says `in_(bindparam(expanding=True))`.
    """
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    given: Any = {**text.constants, **parameters}
    if is_file:
        given.update((name, _json(given[name])) for name in text.lists)
        given = [given[name] for name in text.places]
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.execute(text.sql, given)
        rows: Rows = cursor.fetchall() if text.has_rows else ()
    except connection.dialect.loaded_dbapi.Error as error:
        raise told(connection, text.sql, error) from error
    return rows


def execute_many(connection: Connection, statement: Executable, rows: Sequence[Struct]) -> Changed:
    """Run `statement` once for each row; return how many rows it changed in all."""
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    driver: Any = connection.connection.dbapi_connection
    changed: Changed
    try:
        if text.of_many is None:
            changed = driver.executemany(text.sql, map(text.take, rows))
        else:
            changed = driver.execute(text.of_many, {ROWS: _json(rows)})
    except connection.dialect.loaded_dbapi.Error as error:
        raise told(connection, text.sql, error) from error
    return changed


def _json(given: object) -> str:
    return msgspec.json.encode(given).decode()


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
    types = {name: bind.type for name, bind in compiled.binds.items() if name in constants}
    if is_file:
        sql, places = _of_file(sql, places)
    return _Text(
        sql=_AMONG.sub(r"= ANY(%(\1)s)", sql),
        places=places,
        constants={name: value for name, value in constants.items() if value is not None},
        lists=lists,
        has_rows=isinstance(statement, Select),
        of_many=None if is_file or lists else in_one(sql, types),
        take=_taker(places),
    )


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

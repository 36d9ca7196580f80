"""Runs the ledger's statements from text that is made once for each database.

For a group of one call, SQLAlchemy's way from a statement to its text and from a row to its
columns costs more than SQLite itself. Transactions and connections stay SQLAlchemy's, and so do
the errors: they are raised as what it would make of them.

A parameter is named after the field that it is, or `b_` and that name.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Executable, Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from imagegate.ledger.batch import ROWS, in_one

Parameters: TypeAlias = Mapping[str, object]
Row: TypeAlias = Mapping[str, Any]

_AMONG = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")


class Found:
    """The rows that a statement returned."""

    def __init__(self, rows: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        self._rows = rows
        self._names = names

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self._rows)

    def mappings(self) -> list[Row]:
        """Return each row by the names of its columns."""
        return [dict(zip(self._names, row, strict=True)) for row in self._rows]

    def scalars(self) -> list[Any]:
        """Return the first column."""
        return [row[0] for row in self._rows]


class Changed(Protocol):
    """What a statement met that changes rows: how many it changed."""

    rowcount: int


class _Text(NamedTuple):
    """A statement as a database takes it.

    `places` are its parameters in the order of its text, `constants` the values that stand in the
    statement itself, `lists` the parameters that are lists, `names` the columns that it returns.
    `of_many` takes many rows at once, None where there is no such form.
    """

    sql: str
    places: Sequence[str]
    constants: dict[str, object]
    lists: tuple[str, ...]
    names: tuple[str, ...]
    of_many: str | None


def execute(connection: Connection, statement: Executable, parameters: Parameters) -> Found:
    """Run `statement` once. A list stands where it says `in_(bindparam(expanding=True))`."""
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    given: Any = {**text.constants, **parameters}
    if is_file:
        given.update((name, _json(given[name])) for name in text.lists)
        given = [given[name] for name in text.places]
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.execute(text.sql, given)
        return Found(cursor.fetchall() if text.names else (), text.names)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _told(connection, text.sql, error) from error


def execute_many(connection: Connection, statement: Executable, rows: Sequence[Struct]) -> Changed:
    """Run `statement` once for each row; return how many rows it changed in all."""
    is_file = connection.dialect.name == "sqlite"
    text = _compiled(statement, is_file)
    driver: Any = connection.connection.dbapi_connection
    changed: Changed
    try:
        if text.of_many is None:
            changed = driver.executemany(text.sql, map(_taker(text.places), rows))
        else:
            changed = driver.execute(text.of_many, {ROWS: _json(rows)})
    except connection.dialect.loaded_dbapi.Error as error:
        raise _told(connection, text.sql, error) from error
    return changed


def _json(given: object) -> str:
    return msgspec.json.encode(given).decode()


@cache
def _taker(places: Sequence[str]) -> Callable[[Struct], Sequence[object]]:
    """Return what takes the values of a statement's parameters from a row, in their order.

    For a name SQLite's driver lets go of Python's lock and takes it again, for a place it does not.
    """
    fields = [name.removeprefix("b_") for name in places]
    take = attrgetter(*fields)
    return take if len(fields) > 1 else lambda row: (take(row),)


def _told(connection: Connection, sql: str, error: Exception) -> Exception:
    """Return what SQLAlchemy makes of an error; a connection that is gone is not used again."""
    driver = connection.connection.dbapi_connection
    is_gone = connection.dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]
    if is_gone:
        connection.invalidate(error)
    kind = connection.dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, kind, connection_invalidated=is_gone)


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
        names=tuple(statement.selected_columns.keys()) if isinstance(statement, Select) else (),
        of_many=None if is_file or lists else in_one(sql, types),
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

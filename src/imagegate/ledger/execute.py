"""Runs the ledger's statements from text that is made once for each database.

For a group of one call, SQLAlchemy's way from a statement to its text and from a row to its
columns costs more than SQLite itself. Transactions and connections stay SQLAlchemy's, and so do
the errors: they are raised as what it would make of them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec
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
    """What a statement met: how many rows it changed, or the rows that it returned."""

    def __init__(self, rows: Sequence[Sequence[Any]], names: Sequence[str], rowcount: int) -> None:
        self._rows = rows
        self._names = names
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self._rows)

    def mappings(self) -> list[Row]:
        """Return each row by the names of its columns."""
        return [dict(zip(self._names, row, strict=True)) for row in self._rows]

    def scalars(self) -> list[Any]:
        """Return the first column."""
        return [row[0] for row in self._rows]


class _Text(NamedTuple):
    """A statement as a database takes it.

    `constants` are the values that stand in the statement itself, `lists` the parameters that are
    lists, `names` the columns that it returns. `of_many` takes many rows at once, None where there
    is no such form.
    """

    sql: str
    constants: dict[str, object]
    lists: tuple[str, ...]
    names: tuple[str, ...]
    of_many: str | None


def execute(
    connection: Connection, statement: Executable, rows: Parameters | Sequence[Parameters]
) -> Found:
    """Run `statement` with one set of parameters, or once for each of several.

    A list among the parameters of the one stands where the statement says
    `in_(bindparam(expanding=True))`.
    """
    is_file = connection.dialect.name == "sqlite"
    found = _compiled(statement, is_file)
    driver: Any = connection.connection.dbapi_connection
    try:
        if isinstance(rows, Mapping):
            given = {**found.constants, **rows}
            for name in found.lists if is_file else ():
                given[name] = json.dumps(given[name])
            cursor = driver.execute(found.sql, given)
            return Found(cursor.fetchall() if found.names else (), found.names, cursor.rowcount)
        return Found((), (), _execute_many(driver, found, rows))
    except connection.dialect.loaded_dbapi.Error as error:
        raise _told(connection, found.sql, error) from error


def _execute_many(driver: Any, found: _Text, rows: Sequence[Parameters]) -> int:
    """Return how many rows were changed."""
    given = [{**found.constants, **row} for row in rows] if found.constants else rows
    if found.of_many is not None:
        cursor = driver.execute(found.of_many, {ROWS: msgspec.json.encode(given).decode()})
    else:
        cursor = driver.cursor()
        cursor.executemany(found.sql, given)
    return int(cursor.rowcount)


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
    compiled: Any = statement.compile(dialect=kind(paramstyle="named" if is_file else "pyformat"))
    sql, constants = str(compiled), compiled.params
    lists = tuple(_AMONG.findall(sql))
    among = r"IN (SELECT value FROM json_each(:\1))" if is_file else r"= ANY(%(\1)s)"
    types = {name: bind.type for name, bind in compiled.binds.items() if name in constants}
    return _Text(
        sql=_AMONG.sub(among, sql),
        constants={name: value for name, value in constants.items() if value is not None},
        lists=lists,
        names=tuple(statement.selected_columns.keys()) if isinstance(statement, Select) else (),
        of_many=None if is_file or lists else in_one(sql, types),
    )

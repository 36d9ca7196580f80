"""Runs the ledger's statements from text that is made once for each database.

For a group of one call, SQLAlchemy's way from a statement to its text and from a row to its
columns costs more than SQLite itself. Transactions and connections stay SQLAlchemy's, and so do
the errors: on a file they are raised as what it would make of them.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

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


def execute(
    connection: Connection, statement: Executable, rows: Parameters | Sequence[Parameters]
) -> Found:
    """Run `statement` with one set of parameters, or once for each of several.

    A list among the parameters of the one stands where the statement says
    `in_(bindparam(expanding=True))`.
    """
    is_file = connection.dialect.name == "sqlite"
    sql, constants = _compiled(statement, is_file)
    if isinstance(rows, Mapping):
        given = {**constants, **rows}
        return _execute_in_file(connection, sql, given) if is_file else _ask(connection, sql, given)
    several = [{**constants, **row} for row in rows]
    return _execute_in_file(connection, sql, several) if is_file else _ask(connection, sql, several)


def _ask(
    connection: Connection, sql: str, given: dict[str, object] | list[dict[str, object]]
) -> Found:
    result = connection.exec_driver_sql(sql, given)
    if not result.returns_rows:
        return Found((), (), result.rowcount)
    return Found(result.fetchall(), tuple(result.keys()), result.rowcount)


def _execute_in_file(
    connection: Connection, sql: str, given: dict[str, object] | list[dict[str, object]]
) -> Found:
    file = connection.connection.dbapi_connection
    assert isinstance(file, sqlite3.Connection)
    try:
        if isinstance(given, list):
            return Found((), (), file.executemany(sql, given).rowcount)
        cursor = file.execute(sql, {name: _as_json(value) for name, value in given.items()})
        names = tuple(column[0] for column in cursor.description or ())
        return Found(cursor.fetchall(), names, cursor.rowcount)
    except sqlite3.Error as error:
        raise DBAPIError.instance(sql, given, error, sqlite3.Error) from error


@cache
def _compiled(statement: Executable, is_file: bool) -> tuple[str, dict[str, object]]:
    """Return the text of a statement, and the values that stand in the statement itself."""
    assert isinstance(statement, ClauseElement)
    kind: Callable[..., Dialect] = sqlite.dialect if is_file else postgresql.psycopg.dialect
    compiled = statement.compile(dialect=kind(paramstyle="named" if is_file else "pyformat"))
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    among = r"IN (SELECT value FROM json_each(:\1))" if is_file else r"= ANY(%(\1)s)"
    return _AMONG.sub(among, str(compiled)), constants


def _as_json(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else value

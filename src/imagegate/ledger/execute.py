"""Runs the ledger's statements from text that is made once for each database.

For a group of one call SQLAlchemy's way from a statement to its text costs more than the database
itself; transactions, errors and connections stay SQLAlchemy's.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

Parameters: TypeAlias = Mapping[str, object]

_AMONG = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")


def execute(
    connection: Connection, statement: Executable, rows: Parameters | Sequence[Parameters]
) -> CursorResult[*tuple[Any, ...]]:
    """Run `statement` with one set of parameters, or once for each of several.

    A list among the parameters of the one stands where the statement says
    `in_(bindparam(expanding=True))`.
    """
    is_file = connection.dialect.name == "sqlite"
    sql, constants = _compiled(statement, is_file)
    if not isinstance(rows, Mapping):
        return connection.exec_driver_sql(sql, [{**constants, **row} for row in rows])
    given = {**constants, **rows}
    if is_file:
        given = {name: _as_json(value) for name, value in given.items()}
    return connection.exec_driver_sql(sql, given)


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

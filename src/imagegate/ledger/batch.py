"""One statement of Postgres for many rows: they come as one JSON text and are a table to it.

Sending each row by itself costs the gateway twice the CPU. Pure text.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, Integer, Text
from sqlalchemy.types import TypeEngine

ROWS = "rows"
"""The one parameter: a JSON list of objects."""

_TYPES: dict[type[TypeEngine[Any]], str] = {
    BigInteger: "bigint",
    Integer: "integer",
    Double: "double precision",
    Boolean: "boolean",
    Text: "text",
}
_PLACE = re.compile(r"%\((?:b_)?(\w+)\)s(?:::[A-Z]+)?")
_VALUES = re.compile(r" VALUES \(([^)]*)\)")


def in_one(sql: str, types: Mapping[str, TypeEngine[Any]]) -> str | None:
    """Return an INSERT, UPDATE or DELETE of one row as one of all rows of the parameter `rows`.

    `types` are those of its parameters; None where one of them is of no known type.
    """
    if not all(type(kind) in _TYPES for kind in types.values()):
        return None
    fields = {name.removeprefix("b_"): _TYPES[type(kind)] for name, kind in types.items()}
    columns = ", ".join(f'"{name}" {kind}' for name, kind in fields.items())
    table = f"json_to_recordset(%({ROWS})s::json) AS given({columns})"
    sql = _PLACE.sub(r'given."\1"', sql)
    if sql.startswith("INSERT"):
        return _VALUES.sub(rf" SELECT \1 FROM {table}", sql, count=1)  # noqa: S608 - our own words
    word = "USING" if sql.startswith("DELETE") else "FROM"
    return sql.replace(" WHERE ", f" {word} {table} WHERE ", 1)

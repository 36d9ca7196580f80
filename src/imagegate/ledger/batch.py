"""Statements as Postgres takes them: one JSON text goes in, and one comes back where rows are read.

A row at a time, or a value at a time, costs the gateway twice the CPU. Pure text.

What is compared with the one element of an array can be looked up in an index. It can be neither
hashed nor sorted by, as what is compared with a column can, so that no plan begins with a table
that happens to be small.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Boolean, Double, Integer, Text
from sqlalchemy.types import TypeEngine

_TYPES: dict[type[TypeEngine[Any]], str] = {
    BigInteger: "bigint",
    Integer: "integer",
    Double: "double precision",
    Boolean: "boolean",
    Text: "text",
}
_PLACE = re.compile(r"%\((\w+)\)s(?:::[A-Z]+)?")
_ROW_PLACE = re.compile(r"%\((?:b_)?(\w+)\)s(?:::[A-Z]+)?")
_EQUAL = re.compile(rf"(?<= )= {_ROW_PLACE.pattern}")
_AMONG = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")
_JOINED = re.compile(r" ON (\w+\.\w+) = (\w+\.\w+)")
_VALUES = re.compile(r" VALUES \(([^)]*)\)")

Types: TypeAlias = Mapping[str, TypeEngine[Any]]
"""Those of a statement's parameters."""


def change_of(sql: str, types: Types) -> str:
    """Return an INSERT, UPDATE or DELETE of one row as one of a list of rows."""
    fields = {name.removeprefix("b_"): _TYPES[type(kind)] for name, kind in types.items()}
    columns = ", ".join(f'"{name}" {kind}' for name, kind in fields.items())
    table = f"json_to_recordset($1::json) AS given({columns})"
    sql = _EQUAL.sub(r'= ANY (ARRAY[given."\1"])', sql)
    sql = _ROW_PLACE.sub(r'given."\1"', sql)
    if sql.startswith("INSERT"):
        return _VALUES.sub(rf" SELECT \1 FROM {table}", sql, count=1)  # noqa: S608 - our own words
    word = "USING" if sql.startswith("DELETE") else "FROM"
    return sql.replace(" WHERE ", f" {word} {table} WHERE ", 1)


def question_of(sql: str, types: Types, count: int) -> str:
    """Return a SELECT of `count` columns as one of a single value: its rows, or null for none.

    Its parameters are one object, lists among them.
    """
    sql = _AMONG.sub(r"= ANY (ARRAY(SELECT json_array_elements_text($1::json->'\1')))", sql)
    sql = _JOINED.sub(r" ON \1 = ANY (ARRAY[\2])", sql)
    sql = _PLACE.sub(lambda at: f"($1::json->>'{at[1]}')::{_TYPES[type(types[at[1]])]}", sql)
    names = ", ".join(f"c{number}" for number in range(count))
    rows = f"json_agg(json_build_array({names}))"
    return f"SELECT {rows} FROM ({sql}) AS found({names})"  # noqa: S608 - our own words

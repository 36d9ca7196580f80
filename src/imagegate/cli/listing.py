"""Prints rows: a table for people, one JSON array for machines."""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from imagegate.types import Json


def print_rows(
    rows: Sequence[Json], columns: Mapping[str, str], *, as_json: bool, whole: str = ""
) -> None:
    """Print rows; `columns` are titles by the name of what stands below them.

    The column titled `whole` is never broken into lines, so that it can be copied.
    """
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns.values():
        table.add_column(title, overflow="fold", no_wrap=title == whole)
    for row in rows:
        table.add_row(*(_shown(row.get(name)) for name in columns))
    Console(highlight=False, markup=False).print(table)


def print_object(made: Json, *, as_json: bool) -> None:
    """Print what was made or changed."""
    if as_json:
        sys.stdout.write(json.dumps(made) + "\n")
        return
    for name, value in made.items():
        if value not in (None, [], {}) and name != "object":
            sys.stdout.write(f"{name}: {_shown(value)}\n")


def _shown(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)

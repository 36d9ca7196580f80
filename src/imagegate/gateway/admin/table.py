"""Rows as CSV that no spreadsheet takes for formulas."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from starlette.responses import Response, StreamingResponse

from imagegate.types import Json

PAGES_MAX = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")

Page = tuple[Sequence[dict[str, Json]], str]
"""Rows, and where the next page begins; `""` after the last one."""


def csv_response(
    name: str, columns: Sequence[str], fetch: Callable[[str], Awaitable[Page]]
) -> Response:
    """Return all pages as one CSV file, read while it is sent."""
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(_lines(columns, fetch), media_type="text/csv", headers=headers)


async def _lines(
    columns: Sequence[str], fetch: Callable[[str], Awaitable[Page]]
) -> AsyncIterator[str]:
    yield csv_line(columns)
    cursor = ""
    for _ in range(PAGES_MAX):
        rows, cursor = await fetch(cursor)
        yield "".join(csv_line([row[column] for column in columns]) for row in rows)
        if not cursor:
            return


def csv_line(cells: Sequence[Json]) -> str:
    """Return one line; what a spreadsheet would run is text there."""
    line = io.StringIO()
    csv.writer(line).writerow([_safe(cell) for cell in cells])
    return line.getvalue()


def _safe(cell: Json) -> Json:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return "" if cell is None else cell

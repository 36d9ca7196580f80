"""`/admin/spend`: what was spent, by day, key, team, end user, model, provider or tag."""

import datetime
from typing import get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from imagegate.errors import BadRequestError, PermissionDeniedError
from imagegate.gateway.admin.desk import Desk, page, usd
from imagegate.gateway.admin.table import Page, csv_response
from imagegate.ledger.reports import SpendBy, SpendQuestion, SpendRow
from imagegate.types import Json

COLUMNS = ("value", "charged_usd", "held_usd", "attempts", "unknown")
_BY: tuple[SpendBy, ...] = get_args(SpendBy)


async def list_spend(request: Request) -> Response:
    """Return sums that the caller may see; as CSV all of them. A caller's own are by day."""
    desk = Desk(request)
    question = _question(desk)
    if desk.scope.key_id is not None and question.by != "day":
        raise PermissionDeniedError("This key sees what it spent itself, with by=day.", param="by")
    if desk.text("format") == "csv":

        async def fetch(cursor: str) -> Page:
            following = msgspec.structs.replace(question, after=cursor)
            found = await desk.reports.spend(following, desk.scope)
            return [plain(row) for row in found], _next(found, question.limit)

        return csv_response(f"spend-by-{question.by}", COLUMNS, fetch)
    found = await desk.reports.spend(question, desk.scope)
    return page([plain(row) for row in found], question.limit, _next(found, question.limit))


def _next(found: tuple[SpendRow, ...], limit: int) -> str:
    return found[-1].value if len(found) == limit else ""


def _question(desk: Desk) -> SpendQuestion:
    by = next((one for one in _BY if one == desk.text("by", "day")), None)
    if by is None:
        raise BadRequestError(f"by is one of {', '.join(_BY)}.", param="by")
    return SpendQuestion(
        by=by,
        first_day=_day(desk, "from", "0001-01-01"),
        last_day=_day(desk, "to", "9999-12-31"),
        after=desk.text("after"),
        limit=desk.limit,
    )


def _day(desk: Desk, name: str, default: str) -> str:
    given = desk.text(name, default)
    try:
        return datetime.date.fromisoformat(given).isoformat()
    except ValueError as error:
        raise BadRequestError(
            f"{name} is {given!r}; give a day (UTC) such as 2026-11-20.", param=name
        ) from error


def plain(row: SpendRow) -> dict[str, Json]:
    """Return a sum as JSON; what is held may yet be given back."""
    return {
        "value": row.value,
        "charged_usd": usd(row.charged_e10),
        "held_usd": usd(row.held_e10),
        "attempts": row.attempts,
        "unknown": row.unknown,
    }

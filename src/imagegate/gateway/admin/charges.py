"""`/admin/charges`: what may have been billed, and how an admin settles it."""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.errors import ImageError, NotFoundError
from imagegate.gateway.admin.desk import Desk, page, usd, usd_e10
from imagegate.gateway.admin.table import Page, csv_response
from imagegate.ledger.records import OPEN_ATTEMPT_STATES
from imagegate.ledger.reports import ChargeRow
from imagegate.ledger.review import Reconcile
from imagegate.types import Json

COLUMNS = (
    "id",
    "call_id",
    "state",
    "provider",
    "upstream_model",
    "deployment",
    "dispatched_at",
    "upstream_request_id",
    "held_usd",
    "error_code",
    "model",
    "key_id",
    "team_id",
    "end_user",
)


class Bill(Struct, forbid_unknown_fields=True):
    """What the provider charged, in USD."""

    cost_usd: str | float


async def list_charges(request: Request) -> Response:
    """Return charges that are held because nobody knows them, the oldest first."""
    desk = Desk(request)
    if desk.text("format") == "csv":

        async def fetch(cursor: str) -> Page:
            found = await _fetch(desk, cursor)
            return [plain(row) for row in found], _next(found, desk.limit)

        return csv_response("charges", COLUMNS, fetch)
    found = await _fetch(desk, desk.text("after"))
    return page([plain(row) for row in found], desk.limit, _next(found, desk.limit))


async def settle_charge(request: Request) -> Response:
    """Write what the provider billed, 0 for nothing; the held amount is free again.

    The same again changes nothing. Raises `NotFoundError`, and 409 for another amount or an
    attempt that has not ended.
    """
    desk = Desk(request)
    cost_e10 = usd_e10((await desk.read(Bill)).cost_usd, "cost_usd")
    row = await desk.reports.charge(desk.id)
    if row is None:
        raise NotFoundError(f"There is no held charge {desk.id!r}.", code="charge_not_found")
    if row.cost_e10 is None:
        _check_ended(row)
        settled = plain(row) | {"cost_usd": usd(cost_e10)}
        reconcile = Reconcile(row.attempt_id, cost_e10, clock.now_s())
        await desk.commit(reconcile, before=plain(row), after=settled)
    elif row.cost_e10 != cost_e10:
        raise ImageError(
            f"{row.attempt_id} is settled already, at {usd(row.cost_e10)} USD; nothing changed.",
            code="charge_settled",
            http_status=409,
        )
    return JSONResponse(plain(row) | {"cost_usd": usd(cost_e10)})


async def _fetch(desk: Desk, after: str) -> tuple[ChargeRow, ...]:
    return await desk.reports.unknown_charges(after=after, limit=desk.limit)


def _next(found: tuple[ChargeRow, ...], limit: int) -> str:
    return found[-1].attempt_id if len(found) == limit else ""


def _check_ended(row: ChargeRow) -> None:
    if row.state in OPEN_ATTEMPT_STATES:
        raise ImageError(
            f"{row.attempt_id} has not ended. The gateway that made it ends it when it starts "
            "again with its own assets folder; its answer may be there.",
            code="charge_open",
            http_status=409,
        )


def plain(row: ChargeRow) -> dict[str, Json]:
    """Return a charge as JSON; `held_usd` is null where nobody knows what it may be at most."""
    return {
        "object": "charge",
        "id": row.attempt_id,
        "call_id": row.call_id,
        "state": row.state,
        "provider": row.provider,
        "upstream_model": row.upstream_model,
        "deployment": row.deployment_id,
        "dispatched_at": row.dispatched_at,
        "upstream_request_id": row.upstream_request_id or None,
        "held_usd": usd(row.held_e10),
        "cost_usd": usd(row.cost_e10),
        "error_code": row.error_code or None,
        "model": row.model,
        "key_id": row.key_id,
        "team_id": row.team_id,
        "end_user": row.end_user or None,
    }

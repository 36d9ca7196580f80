"""`/admin/audit`: what admins did, written in the transaction of what they did."""

import json

from msgspec.structs import asdict, replace
from starlette.requests import Request
from starlette.responses import Response

from imagegate.gateway.admin.desk import Desk, page
from imagegate.gateway.admin.table import Page, csv_response
from imagegate.ledger.review import AuditRecord
from imagegate.ledger.reviews import AuditQuestion
from imagegate.types import Json

COLUMNS = AuditRecord.__struct_fields__


async def list_audit(request: Request) -> Response:
    """Return entries, the newest first; as CSV all of them."""
    desk = Desk(request)
    question = AuditQuestion(
        key_id=desk.text("key"),
        target=desk.text("target"),
        before=desk.text("after"),
        limit=desk.limit,
    )
    if desk.text("format") == "csv":

        async def fetch(cursor: str) -> Page:
            found = await desk.reviews.audit(replace(question, before=cursor))
            return [asdict(one) for one in found], _next(found, question.limit)

        return csv_response("audit", COLUMNS, fetch)
    found = await desk.reviews.audit(question)
    return page([plain(one) for one in found], question.limit, _next(found, question.limit))


def _next(found: tuple[AuditRecord, ...], limit: int) -> str:
    return found[-1].id if len(found) == limit else ""


def plain(entry: AuditRecord) -> dict[str, Json]:
    """Return an entry as JSON."""
    fields: dict[str, Json] = asdict(entry)
    for name in ("before", "after"):
        fields[name] = json.loads(fields[name]) if fields[name] else None
    return {"object": "audit_entry", **fields}

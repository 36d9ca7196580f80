"""`/admin/end_users`: what is said about single end users; all others may call."""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.errors import BadRequestError
from imagegate.gateway.admin.desk import Desk, one_of, page
from imagegate.gateway.options import END_USER_CHARS_MAX
from imagegate.ledger.people import EndUserRecord, PutEndUser
from imagegate.types import Json

NOTE_CHARS_MAX = 2000


class EndUserState(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said about an end user, by the id that callers send."""

    id: str
    is_blocked: bool = False
    note: str = ""


async def list_end_users(request: Request) -> Response:
    """Return the end users about whom something is said, by id."""
    desk = Desk(request)
    found = await desk.registry.end_users(after=desk.text("after"), limit=desk.limit)
    return page([plain(one) for one in found], desk.limit, found[-1].id if found else "")


async def put_end_user(request: Request) -> Response:
    """Say something about an end user, in place of what was said before."""
    desk = Desk(request)
    state = await desk.read(EndUserState)
    if not 0 < len(state.id) <= END_USER_CHARS_MAX or not state.id.isprintable():
        raise BadRequestError(f"id has 1 to {END_USER_CHARS_MAX} characters.", param="id")
    known = await desk.registry.find_end_user(state.id)
    end_user = EndUserRecord(
        id=state.id,
        is_blocked=state.is_blocked,
        note=state.note[:NOTE_CHARS_MAX],
        created_at=known.created_at if known else clock.now_s(),
    )
    before = plain(known) if known else None
    await desk.commit(PutEndUser(end_user), before=before, after=plain(end_user))
    return JSONResponse(plain(end_user))


async def get_end_user(request: Request) -> Response:
    """Return what is said about one end user."""
    desk = Desk(request)
    found = await desk.registry.end_users(only=desk.id)
    return JSONResponse(plain(one_of(found, "end_user", desk.id)))


def plain(end_user: EndUserRecord) -> dict[str, Json]:
    """Return an end user as JSON."""
    return {
        "object": "end_user",
        "id": end_user.id,
        "is_blocked": end_user.is_blocked,
        "note": end_user.note,
        "created_at": end_user.created_at,
    }

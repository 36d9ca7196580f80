"""What all admin routes do: read a strict body, narrow to the caller's team, answer in pages."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.catalogue.price import format_usd
from imagegate.errors import BadRequestError, ImageError, NotFoundError, OverloadedError
from imagegate.gateway.body import BodyReader
from imagegate.gateway.connection import connection_of
from imagegate.ledger.people import Account, Audited, Change, Permissions
from imagegate.ledger.permissions import QUALITIES
from imagegate.ledger.records import Command, ConflictError, LedgerError
from imagegate.ledger.registry import Registry
from imagegate.ledger.reports import Reports, Scope
from imagegate.ledger.review import AuditRecord, Review
from imagegate.ledger.reviews import Reviews
from imagegate.runtime.assemble import Runtime
from imagegate.types import Json

BODY_BYTES_MAX = 64 * 1024
PAGE_ROWS = 100
PAGE_ROWS_MAX = 500
NAME_CHARS_MAX = 200
USD_MAX = 10**8
RETRY_S = 2.0

T = TypeVar("T")
R = TypeVar("R", bound=Struct)


class Desk:
    """One admin request: who asks, and the ledger that is asked."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.account: Account = request.state.account
        self.runtime: Runtime = request.app.state.gateway.runtime
        self._ledger = self.runtime.ledger
        self.registry = Registry(self._ledger)
        self.reports = Reports(self._ledger)
        self.reviews = Reviews(self._ledger)

    @property
    def id(self) -> str:
        """The id that the path names."""
        return str(self.request.path_params["id"])

    @property
    def team_id(self) -> str | None:
        """The only team that may be seen; None: all."""
        return None if self.account.role == "admin" else self.account.team_id or ""

    @property
    def scope(self) -> Scope:
        """What of calls and spend may be seen."""
        match self.account.role:
            case "admin":
                return Scope()
            case "team_admin":
                return Scope(team_id=self.account.team_id or "")
        return Scope(key_id=self.account.key_id or "")

    async def read(self, shape: type[T]) -> T:
        """Return the body. Raises `BadRequestError` for any field that may not be written."""
        connection = connection_of(self.request.scope)
        reader = BodyReader(connection, dict(self.request.headers.raw), BODY_BYTES_MAX)
        chunks = []
        while chunk := await reader.next_chunk():
            chunks.append(chunk)
        try:
            return msgspec.json.decode(b"".join(chunks) or b"{}", type=shape)
        except msgspec.MsgspecError as error:
            raise BadRequestError(
                f"The body does not fit: {error}.", code="invalid_body"
            ) from error

    async def record(self) -> None:
        """Write down that something was looked at, and nothing changed."""
        await self.commit(None)

    async def commit(
        self,
        command: Command | Change | Review | None,
        *,
        before: Mapping[str, Json] | None = None,
        after: Mapping[str, Json] | None = None,
    ) -> None:
        """Write a change and the record of it; keys are looked up anew from now on.

        `before` and `after` are what was changed as its routes show it, without secrets. Raises
        what the caller is told.
        """
        try:
            await self._ledger.commit(Audited(command, self._entry(before, after)))
        except ConflictError as error:
            raise ImageError(
                "That is there already, or was changed meanwhile by somebody else.",
                code="conflict",
                http_status=409,
            ) from error
        except LedgerError as error:
            raise OverloadedError(
                f"The ledger takes nothing at the moment ({error}).",
                code="ledger_unavailable",
                retry_after_s=RETRY_S,
            ) from error
        finally:
            self.request.app.state.gateway.keys.forget()

    def _entry(
        self, before: Mapping[str, Json] | None, after: Mapping[str, Json] | None
    ) -> AuditRecord:
        state, shown = self.request.state, before or after or {}
        return AuditRecord(
            id=clock.new_id("audit"),
            at=clock.now_s(),
            key_id=self.account.key_id,
            role=self.account.role,
            action=state.action,
            target=str(shown.get("id") or "/".join(map(str, self.request.path_params.values()))),
            before=_differing(before, after),
            after=_differing(after, before),
            request_id=state.request_id,
        )

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return self.request.query_params.get(name, default)

    @property
    def limit(self) -> int:
        """How many rows a page has. Raises `BadRequestError`."""
        given = self.text("limit", str(PAGE_ROWS))
        if not given.isdecimal() or not 0 < int(given) <= PAGE_ROWS_MAX:
            raise BadRequestError(f"limit is 1 to {PAGE_ROWS_MAX}, not {given!r}.", param="limit")
        return int(given)


def _differing(one: Mapping[str, Json] | None, other: Mapping[str, Json] | None) -> str | None:
    """Return as JSON what `one` says otherwise than `other`, all where there is no other."""
    if one is None:
        return None
    kept = {name: value for name, value in one.items() if not other or other.get(name) != value}
    return json.dumps(kept)


def page(rows: Sequence[Json], limit: int, last: str) -> Response:
    """Return one page; `next` is what to send as `after` for the following one."""
    return JSONResponse(
        {"object": "list", "data": list(rows), "next": last if len(rows) == limit else None}
    )


def one_of(found: Sequence[R], what: str, name: str) -> R:
    """Return the row. Raises `NotFoundError` where there is none that the caller may see."""
    if not found:
        raise NotFoundError(f"There is no {what} {name!r}.", code=f"{what}_not_found")
    return found[0]


def checked_name(name: str) -> str:
    """Return a name without blanks around it. Raises `BadRequestError`."""
    name = name.strip()
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise BadRequestError(
            f"A name has 1 to {NAME_CHARS_MAX} printable characters.", param="name"
        )
    return name


def permissions_json(permissions: Permissions) -> str:
    """Return permissions as they are stored. Raises `BadRequestError` for a limit that is none."""
    limits = {
        name: value
        for name, value in msgspec.structs.asdict(permissions).items()
        if isinstance(value, int)
    }
    for name, value in limits.items():
        if value < 0:
            raise BadRequestError(f"{name} is {value}; give 0 or more.", param=name)
    if permissions.quality_max not in (None, *QUALITIES):
        raise BadRequestError(f"quality_max is one of {', '.join(QUALITIES)}.", param="quality_max")
    return msgspec.json.encode(permissions).decode()


def plain_permissions(text: str) -> Json:
    """Return stored permissions as JSON."""
    return msgspec.to_builtins(msgspec.json.decode(text, type=Permissions))


def plain_tags(text: str) -> Json:
    """Return stored tags as JSON."""
    return json.loads(text)


def usd_e10(value: str | float, param: str) -> int:
    """Return an amount of USD as written, in 1e-10 USD. Raises `BadRequestError`."""
    try:
        amount = Decimal(str(value)).scaleb(10)
    except DecimalException:
        amount = Decimal(-1)
    is_amount = amount.is_finite() and 0 <= amount <= USD_MAX * 10**10
    if not is_amount or amount != amount.to_integral_value():
        raise BadRequestError(
            f"{param} is {value!r}; give USD from 0 to {USD_MAX} with at most ten decimals.",
            param=param,
        )
    return int(amount)


def usd(e10: int | None) -> str | None:
    """Return an amount as exact decimal USD, None where it is unknown."""
    return None if e10 is None else format_usd(e10)

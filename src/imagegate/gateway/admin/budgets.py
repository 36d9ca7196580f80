"""`/admin/budgets`: limits on what a key, team, end user, model group or provider may spend."""

from typing import get_args

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.errors import BadRequestError
from imagegate.gateway.admin.desk import Desk, checked_name, one_of, page, usd, usd_e10
from imagegate.ledger.budget import EVERY_END_USER, period_at, subject
from imagegate.ledger.people import (
    AddBudget,
    BudgetRecord,
    ChangeBudget,
    Period,
    RemoveBudget,
    SubjectKind,
)
from imagegate.types import Json

SUBJECT_CHARS_MAX = 256
KINDS: tuple[SubjectKind, ...] = get_args(SubjectKind)


class NewBudget(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a budget begins as. `kind` and `of` say whose it is: a kind and an id or a name.

    `every_end_user` has no `of`: each end user without a budget of its own gets one like it.
    """

    kind: SubjectKind
    of: str = ""
    limit_usd: str | float
    soft_limit_usd: str | float | None = None
    period: Period = "none"
    name: str = ""


class BudgetChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a budget is to be different; what is spent and reserved stays."""

    name: str | UnsetType = UNSET
    limit_usd: str | float | UnsetType = UNSET
    soft_limit_usd: str | float | UnsetType | None = UNSET


async def list_budgets(request: Request) -> Response:
    """Return the budgets that the caller may see, by id."""
    desk = Desk(request)
    found = await desk.registry.budgets(desk.team_id, after=desk.text("after"), limit=desk.limit)
    return page([plain(one) for one in found], desk.limit, found[-1].id if found else "")


async def add_budget(request: Request) -> Response:
    """Add a budget and return it. It counts what is admitted from now on."""
    desk = Desk(request)
    new = await desk.read(NewBudget)
    now_s = clock.now_s()
    start, resets_at = period_at(new.period, now_s)
    budget = BudgetRecord(
        id=clock.new_id("bud"),
        subject=_subject(new),
        name=checked_name(new.name or f"{new.kind} {new.of}"),
        team_id=await _team_of(desk, new),
        limit_e10=usd_e10(new.limit_usd, "limit_usd"),
        soft_e10=_soft_e10(new.soft_limit_usd),
        period=new.period,
        period_start=start,
        resets_at=resets_at,
        created_at=now_s,
    )
    await desk.commit(AddBudget(budget), after=plain(budget))
    return JSONResponse(plain(budget), status_code=201)


async def get_budget(request: Request) -> Response:
    """Return one budget, with what is spent and reserved of it."""
    return JSONResponse(plain(await _find(Desk(request))))


async def change_budget(request: Request) -> Response:
    """Change what the body names of a budget, and return it."""
    desk = Desk(request)
    change = await desk.read(BudgetChange)
    budget = found = await _find(desk)
    if not isinstance(change.name, UnsetType):
        budget = replace(budget, name=checked_name(change.name))
    if not isinstance(change.limit_usd, UnsetType):
        budget = replace(budget, limit_e10=usd_e10(change.limit_usd, "limit_usd"))
    if not isinstance(change.soft_limit_usd, UnsetType):
        budget = replace(budget, soft_e10=_soft_e10(change.soft_limit_usd))
    budget = replace(budget, template_id=None)
    command = ChangeBudget(budget.id, budget.name, budget.limit_e10, budget.soft_e10)
    await desk.commit(command, before=plain(found), after=plain(budget))
    return JSONResponse(plain(budget))


async def remove_budget(request: Request) -> Response:
    """Remove a budget; what was spent stays in the reports."""
    desk = Desk(request)
    budget = await _find(desk)
    await desk.commit(RemoveBudget(budget.id), before=plain(budget))
    return JSONResponse({"object": "budget", "id": budget.id, "is_removed": True})


async def _find(desk: Desk) -> BudgetRecord:
    return one_of(await desk.registry.budgets(desk.team_id, only=desk.id), "budget", desk.id)


async def _team_of(desk: Desk, new: NewBudget) -> str | None:
    """Return the team that may see the budget. Raises where its key or team is not there."""
    if new.kind == "team":
        return one_of(await desk.registry.teams(None, only=new.of), "team", new.of).id
    if new.kind == "key":
        return one_of(await desk.registry.keys(None, only=new.of), "key", new.of).team_id
    return None


def _subject(new: NewBudget) -> str:
    if new.kind != "every_end_user":
        return subject(new.kind, _checked_of(new.of))
    if new.of not in ("", "*"):
        raise BadRequestError("every_end_user is no single one: leave 'of' out.", param="of")
    return EVERY_END_USER


def _checked_of(of: str) -> str:
    if not 0 < len(of) <= SUBJECT_CHARS_MAX or not of.isprintable():
        raise BadRequestError(f"of has 1 to {SUBJECT_CHARS_MAX} characters.", param="of")
    return of


def _soft_e10(value: str | float | None) -> int | None:
    return None if value is None else usd_e10(value, "soft_limit_usd")


def plain(budget: BudgetRecord) -> dict[str, Json]:
    """Return a budget as JSON. A period that is over has nothing spent in the next one yet."""
    kind, _, of = budget.subject.partition(":")
    is_over = budget.resets_at is not None and clock.now_s() >= budget.resets_at
    return {
        "object": "budget",
        "id": budget.id,
        "name": budget.name,
        "kind": kind,
        "of": of,
        "team_id": budget.team_id,
        "limit_usd": usd(budget.limit_e10),
        "soft_limit_usd": usd(budget.soft_e10),
        "period": budget.period,
        "resets_at": budget.resets_at,
        "spent_usd": usd(0 if is_over else budget.spent_e10),
        "reserved_usd": usd(budget.reserved_e10),
        "created_at": budget.created_at,
        "template_id": budget.template_id,
    }

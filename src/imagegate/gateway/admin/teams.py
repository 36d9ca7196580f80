"""`/admin/teams`."""

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.gateway.admin.desk import (
    Desk,
    checked_name,
    one_of,
    page,
    permissions_json,
    plain_permissions,
)
from imagegate.ledger.people import AddTeam, ChangeTeam, Permissions, PromptStorage, TeamRecord
from imagegate.types import Json


class NewTeam(Struct, frozen=True, forbid_unknown_fields=True):
    """What a team begins as."""

    name: str
    permissions: Permissions = Permissions()
    prompt_storage: PromptStorage = "none"


class TeamChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a team is to be different; the rest stays."""

    name: str | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    prompt_storage: PromptStorage | UnsetType = UNSET
    is_blocked: bool | UnsetType = UNSET


async def list_teams(request: Request) -> Response:
    """Return the teams that the caller may see, by id."""
    desk = Desk(request)
    found = await desk.registry.teams(desk.team_id, after=desk.text("after"), limit=desk.limit)
    return page([plain(one) for one in found], desk.limit, found[-1].id if found else "")


async def add_team(request: Request) -> Response:
    """Add a team and return it."""
    desk = Desk(request)
    new = await desk.read(NewTeam)
    team = TeamRecord(
        id=clock.new_id("team"),
        name=checked_name(new.name),
        prompt_storage=new.prompt_storage,
        permissions=permissions_json(new.permissions),
        created_at=clock.now_s(),
    )
    await desk.commit(AddTeam(team), after=plain(team))
    return JSONResponse(plain(team), status_code=201)


async def get_team(request: Request) -> Response:
    """Return one team."""
    desk = Desk(request)
    return JSONResponse(plain(await _find(desk)))


async def change_team(request: Request) -> Response:
    """Change what the body names of a team, and return it."""
    desk = Desk(request)
    change = await desk.read(TeamChange)
    team = found = await _find(desk)
    if not isinstance(change.name, UnsetType):
        team = replace(team, name=checked_name(change.name))
    if not isinstance(change.permissions, UnsetType):
        team = replace(team, permissions=permissions_json(change.permissions))
    if not isinstance(change.prompt_storage, UnsetType):
        team = replace(team, prompt_storage=change.prompt_storage)
    if not isinstance(change.is_blocked, UnsetType):
        team = replace(team, is_blocked=change.is_blocked)
    await desk.commit(ChangeTeam(team), before=plain(found), after=plain(team))
    return JSONResponse(plain(team))


async def _find(desk: Desk) -> TeamRecord:
    return one_of(await desk.registry.teams(desk.team_id, only=desk.id), "team", desk.id)


def plain(team: TeamRecord) -> dict[str, Json]:
    """Return a team as JSON."""
    return {
        "object": "team",
        "id": team.id,
        "name": team.name,
        "is_blocked": team.is_blocked,
        "prompt_storage": team.prompt_storage,
        "permissions": plain_permissions(team.permissions),
        "created_at": team.created_at,
    }

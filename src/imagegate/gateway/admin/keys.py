"""`/admin/keys`: a key is shown once, when it is made or rotated; only its hash stays."""

import json

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.errors import BadRequestError, PermissionDeniedError
from imagegate.gateway.admin.desk import (
    Desk,
    checked_name,
    one_of,
    page,
    permissions_json,
    plain_permissions,
    plain_tags,
)
from imagegate.gateway.options import TAG_CHARS_MAX, TAGS_MAX
from imagegate.ledger.keys import KEY_MARK, new_secret
from imagegate.ledger.people import AddKey, ChangeKey, KeyRecord, Permissions, Role, RotateKey
from imagegate.types import Json

OVERLAP_S = 24 * 3600.0
OVERLAP_S_MAX = 90 * 24 * 3600.0


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key begins as; `expires_at` is in unix seconds."""

    name: str
    team_id: str | None = None
    role: Role = "caller"
    permissions: Permissions = Permissions()
    tags: tuple[str, ...] = ()
    expires_at: float | None = None


class KeyChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a key is to be different; the rest stays."""

    name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    expires_at: float | UnsetType | None = UNSET


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the secrets so far go on to work beside the new one, in seconds."""

    overlap_s: float = OVERLAP_S


async def list_keys(request: Request) -> Response:
    """Return the keys that the caller may see, by id, without their secrets."""
    desk = Desk(request)
    found = await desk.registry.keys(desk.team_id, after=desk.text("after"), limit=desk.limit)
    return page([plain(one) for one in found], desk.limit, found[-1].id if found else "")


async def add_key(request: Request) -> Response:
    """Add a key; return it with its secret, which is not shown again."""
    desk = Desk(request)
    new = await desk.read(NewKey)
    team_id = await _check_team(desk, new.team_id)
    _check_role(desk, new.role, team_id)
    now_s = clock.now_s()
    key = KeyRecord(
        id=clock.new_id("key"),
        name=checked_name(new.name),
        team_id=team_id,
        role=new.role,
        permissions=permissions_json(new.permissions),
        tags=_tags_json(new.tags),
        created_at=now_s,
        expires_at=new.expires_at,
    )
    whole, secret = new_secret(key.id, now_s)
    await desk.commit(AddKey(key, secret), after=plain(key))
    return JSONResponse(plain(key) | {"key": whole}, status_code=201)


async def get_key(request: Request) -> Response:
    """Return one key with the beginnings of its secrets."""
    desk = Desk(request)
    key = await _find(desk)
    secrets = await desk.registry.secrets_of(key.id)
    shown = [{"prefix": f"{KEY_MARK}{one.prefix}", "expires_at": one.expires_at} for one in secrets]
    return JSONResponse(plain(key) | {"secrets": shown})


async def change_key(request: Request) -> Response:
    """Change what the body names of a key, and return it."""
    desk = Desk(request)
    change = await desk.read(KeyChange)
    key = found = await _find_to_change(desk)
    if not isinstance(change.role, UnsetType):
        _check_role(desk, change.role, key.team_id)
        key = replace(key, role=change.role)
    if not isinstance(change.name, UnsetType):
        key = replace(key, name=checked_name(change.name))
    if not isinstance(change.permissions, UnsetType):
        key = replace(key, permissions=permissions_json(change.permissions))
    if not isinstance(change.tags, UnsetType):
        key = replace(key, tags=_tags_json(change.tags))
    if not isinstance(change.expires_at, UnsetType):
        key = replace(key, expires_at=change.expires_at)
    await desk.commit(ChangeKey(key), before=plain(found), after=plain(key))
    return JSONResponse(plain(key))


async def rotate_key(request: Request) -> Response:
    """Give a key a further secret and return it, once; the others end after the overlap."""
    desk = Desk(request)
    rotation = await desk.read(Rotation)
    if not 0 <= rotation.overlap_s <= OVERLAP_S_MAX:
        raise BadRequestError(f"overlap_s is 0 to {OVERLAP_S_MAX:.0f}.", param="overlap_s")
    key = await _find_to_change(desk)
    now_s = clock.now_s()
    whole, secret = new_secret(key.id, now_s)
    others_end_at = now_s + rotation.overlap_s
    told = {"id": key.id, "prefix": f"{KEY_MARK}{secret.prefix}", "others_end_at": others_end_at}
    await desk.commit(RotateKey(secret, others_end_at), after=told)
    return JSONResponse(plain(key) | {"key": whole})


async def revoke_key(request: Request) -> Response:
    """End a key for good, here at once and on every other process within 5 s."""
    desk = Desk(request)
    key = found = await _find_to_change(desk)
    if key.revoked_at is None:
        key = replace(key, revoked_at=clock.now_s())
        await desk.commit(ChangeKey(key), before=plain(found), after=plain(key))
    return JSONResponse(plain(key))


async def _find(desk: Desk) -> KeyRecord:
    return one_of(await desk.registry.keys(desk.team_id, only=desk.id), "key", desk.id)


async def _find_to_change(desk: Desk) -> KeyRecord:
    """Return a key that the caller may change: nobody gets at a key that may do more."""
    key = await _find(desk)
    is_own = key.id == desk.account.key_id
    if desk.account.role != "admin" and key.role != "caller" and not is_own:
        raise PermissionDeniedError(f"A key of a team's admin cannot change a {key.role} key.")
    return key


async def _check_team(desk: Desk, team_id: str | None) -> str | None:
    """Return the team of a new key: that of its maker, unless an operator names one."""
    if team_id is None:
        return desk.team_id
    return one_of(await desk.registry.teams(desk.team_id, only=team_id), "team", team_id).id


def _check_role(desk: Desk, role: Role, team_id: str | None) -> None:
    """Pass a role that the caller may give."""
    if desk.account.role != "admin" and role == "admin":
        raise PermissionDeniedError(
            f"A key of a team's admin cannot give the role {role!r}.", param="role"
        )
    if role == "team_admin" and team_id is None:
        raise BadRequestError("A team's admin needs a team_id.", param="team_id")


def _tags_json(tags: tuple[str, ...]) -> str:
    if len(tags) > TAGS_MAX or any(not 0 < len(tag) <= TAG_CHARS_MAX for tag in tags):
        raise BadRequestError(
            f"Give at most {TAGS_MAX} tags of at most {TAG_CHARS_MAX} characters.", param="tags"
        )
    return json.dumps(tags)


def plain(key: KeyRecord) -> dict[str, Json]:
    """Return a key as JSON; its secret is not in it."""
    return {
        "object": "key",
        "id": key.id,
        "name": key.name,
        "team_id": key.team_id,
        "role": key.role,
        "permissions": plain_permissions(key.permissions),
        "tags": plain_tags(key.tags),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }

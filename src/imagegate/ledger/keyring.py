"""Finds the account of a key, and forgets it soon, so that a revocation is felt everywhere."""

import json
from collections.abc import Callable

import msgspec
from msgspec import Struct

from imagegate.errors import AuthenticationError, OverloadedError, PermissionDeniedError
from imagegate.ledger.budget import subject
from imagegate.ledger.keys import GivenKey, is_same
from imagegate.ledger.people import (
    Account,
    KeyOwner,
    KeyRecord,
    Permissions,
    SubjectKind,
    TeamRecord,
)
from imagegate.ledger.records import LedgerUnavailableError, Limit
from imagegate.ledger.registry import Registry

FRESH_S = 3.0
"""So long a key is believed to be as it was read; a revocation takes effect within 5 s."""
ENTRIES_MAX = 20_000
_RETRY_S = 2.0


class _Entry(Struct, frozen=True):
    owner: KeyOwner | None
    account: "Account | None"
    read_at_s: float


class KeyRing:
    """The accounts of one process. `monotonic_s` is a clock that never steps back."""

    def __init__(self, registry: Registry, monotonic_s: Callable[[], float]) -> None:
        self._registry = registry
        self._monotonic_s = monotonic_s
        self._entries: dict[str, _Entry] = {}

    async def find(self, given: GivenKey, now_s: float) -> Account:
        """Return the account of the key that a caller sent.

        Raises `AuthenticationError` for a key that is unknown, expired or revoked,
        `PermissionDeniedError` for a blocked team, `OverloadedError` where nobody can say.
        """
        prefix = given.prefix
        if prefix is None:
            raise _unknown()
        entry = self._entries.get(prefix)
        if entry is None or self._monotonic_s() - entry.read_at_s > FRESH_S:
            entry = await self._read(prefix)
        owner, account = entry.owner, entry.account
        if owner is None or account is None or not is_same(given, owner.secret.sha256):
            raise _unknown()
        _check(owner, now_s)
        return account

    def forget(self) -> None:
        """Read every key anew when it is used next."""
        self._entries.clear()

    async def _read(self, prefix: str) -> _Entry:
        started_s = self._monotonic_s()  # what is changed while we read is read again in time
        try:
            owner = await self._registry.find_key(prefix)
        except LedgerUnavailableError as error:
            raise OverloadedError(
                "The gateway cannot look up keys at the moment; send the request again later.",
                code="ledger_unavailable",
                retry_after_s=_RETRY_S,
            ) from error
        entry = _Entry(owner, None if owner is None else account_of(owner), started_s)
        if len(self._entries) >= ENTRIES_MAX:
            self._entries.clear()
        self._entries[prefix] = entry
        return entry


def account_of(owner: KeyOwner) -> Account:
    """Return what a key amounts to when it calls."""
    key, team = owner.key, owner.team
    key_may = msgspec.json.decode(key.permissions, type=Permissions)
    limits = [_limit("key", key.id, key_may)]
    permissions = [(_name_of("key", key), key_may)]
    if team is not None:
        team_may = msgspec.json.decode(team.permissions, type=Permissions)
        limits.append(_limit("team", team.id, team_may))
        permissions.append((_name_of("team", team), team_may))
    return Account(
        role=key.role,
        key_id=key.id,
        team_id=key.team_id,
        tags=tuple(json.loads(key.tags)),
        limits=tuple(limit for limit in limits if limit is not None),
        permissions=tuple(permissions),
        prompt_storage=team.prompt_storage if team else "none",
    )


def _limit(kind: SubjectKind, name: str, permissions: Permissions) -> Limit | None:
    limit = Limit(
        subject(kind, name),
        permissions.requests_per_minute,
        permissions.images_per_minute,
        permissions.calls_in_flight,
    )
    return None if limit == Limit(limit.subject) else limit


def _name_of(kind: SubjectKind, record: KeyRecord | TeamRecord) -> str:
    return f"{kind} {record.name!r} ({record.id})"


def _check(owner: KeyOwner, now_s: float) -> None:
    key, secret, team = owner.key, owner.secret, owner.team
    if key.revoked_at is not None:
        raise AuthenticationError("This key was revoked; ask whoever gave it to you for another.")
    if _is_past(key.expires_at, now_s):
        raise AuthenticationError("This key has expired; ask whoever gave it to you for another.")
    if _is_past(secret.expires_at, now_s):
        raise AuthenticationError(
            "This key was replaced by a newer one, and the time for the change is over."
        )
    if team is not None and team.is_blocked:
        raise PermissionDeniedError(f"The team {team.name!r} ({team.id}) is blocked.")


def _is_past(at: float | None, now_s: float) -> bool:
    return at is not None and now_s >= at


def _unknown() -> AuthenticationError:
    return AuthenticationError(
        "That is not a key of this gateway. Send its master key or a virtual key, not a provider's."
    )

"""Teams, keys, secrets and end users: each field is read as it was written, on both databases."""

from msgspec.structs import replace

from imagegate.ledger.people import (
    AddKey,
    AddTeam,
    ChangeKey,
    ChangeTeam,
    EndUserRecord,
    KeyRecord,
    PutEndUser,
    RotateKey,
    SecretRecord,
    TeamRecord,
)
from imagegate.ledger.registry import Registry
from tests.ledger.databases import in_loop

TEAM = TeamRecord(
    id="team_1",
    name="Red",
    is_blocked=True,
    prompt_storage="hash",
    permissions='{"n_max":1}',
    created_at=1.5,
)
KEY = KeyRecord(
    id="key_1",
    name="door",
    team_id="team_1",
    role="caller",
    permissions='{"n_max":2}',
    tags='["a"]',
    created_at=2.5,
    expires_at=3.5,
    revoked_at=None,
)
SECRET = SecretRecord(prefix="sk-1", key_id="key_1", sha256="00", created_at=4.5, expires_at=None)
END_USER = EndUserRecord(id="zoë", is_blocked=True, note="too many", created_at=5.5)


def test_a_team_and_a_key_are_what_was_written_then_what_was_changed(ledger_url):
    async def test(ledger):
        registry = Registry(ledger)
        await ledger.commit(AddTeam(TEAM))
        await ledger.commit(AddKey(KEY, SECRET))
        owner = await registry.find_key("sk-1")
        assert (owner.team, owner.key, owner.secret) == (TEAM, KEY, SECRET)
        team = replace(TEAM, name="Blue", is_blocked=False, prompt_storage="text", permissions="{}")
        key = replace(
            KEY, name="gate", role="team_admin", permissions="{}", tags="[]", expires_at=None
        )
        key = replace(key, revoked_at=9.5)
        await ledger.commit(ChangeTeam(team))
        await ledger.commit(ChangeKey(key))
        assert await registry.teams(None) == (team,)
        assert await registry.keys(None) == (key,)

    in_loop(ledger_url, test)


def test_a_new_secret_ends_those_that_last_longer(ledger_url):
    async def test(ledger):
        await ledger.commit(AddTeam(TEAM))
        await ledger.commit(AddKey(KEY, SECRET))
        second = replace(SECRET, prefix="sk-2", created_at=5.0)
        third = replace(SECRET, prefix="sk-3", created_at=6.0, expires_at=50.0)
        await ledger.commit(RotateKey(second, 20.0))
        await ledger.commit(RotateKey(third, 30.0))
        ended = (third, replace(second, expires_at=30.0), replace(SECRET, expires_at=20.0))
        assert await Registry(ledger).secrets_of("key_1") == ended

    in_loop(ledger_url, test)


def test_an_end_user_keeps_when_it_was_made(ledger_url):
    async def test(ledger):
        await ledger.commit(PutEndUser(END_USER))
        changed = replace(END_USER, is_blocked=False, note="", created_at=7.5)
        await ledger.commit(PutEndUser(changed))
        assert await Registry(ledger).end_users() == (replace(changed, created_at=5.5),)

    in_loop(ledger_url, test)

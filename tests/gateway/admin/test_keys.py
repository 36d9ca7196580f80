import asyncio
import hashlib
import sqlite3

import pytest

from imagegate.ledger.keyring import FRESH_S, KeyRing
from imagegate.ledger.keys import new_secret, read_key
from imagegate.ledger.people import AddKey, ChangeKey, KeyRecord
from imagegate.ledger.registry import Registry
from imagegate.ledger.store import open_ledger
from tests.gateway.admin.conftest import Operator


def test_a_key_is_shown_once_and_kept_as_a_hash(operator: Operator, tmp_path):
    made = operator.post("/admin/keys", name="app", tags=["web"])
    whole = made["key"]
    assert whole.startswith("sk-ig-")
    assert len(whole) == 6 + 12 + 1 + 43
    shown = operator.get(f"/admin/keys/{made['id']}")
    assert "key" not in shown
    assert [whole.startswith(one["prefix"]) for one in shown["secrets"]] == [True]
    (file,) = tmp_path.rglob("*.db")
    with sqlite3.connect(file) as database:
        (digest,) = database.execute("SELECT sha256 FROM secrets").fetchone()
    database.close()
    assert digest == hashlib.sha256(whole.encode()).hexdigest()
    assert whole.encode() not in file.read_bytes()


@pytest.mark.parametrize("header", ["authorization", "api-key"])
def test_a_key_calls_and_its_call_is_known(operator: Operator, header: str):
    made = operator.post("/admin/keys", name="app", tags=["web"])
    value = f"Bearer {made['key']}" if header == "authorization" else made["key"]
    answer = operator.gateway.post(
        "/v1/images/generations",
        {"model": "img", "prompt": "a fox", "user": "zoe"},
        **{header.replace("-", "_"): value, "x_imagegate_tags": "blue, web"},
    )
    assert answer.status == 200
    (call,) = operator.get("/admin/calls")["data"]
    assert call["key_id"] == made["id"]
    assert call["end_user"] == "zoe"
    assert call["tags"] == ["web", "blue"]
    assert call["cost_usd"] == answer.headers["x-imagegate-cost"]


def test_a_wrong_secret_behind_a_right_prefix_is_refused(operator: Operator):
    whole = operator.post("/admin/keys", name="app")["key"]
    other = whole[:-1] + ("A" if whole[-1] != "A" else "B")
    answer = Operator(operator.gateway, other).generate()
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


def test_a_revoked_key_is_refused_at_once(operator: Operator):
    made = operator.post("/admin/keys", name="app")
    holder = Operator(operator.gateway, made["key"])
    assert holder.generate().status == 200
    assert operator.post(f"/admin/keys/{made['id']}/revoke")["revoked_at"] is not None
    assert "revoked" in holder.generate().error["message"]


def test_an_expired_key_is_refused(operator: Operator):
    holder = operator.holder(expires_at=1.0)
    assert "expired" in holder.generate().error["message"]


def test_a_rotated_key_overlaps_and_then_ends(operator: Operator):
    made = operator.post("/admin/keys", name="app")
    old = Operator(operator.gateway, made["key"])
    new = Operator(operator.gateway, operator.post(f"/admin/keys/{made['id']}/rotate")["key"])
    assert (old.generate().status, new.generate().status) == (200, 200)
    last = operator.post(f"/admin/keys/{made['id']}/rotate", overlap_s=0)["key"]
    assert "replaced" in old.generate().error["message"]
    assert "replaced" in new.generate().error["message"]
    assert Operator(operator.gateway, last).generate().status == 200


def test_a_blocked_team_and_a_blocked_end_user_call_nothing(operator: Operator):
    team = operator.post("/admin/teams", name="Red")["id"]
    holder = operator.holder(team_id=team)
    operator.ask("PUT", "/admin/end_users", {"id": "mallory", "is_blocked": True})
    refused = holder.generate(user="mallory")
    assert (refused.status, refused.error["code"]) == (403, "not_allowed")
    assert holder.generate(user="alice").status == 200
    operator.ask("PATCH", f"/admin/teams/{team}", {"is_blocked": True})
    assert holder.generate().status == 403


@pytest.mark.parametrize(
    ("permissions", "fields", "param"),
    [
        ({"models": ["any"]}, {}, "model"),
        ({"operations": ["edit"]}, {}, None),
        ({"n_max": 1}, {"n": 2}, "n"),
        ({"size_px_max": 1_000_000}, {}, "size"),
        ({"size_px_max": 9_000_000}, {"size": "auto"}, "size"),
        ({"quality_max": "low"}, {"quality": "medium"}, "quality"),
        ({"quality_max": "low"}, {"quality": "auto"}, "quality"),
    ],
)
@pytest.mark.parametrize("whose", ["key", "team"])
def test_what_a_key_or_its_team_may_not_is_refused(operator, permissions, fields, param, whose):
    team = operator.post(
        "/admin/teams", name="Red", permissions=permissions if whose == "team" else {}
    )
    holder = operator.holder(team_id=team["id"], permissions=permissions if whose == "key" else {})
    refused = holder.generate(**fields)
    assert refused.status in (400, 403)
    assert refused.error["param"] == param
    assert operator.get("/admin/calls")["data"] == []


def test_what_a_key_may_passes(operator: Operator):
    may = {
        "models": ["img"],
        "operations": ["generate"],
        "n_max": 1,
        "size_px_max": 1024 * 1024,
        "quality_max": "low",
        "requests_per_minute": 100,
        "calls_in_flight": 1,
    }
    assert operator.holder(permissions=may).generate().status == 200


def test_a_key_sees_the_models_that_it_may_use(operator: Operator):
    team = operator.post("/admin/teams", name="Red", permissions={"models": ["img", "any"]})["id"]
    holder = operator.holder(team_id=team, permissions={"models": ["any"]})
    for path in ("/v1/models", "/models", "/openai/v1/models"):
        assert [one["id"] for one in holder.get(path)["data"]] == ["any"]
        assert [one["id"] for one in operator.get(path)["data"]] == ["img", "any"]
    assert holder.get("/v1/models/any")["id"] == "any"
    refused = holder.ask("GET", "/v1/models/img")
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    assert refused.error["message"] == "No model 'img' is served to this key."


def test_too_many_in_a_minute_are_told_when_to_come_again(operator: Operator):
    holder = operator.holder(permissions={"requests_per_minute": 0})
    refused = holder.generate()
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_revocation_reaches_every_other_process_within_five_seconds(ledger_url, postgres_server):
    """The same key ring that another process has, with a clock that the test turns."""
    clock = [0.0]

    async def test() -> None:
        ledger = open_ledger(ledger_url)
        try:
            ring = KeyRing(Registry(ledger), lambda: clock[0])
            key = KeyRecord(id="key_1", name="x", created_at=1.0)
            whole, secret = new_secret(key.id, 1.0)
            given = read_key(whole.encode())
            await ledger.commit(AddKey(key, secret))
            assert (await ring.find(given, 2.0)).key_id == "key_1"
            revoked = KeyRecord(id="key_1", name="x", created_at=1.0, revoked_at=2.0)
            await ledger.commit(ChangeKey(revoked))
            clock[0] = FRESH_S + 0.01
            with pytest.raises(Exception, match="revoked"):
                await ring.find(given, 3.0)
        finally:
            await ledger.aclose()

    assert FRESH_S < 5
    asyncio.run(test())

"""What admins do is written down with it; a refusal is a line in the log."""

import csv
import io
import json

from imagegate.gateway.app import ROUTES
from imagegate.sinks.log import attach_log, detach_log
from tests.gateway.admin.conftest import Operator


def test_changes_are_told_and_reads_are_not(operator: Operator) -> None:
    stream = io.StringIO()
    writer = attach_log(stream, "json")
    try:
        team = operator.post("/admin/teams", name="canary-team-name")
        operator.get("/admin/teams")
        caller = operator.holder(team_id=team["id"])
        refused = caller.ask("POST", "/admin/teams", {"name": "Blue"})
        operator.ask("PATCH", f"/admin/teams/{team['id']}", {"name": "canary-second"})
        operator.ask("POST", "/admin/guardrails/nobody/test", {"prompt": "a"})
    finally:
        detach_log(writer)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == "admin.action"]
    assert [(one["method"], one["route"], one["status"]) for one in told] == [
        ("POST", "/admin/teams", 201),
        ("POST", "/admin/keys", 201),
        ("POST", "/admin/teams", 403),
        ("PATCH", "/admin/teams/{id}", 200),
        ("POST", "/admin/guardrails/{name}/test", 400),
    ]
    assert told[2]["role"] == "caller"
    assert told[2]["request_id"] == refused.headers["x-request-id"]
    assert told[0]["key_id"] == "master"
    assert told[3]["subject"] == team["id"]
    assert "canary" not in stream.getvalue()


TESTED_ELSEWHERE = {
    "DELETE /admin/held/{id}",  # tests/guardrails/test_held.py
    "POST /admin/held/{id}/release",
    "POST /admin/charges/{id}/settle",  # tests/gateway/admin/test_charges.py
    "POST /admin/guardrails/{name}/test",  # changes nothing
}


def entries(operator: Operator, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = operator.get(f"/admin/audit{query}")["data"]
    return found


def test_each_change_is_written_with_what_was_and_what_is(operator: Operator) -> None:
    team = operator.post("/admin/teams", name="Red")["id"]
    admin = operator.post("/admin/keys", name="boss", role="admin")
    boss = Operator(operator.gateway, admin["key"])
    changed = boss.ask("PATCH", f"/admin/teams/{team}", {"is_blocked": True})
    last, *_ = entries(operator)
    assert (last["action"], last["target"]) == ("PATCH /admin/teams/{id}", team)
    assert (last["key_id"], last["role"]) == (admin["id"], "admin")
    assert (last["before"], last["after"]) == ({"is_blocked": False}, {"is_blocked": True})
    assert last["request_id"] == changed.headers["x-request-id"]


def test_every_kind_of_change_has_its_entry_and_no_secret_is_in_one(operator: Operator) -> None:
    team = operator.post("/admin/teams", name="Red")["id"]
    key = operator.post("/admin/keys", name="app", team_id=team)
    rotated = operator.post(f"/admin/keys/{key['id']}/rotate", overlap_s=0)
    operator.ask("PATCH", f"/admin/keys/{key['id']}", {"name": "new"})
    operator.post(f"/admin/keys/{key['id']}/revoke")
    operator.ask("PUT", "/admin/end_users", {"id": "ann", "is_blocked": True})
    operator.ask("PUT", "/admin/end_users", {"id": "ann", "is_blocked": False})
    budget = operator.post("/admin/budgets", kind="team", of=team, limit_usd="5")["id"]
    operator.ask("PATCH", f"/admin/budgets/{budget}", {"limit_usd": "6"})
    operator.ask("DELETE", f"/admin/budgets/{budget}")
    operator.ask("PATCH", f"/admin/teams/{team}", {"is_blocked": True})
    found = [(one["action"], one["target"], one["before"]) for one in reversed(entries(operator))]
    assert [(action, target) for action, target, _ in found] == [
        ("POST /admin/teams", team),
        ("POST /admin/keys", key["id"]),
        ("POST /admin/keys/{id}/rotate", key["id"]),
        ("PATCH /admin/keys/{id}", key["id"]),
        ("POST /admin/keys/{id}/revoke", key["id"]),
        ("PUT /admin/end_users", "ann"),
        ("PUT /admin/end_users", "ann"),
        ("POST /admin/budgets", budget),
        ("PATCH /admin/budgets/{id}", budget),
        ("DELETE /admin/budgets/{id}", budget),
        ("PATCH /admin/teams/{id}", team),
    ]
    changing = {f"{one.method} {one.path}" for one in ROUTES if one.method != "GET"}
    assert {action for action, _, _ in found} | TESTED_ELSEWHERE == {
        route for route in changing if " /admin/" in route
    }
    assert found[3][2] == {"name": "app"}
    assert found[6][2] == {"is_blocked": True}
    assert found[8][2] == {"limit_usd": "5"}
    body = operator.ask("GET", "/admin/audit").body.decode()
    for made in (key, rotated):
        assert made["key"] not in body
        assert made["key"][-20:] not in body


def test_what_was_refused_is_not_in_it(operator: Operator) -> None:
    operator.post("/admin/teams", name="Red")
    assert operator.ask("POST", "/admin/teams", {"name": "Red"}).status == 409
    assert len(entries(operator)) == 1


def test_pages_and_questions(operator: Operator) -> None:
    ids = [operator.post("/admin/teams", name=f"team {index}")["id"] for index in range(5)]
    seen: list[object] = []
    page = operator.get("/admin/audit?limit=2")
    while page["next"]:
        seen += [one["target"] for one in page["data"]]
        page = operator.get(f"/admin/audit?limit=2&after={page['next']}")
    seen += [one["target"] for one in page["data"]]
    assert seen == ids[::-1]
    assert [one["target"] for one in entries(operator, f"?target={ids[1]}")] == [ids[1]]
    assert entries(operator, "?key=key_none") == []
    text = operator.ask("GET", "/admin/audit?limit=2&format=csv").body.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["target"] for row in rows] == ids[::-1]

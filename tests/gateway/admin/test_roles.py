"""Each route against each role: who may, who may not. A new route without a row here fails."""

import pytest

from imagegate.gateway.app import ROUTES
from tests.gateway.admin.conftest import Operator

ROLES = ("nobody", "caller", "team_admin", "admin")
OPEN, HOLDERS, TEAM_ADMINS, ADMINS = ROLES, ROLES[1:], ROLES[2:], ROLES[3:]

MATRIX = {
    "GET /v1/models": HOLDERS,
    "GET /v1/models/{id:path}": HOLDERS,
    "GET /models": HOLDERS,
    "GET /models/{id:path}": HOLDERS,
    "GET /openai/v1/models": HOLDERS,
    "POST /v1/images/preview": HOLDERS,
    "POST /v1/diagnose": HOLDERS,
    "GET /v1/responses/{id}": HOLDERS,
    "GET /responses/{id}": HOLDERS,
    "GET /openai/v1/responses/{id}": HOLDERS,
    "GET /v1/images/calls": ADMINS,
    "GET /v1/images/calls/{id}": HOLDERS,
    "GET /v1/images/calls/{id}/images/{index}": HOLDERS,
    "GET /v1/images/calls/{id}/events": HOLDERS,
    "POST /v1/images/calls/{id}/cancel": HOLDERS,
    "GET /v1/images/webhooks/secret": HOLDERS,
    "GET /admin/teams": TEAM_ADMINS,
    "POST /admin/teams": ADMINS,
    "GET /admin/teams/{id}": TEAM_ADMINS,
    "PATCH /admin/teams/{id}": ADMINS,
    "GET /admin/keys": TEAM_ADMINS,
    "POST /admin/keys": TEAM_ADMINS,
    "GET /admin/keys/{id}": TEAM_ADMINS,
    "PATCH /admin/keys/{id}": TEAM_ADMINS,
    "POST /admin/keys/{id}/rotate": TEAM_ADMINS,
    "POST /admin/keys/{id}/revoke": TEAM_ADMINS,
    "GET /admin/end_users": ADMINS,
    "PUT /admin/end_users": ADMINS,
    "GET /admin/end_users/{id:path}": ADMINS,
    "GET /admin/budgets": TEAM_ADMINS,
    "POST /admin/budgets": ADMINS,
    "GET /admin/budgets/{id}": TEAM_ADMINS,
    "PATCH /admin/budgets/{id}": ADMINS,
    "DELETE /admin/budgets/{id}": ADMINS,
    "GET /admin/audit": ADMINS,
    "GET /admin/held": ADMINS,
    "GET /admin/held/{id}": ADMINS,
    "DELETE /admin/held/{id}": ADMINS,
    "POST /admin/held/{id}/release": ADMINS,
    "GET /admin/calls": HOLDERS,
    "GET /admin/calls/{id}": HOLDERS,
    "GET /admin/charges": ADMINS,
    "POST /admin/charges/{id}/settle": ADMINS,
    "GET /admin/spend": HOLDERS,
    "POST /admin/guardrails/{name}/test": ADMINS,
    "GET /metrics": ADMINS,
    "GET /v1/images/assets/{name}": OPEN,
    "GET /openapi.json": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /": OPEN,
}


def test_each_route_has_a_row():
    assert {f"{route.method} {route.path}" for route in ROUTES} == set(MATRIX)


def test_each_route_lets_in_whom_it_should(operator: Operator):
    team = operator.post("/admin/teams", name="Red")["id"]
    keys = {
        "nobody": Operator(operator.gateway, "sk-test-nobody"),
        "caller": operator.holder(team_id=team),
        "team_admin": operator.holder(team_id=team, role="team_admin"),
        "admin": operator.holder(role="admin"),
    }
    wrong = []
    for name, allowed in MATRIX.items():
        method, path = name.split(" ", 1)
        path = path.replace("{id}", "none").replace("{id:path}", "none").replace("{name}", "a.png")
        for role in ROLES:
            answer = keys[role].ask(method, path, {} if method != "GET" else None)
            code = answer.error["code"] if answer.status >= 400 else ""
            is_let_in = code not in ("invalid_api_key", "not_allowed")
            if is_let_in != (role in allowed):
                wrong.append((name, role, answer.status, code))
    assert wrong == []


@pytest.mark.parametrize("path", ["teams", "keys", "budgets", "calls"])
def test_what_is_anothers_answers_as_what_does_not_exist(operator: Operator, path: str):
    red, blue = (operator.post("/admin/teams", name=name)["id"] for name in ("Red", "Blue"))
    key = operator.post("/admin/keys", name="of blue", team_id=blue)
    budget = operator.post("/admin/budgets", kind="team", of=blue, limit_usd="1")
    assert Operator(operator.gateway, key["key"]).generate().status == 200
    call = operator.get("/admin/calls")["data"][0]["id"]
    theirs = {"teams": blue, "keys": key["id"], "budgets": budget["id"], "calls": call}[path]
    stranger = operator.holder(team_id=red, role="team_admin")
    seen = stranger.ask("GET", f"/admin/{path}/{theirs}")
    unknown = stranger.ask("GET", f"/admin/{path}/nothing")
    assert (seen.status, seen.error["code"]) == (404, unknown.error["code"])
    listed = [one["id"] for one in stranger.get(f"/admin/{path}")["data"]]
    assert theirs not in listed
    owner = operator.holder(team_id=blue, role="team_admin")
    assert owner.get(f"/admin/{path}/{theirs}")["id"] == theirs


def test_a_teams_admin_gives_no_more_than_it_has(operator: Operator):
    team, other = (operator.post("/admin/teams", name=name)["id"] for name in ("Red", "Blue"))
    admin = operator.holder(team_id=team, role="team_admin")
    mighty = operator.post("/admin/keys", name="mighty", team_id=team, role="admin")
    assert admin.post("/admin/keys", name="new")["team_id"] == team
    for method, path, body in (
        ("POST", "/admin/keys", {"name": "x", "role": "admin"}),
        ("POST", f"/admin/keys/{mighty['id']}/rotate", {}),
        ("PATCH", f"/admin/keys/{mighty['id']}", {"name": "mine"}),
    ):
        assert admin.ask(method, path, body).error["code"] == "not_allowed"
    assert admin.ask("POST", "/admin/keys", {"name": "x", "team_id": other}).status == 404


def test_a_field_that_nobody_may_write_is_refused(operator: Operator):
    key = operator.post("/admin/keys", name="x")["id"]
    budget = operator.post("/admin/budgets", kind="key", of=key, limit_usd=1)["id"]
    for method, path, body in (
        ("POST", "/admin/keys", {"name": "x", "sha256": "0"}),
        ("PATCH", f"/admin/keys/{key}", {"team_id": "team_x"}),
        ("PATCH", f"/admin/keys/{key}", {"revoked_at": None}),
        ("PATCH", f"/admin/budgets/{budget}", {"spent_usd": "0"}),
        ("POST", "/admin/teams", {"name": "x", "id": "team_x"}),
    ):
        answer = operator.ask(method, path, body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_body"), path

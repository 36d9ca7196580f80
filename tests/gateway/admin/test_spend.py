import datetime

import pytest

from imagegate.gateway.admin.table import csv_line
from tests.gateway.admin.conftest import Operator


def test_an_exhausted_budget_answers_as_openai_does_and_buys_nothing(operator: Operator, upstream):
    team = operator.post("/admin/teams", name="Red")["id"]
    holder = operator.holder(team_id=team)
    made = operator.post("/admin/budgets", kind="team", of=team, limit_usd="0.0001", name="Tight")
    refused = holder.generate()
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert refused.error["type"] == "insufficient_quota"
    assert f"'Tight' (team:{team}, {made['id']})" in refused.error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert upstream.calls == []


@pytest.mark.parametrize(("kind", "of"), [("model", "img"), ("provider", "azure")])
def test_what_was_spent_is_in_the_budget_and_in_the_report(operator: Operator, kind, of):
    made = operator.post("/admin/budgets", kind=kind, of=of, limit_usd=5, period="month")
    answer = operator.holder().generate()
    cost = answer.headers["x-imagegate-cost"]
    budget = operator.get(f"/admin/budgets/{made['id']}")
    assert (budget["spent_usd"], budget["reserved_usd"]) == (cost, "0")
    (row,) = operator.get(f"/admin/spend?by={kind}")["data"]
    assert row == {
        "value": of,
        "charged_usd": cost,
        "held_usd": "0",
        "attempts": 1,
        "unknown": 0,
    }


def test_a_failed_call_gives_its_reservation_back(operator: Operator, upstream):
    made = operator.post("/admin/budgets", kind="model", of="img", limit_usd=5)
    upstream.reply("status:400")
    assert operator.generate().status == 400
    budget = operator.get(f"/admin/budgets/{made['id']}")
    assert (budget["spent_usd"], budget["reserved_usd"]) == ("0", "0")


def test_a_call_whose_end_is_unknown_holds_its_price(operator: Operator, upstream):
    made = operator.post("/admin/budgets", kind="model", of="img", limit_usd=5)
    upstream.reply("status:502")
    assert operator.generate().status >= 500
    budget = operator.get(f"/admin/budgets/{made['id']}")
    assert budget["spent_usd"] != "0"
    assert budget["reserved_usd"] == "0"
    (row,) = operator.get("/admin/spend")["data"]
    assert (row["charged_usd"], row["held_usd"]) == ("0", budget["spent_usd"])


def test_an_unpriced_model_passes_no_budget(operator: Operator):
    operator.post("/admin/budgets", kind="model", of="any", limit_usd=5)
    refused = operator.generate(model="any")
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert "is unknown" in refused.error["message"]


def test_an_unpriced_model_without_a_budget_costs_unknown(operator: Operator):
    answer = operator.generate(model="any")
    assert answer.headers["x-imagegate-cost"] == "unknown"
    (call,) = operator.get("/admin/calls")["data"]
    assert call["cost_usd"] is None


def test_reports_by_each_dimension_add_up(operator: Operator):
    team = operator.post("/admin/teams", name="Red")["id"]
    holders = [operator.holder(team_id=team, tags=["t1"]), operator.holder(tags=["t1", "t2"])]
    costs = [
        float(holder.generate(user=f"u{n}").headers["x-imagegate-cost"])
        for n, holder in enumerate(holders)
        for _ in range(2)
    ]
    for by in ("day", "key", "team", "end_user", "model", "provider"):
        rows = operator.get(f"/admin/spend?by={by}")["data"]
        assert sum(float(row["charged_usd"]) for row in rows) == pytest.approx(sum(costs))
        assert sum(row["attempts"] for row in rows) == 4
    tags = {row["value"]: row["attempts"] for row in operator.get("/admin/spend?by=tag")["data"]}
    assert tags == {"t1": 4, "t2": 2}
    (today,) = operator.get("/admin/spend")["data"]
    assert today["value"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    yesterday = "/admin/spend?to=2020-01-01"
    assert operator.get(yesterday)["data"] == []


def test_a_caller_sees_its_own_and_a_team_its_own(operator: Operator):
    red, blue = (operator.post("/admin/teams", name=name)["id"] for name in ("Red", "Blue"))
    one, other = operator.holder(team_id=red), operator.holder(team_id=red)
    stranger = operator.holder(team_id=blue)
    for holder in (one, other, stranger):
        assert holder.generate().status == 200
    assert len(one.get("/admin/calls")["data"]) == 1
    assert one.get("/admin/spend")["data"][0]["attempts"] == 1
    assert one.ask("GET", "/admin/spend?by=key").error["code"] == "not_allowed"
    admin = operator.holder(team_id=red, role="team_admin")
    assert len(admin.get("/admin/calls")["data"]) == 2
    assert len(admin.get("/admin/spend?by=key")["data"]) == 2
    assert admin.get("/admin/spend?by=team")["data"][0]["value"] == red
    assert len(operator.get("/admin/calls")["data"]) == 3


def test_pages_follow_each_other_without_a_gap(operator: Operator):
    for number in range(5):
        assert operator.generate(user=f"u{number}").status == 200
    for path in ("/admin/calls?x=1", "/admin/spend?by=end_user"):
        whole = operator.get(path)["data"]
        seen, cursor = [], ""
        while True:
            page = operator.get(f"{path}&limit=2&after={cursor}")
            seen += page["data"]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == whole
        assert len(seen) == 5


def test_a_csv_holds_all_pages_and_no_formula(operator: Operator):
    for user in ("=1+1", "plain", "@x"):
        assert operator.generate(user=user).status == 200
    lines = operator.ask("GET", "/admin/spend?by=end_user&format=csv&limit=1").body.decode()
    head, *rows = lines.splitlines()
    assert head == "value,charged_usd,held_usd,attempts,unknown"
    assert [row.split(",")[0] for row in rows] == ["'=1+1", "'@x", "plain"]
    calls = operator.ask("GET", "/admin/calls?format=csv&limit=2").body.decode().splitlines()
    assert len(calls) == 4


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "|x"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(cell):
    assert csv_line([cell]).lstrip('"').startswith("'")


@pytest.mark.parametrize(
    ("storage", "kept"), [("none", None), ("hash", "sha256:"), ("text", "a fox")]
)
def test_a_team_chooses_what_is_kept_of_a_prompt(operator: Operator, storage, kept):
    team = operator.post("/admin/teams", name="Red", prompt_storage=storage)["id"]
    assert operator.holder(team_id=team).generate().status == 200
    (call,) = operator.get("/admin/calls")["data"]
    prompt = operator.get(f"/admin/calls/{call['id']}")["prompt"]
    assert prompt == kept if kept is None else prompt.startswith(kept)
    assert storage != "hash" or "fox" not in prompt


@pytest.mark.parametrize(
    "query", ["by=colour", "from=yesterday", "limit=0", "limit=x", "limit=501"]
)
def test_a_question_without_sense_is_refused(operator: Operator, query):
    assert operator.ask("GET", f"/admin/spend?{query}").status == 400


@pytest.mark.parametrize("limit_usd", ["-1", "x", "nan", "1e99", "0.00000000001", True])
def test_a_limit_that_is_no_amount_is_refused(operator: Operator, limit_usd):
    body = {"kind": "model", "of": "img", "limit_usd": limit_usd}
    assert operator.ask("POST", "/admin/budgets", body).status == 400


def test_a_second_budget_of_the_same_kind_is_a_conflict(operator: Operator):
    body = {"kind": "model", "of": "img", "limit_usd": 1}
    assert operator.ask("POST", "/admin/budgets", body).status == 201
    assert operator.ask("POST", "/admin/budgets", body).status == 409


def test_every_end_user_has_a_budget_alike(operator: Operator):
    alike = operator.post("/admin/budgets", kind="every_end_user", limit_usd="0.02", period="day")
    operator.post("/admin/budgets", kind="end_user", of="rich", limit_usd=5)
    for user in ("zoe", "ann"):
        assert operator.generate(user=user).status == 200
    assert operator.generate(user="rich").status == 200
    assert operator.generate().status == 200, "nobody is no end user"
    rows = {one["of"]: one for one in operator.get("/admin/budgets")["data"]}
    made = [name for name, one in rows.items() if one["template_id"] == alike["id"]]
    assert sorted(made) == ["ann", "zoe"]
    assert rows["zoe"]["period"] == "day"
    assert float(rows["zoe"]["spent_usd"]) > 0
    operator.ask("PATCH", f"/admin/budgets/{alike['id']}", {"limit_usd": "0.0001"})
    refused = operator.generate(user="zoe")
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert operator.generate(user="new").status == 429
    assert operator.generate(user="rich").status == 200
    own = operator.ask("PATCH", f"/admin/budgets/{rows['zoe']['id']}", {"limit_usd": 5})
    assert own.json()["template_id"] is None
    assert operator.generate(user="zoe").status == 200
    assert operator.ask("DELETE", f"/admin/budgets/{alike['id']}").status == 200
    assert operator.generate(user="ann").status == 200
    left = {one["of"] for one in operator.get("/admin/budgets")["data"]}
    assert left == {"rich", "zoe"}


def test_every_end_user_is_no_single_one(operator: Operator):
    body = {"kind": "every_end_user", "of": "zoe", "limit_usd": 1}
    assert operator.ask("POST", "/admin/budgets", body).error["param"] == "of"

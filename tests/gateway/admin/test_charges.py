"""Held charges: listed, settled once by the operator, and told with the name of who did it."""

import csv
import io

import pytest

from tests.gateway.admin.conftest import Operator
from tests.upstream.fake import FakeUpstream


def unknown_charge(operator: Operator, upstream: FakeUpstream) -> dict:
    upstream.reply("half_body")
    assert operator.generate().status == 502
    return operator.get("/admin/charges")["data"][-1]


def settle(operator: Operator, charge_id: str, cost_usd: object):
    return operator.ask("POST", f"/admin/charges/{charge_id}/settle", {"cost_usd": cost_usd})


def test_a_charge_is_listed_with_what_finds_it_at_the_provider(operator: Operator, upstream):
    charge = unknown_charge(operator, upstream)
    assert charge["upstream_request_id"] == f"req_{upstream.calls[0].number:032x}"
    assert (charge["state"], charge["provider"], charge["model"]) == ("unknown", "azure", "img")
    assert float(charge["held_usd"]) > 0
    assert charge["cost_usd"] is None


@pytest.mark.parametrize(("cost_usd", "sums"), [("0.04", (1, "0.04")), (0, (0, "0"))])
def test_it_is_settled_once(operator: Operator, upstream, cost_usd, sums):
    made = operator.post("/admin/budgets", kind="model", of="img", limit_usd=5)
    charge = unknown_charge(operator, upstream)
    for _ in range(2):  # the same again is no fault
        answer = settle(operator, charge["id"], cost_usd)
        assert (answer.status, answer.json()["cost_usd"]) == (200, sums[1])
    other = settle(operator, charge["id"], "0.05")
    assert (other.status, other.error["code"]) == (409, "charge_settled")
    assert operator.get("/admin/charges")["data"] == []
    spent = operator.get("/admin/spend")["data"][0]
    assert (spent["attempts"], spent["charged_usd"], spent["held_usd"]) == (*sums, "0")
    assert operator.get(f"/admin/budgets/{made['id']}")["spent_usd"] == sums[1]
    call = operator.get(f"/admin/calls/{charge['call_id']}")
    assert (call["state"], call["cost_usd"]) == ("unknown", sums[1])


def test_who_settled_it_is_in_the_audit_log(operator: Operator, upstream):
    charge = unknown_charge(operator, upstream)
    admin = operator.holder(role="admin")
    assert settle(admin, charge["id"], "0.04").status == 200
    (entry,) = operator.get(f"/admin/audit?target={charge['id']}")["data"]
    assert entry["key_id"].startswith("key_")
    assert entry["action"] == "POST /admin/charges/{id}/settle"
    assert (entry["before"], entry["after"]) == ({"cost_usd": None}, {"cost_usd": "0.04"})


def test_what_is_not_held_is_not_settled(operator: Operator, upstream):
    assert operator.generate().status == 200
    (call,) = operator.get("/admin/calls")["data"]
    (attempt,) = operator.get(f"/admin/calls/{call['id']}")["attempts"]
    for name in (attempt["id"], "att_none"):
        assert settle(operator, name, "1").error["code"] == "charge_not_found"


@pytest.mark.parametrize("cost_usd", ["-1", "1e99", "1e999999999", "nan", "much", None])
def test_an_amount_is_one(operator: Operator, upstream, cost_usd):
    charge = unknown_charge(operator, upstream)
    assert settle(operator, charge["id"], cost_usd).status == 400
    assert len(operator.get("/admin/charges")["data"]) == 1


def test_the_list_comes_in_pages_and_as_csv_without_formulas(operator: Operator, upstream):
    upstream.always("half_body")
    for end_user in ("=1+1", "plain"):
        assert operator.generate(user=end_user, prompt=end_user).status == 502
    first = operator.get("/admin/charges?limit=1")
    second = operator.get(f"/admin/charges?limit=1&after={first['next']}")
    ids = [row["id"] for page in (first, second) for row in page["data"]]
    assert len(set(ids)) == 2
    answer = operator.ask("GET", "/admin/charges?format=csv&limit=1")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["id"] for row in rows] == ids
    assert {row["end_user"] for row in rows} == {"'=1+1", "plain"}

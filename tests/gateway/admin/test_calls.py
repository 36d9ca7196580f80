"""Whose call it is: told to its key, its team and the operator; attached to by nobody else."""

import json

from tests.gateway.admin.conftest import Operator
from tests.gateway.running import Answer
from tests.upstream.fake import FakeUpstream

BODY = json.dumps({"model": "img", "prompt": "a fox"}).encode()


def ask(holder: Operator, key: str = "") -> Answer:
    headers = {"authorization": f"Bearer {holder.key}", "content-type": "application/json"}
    headers |= {"idempotency-key": key} if key else {}
    return holder.gateway.request("POST", "/v1/images/generations", BODY, headers)


def id_of(answer: Answer) -> str:
    return answer.headers["x-imagegate-call-id"]


def test_a_call_is_told_to_its_own(operator: Operator):
    red, blue = (operator.post("/admin/teams", name=name)["id"] for name in ("Red", "Blue"))
    mine, colleague = (operator.holder(team_id=red) for _ in range(2))
    path = f"/v1/images/calls/{id_of(ask(mine))}"
    for holder in (mine, colleague, operator):
        assert holder.ask("GET", path).status == 200
        assert holder.ask("GET", f"{path}/images/0").status == 200
    for stranger in (operator.holder(team_id=blue), operator.holder()):
        unknown = stranger.ask("GET", "/v1/images/calls/call_none")
        for one in (path, f"{path}/images/0"):
            answer = stranger.ask("GET", one)
            assert answer.status == unknown.status == 404
            assert answer.error["code"] == "call_not_found"


def test_a_key_of_a_request_belongs_to_the_team(operator: Operator, upstream: FakeUpstream):
    red = operator.post("/admin/teams", name="Red")["id"]
    first, colleague, stranger = (
        ask(holder, "one")
        for holder in (
            operator.holder(team_id=red),
            operator.holder(team_id=red),
            operator.holder(),
        )
    )
    assert id_of(first) == id_of(colleague) != id_of(stranger)
    assert len(upstream.calls) == 2


def test_an_unknown_call_is_attached_to_by_its_own_key_only(
    operator: Operator, upstream: FakeUpstream
):
    mine, stranger = operator.holder(), operator.holder()
    upstream.reply("half_body")
    assert ask(mine).status == ask(mine).status == 502
    assert ask(stranger).status == 200
    assert len(upstream.calls) == 2


def test_an_answer_told_again_costs_once(operator: Operator):
    holder = operator.holder()
    ask(holder, "one")
    ask(holder, "one")
    assert len(operator.get("/admin/calls")["data"]) == 1


def test_a_result_is_delivered_when_its_own_key_fetches_it(operator: Operator):
    holder = operator.holder()
    told = operator.gateway.post(
        "/v1/images/generations",
        {"model": "img", "prompt": "a fox"},
        authorization=f"Bearer {holder.key}",
        prefer="respond-async",
    )
    path = told.headers["location"]
    key = f"Bearer {operator.key}"
    assert operator.gateway.get(path, authorization=key, prefer="wait=20").json()["result"]
    holder.generate()
    assert operator.get(path)["delivered_at"] is None, "the operator only looked"
    assert holder.get(path)["result"]["data"][0]["b64_json"]
    holder.generate()
    assert operator.get(path)["delivered_at"] is not None

"""Each change by an admin, also a refused one, is a line in the log: who, what, how it ended."""

import io
import json

from imagegate.sinks.log import attach_log, detach_log
from tests.gateway.admin.conftest import Operator


def test_changes_are_told_and_reads_are_not(operator: Operator) -> None:
    stream = io.StringIO()
    writer = attach_log(stream, "json")
    try:
        team = operator.post("/admin/teams", name="canary-team-name")
        operator.get("/admin/teams")
        caller = operator.holder(team_id=team["id"])
        assert caller.ask("POST", "/admin/teams", {"name": "Blue"}).status == 403
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
    assert told[0]["key_id"] == "master"
    assert told[3]["subject"] == team["id"]
    assert "canary" not in stream.getvalue()

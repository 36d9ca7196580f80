"""The OpenAPI document describes each admin route, and what comes back is as it says."""

from typing import Any

import pytest

from imagegate.gateway.app import ROUTES
from imagegate.gateway.openapi import build_document
from tests.gateway.admin.conftest import Operator

ADMIN_ROUTES = [route for route in ROUTES if route.path.startswith("/admin/")]


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_admin_route_is_described(route):
    described = build_document()["paths"][route.path.replace(":path", "")][route.method.lower()]
    assert described["summary"]
    named = {one["name"] for one in described.get("parameters", ()) if one["in"] == "path"}
    assert all(f"{{{name}}}" in route.path.replace(":path", "") for name in named)
    assert len(named) == route.path.count("{")


def test_each_reference_leads_somewhere():
    document = build_document()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in references(each)]
    return (
        [found for each in value for found in references(each)] if isinstance(value, list) else []
    )


def test_answers_have_the_fields_that_are_described(operator: Operator):
    team = operator.post("/admin/teams", name="Red")
    operator.post("/admin/keys", name="a", team_id=team["id"])
    operator.post("/admin/budgets", kind="model", of="img", limit_usd=5)
    operator.ask("PUT", "/admin/end_users", {"id": "zoe"})
    assert operator.generate().status == 200
    schemas = build_document()["components"]["schemas"]
    for name, path in {
        "Team": "teams",
        "Key": "keys",
        "Budget": "budgets",
        "EndUser": "end_users",
        "AdminCall": "calls",
        "Spend": "spend",
    }.items():
        row = operator.get(f"/admin/{path}")["data"][0]
        assert set(row) == set(schemas[name]["properties"]), path

"""The admin routes of the OpenAPI document: bodies from the types that they are read as."""

from collections.abc import Mapping
from typing import get_args

import msgspec
from msgspec import Struct

from imagegate.gateway.admin import budgets, end_users, keys, teams
from imagegate.ledger.records import CallState
from imagegate.ledger.reports import SpendBy
from imagegate.types import Json

BODIES: tuple[type[Struct], ...] = (
    teams.NewTeam,
    teams.TeamChange,
    keys.NewKey,
    keys.KeyChange,
    keys.Rotation,
    end_users.EndUserState,
    budgets.NewBudget,
    budgets.BudgetChange,
)

_REFERENCES = "#/components/schemas/{name}"
_KINDS: Mapping[str, Json] = {
    "": {"type": "string"},
    "?": {"type": ["string", "null"]},
    "usd": {"type": "string", "description": "USD, exact"},
    "usd?": {"type": ["string", "null"], "description": "USD, exact; null: unknown, or none"},
    "time": {"type": "number", "description": "unix seconds"},
    "time?": {"type": ["number", "null"], "description": "unix seconds"},
    "flag": {"type": "boolean"},
    "count": {"type": "integer"},
    "list": {"type": "array", "items": {"type": "string"}},
    "map": {"type": "object"},
}
ANSWERS = {
    "Team": "object id name is_blocked:flag prompt_storage permissions:map created_at:time",
    "Key": "object id name team_id:? role permissions:map tags:list created_at:time"
    " expires_at:time? revoked_at:time?",
    "EndUser": "object id is_blocked:flag note created_at:time",
    "Budget": "object id name kind of team_id:? limit_usd:usd soft_limit_usd:usd? period"
    " resets_at:time? spent_usd:usd reserved_usd:usd created_at:time template_id:?",
    "AdminCall": "object id operation model state key_id:? team_id:? end_user tags:list"
    " created_at:time finished_at:time? cost_usd:usd? error_code",
    "Spend": "value charged_usd:usd held_usd:usd attempts:count unknown:count",
}
"""What comes back: fields, each with its kind. A test holds that the answers have them."""


def admin_schemas() -> dict[str, Json]:
    """Return the schemas of what is sent and of what comes back."""
    _, schemas = msgspec.json.schema_components(BODIES, ref_template=_REFERENCES)
    return {**schemas, **{name: _answer(fields) for name, fields in ANSWERS.items()}}


def _answer(fields: str) -> Json:
    parts = [field.partition(":") for field in fields.split()]
    properties = {name: _KINDS[kind] for name, _, kind in parts}
    return {"type": "object", "properties": properties, "required": list(properties)}


def admin_paths() -> dict[str, Json]:
    """Return the description of each admin route."""
    change = "Change what the body names"
    return {
        "/admin/teams": {
            "get": _list("listTeams", "List teams", "Team"),
            "post": _write("addTeam", "Add a team", "Team", "NewTeam"),
        },
        "/admin/teams/{id}": {
            "get": _one("getTeam", "Show a team", "Team"),
            "patch": _write("changeTeam", change, "Team", "TeamChange", by_id=True),
        },
        "/admin/keys": {
            "get": _list("listKeys", "List keys, without their secrets", "Key"),
            "post": _write("addKey", "Add a key; its secret is shown once", "Key", "NewKey"),
        },
        "/admin/keys/{id}": {
            "get": _one("getKey", "Show a key", "Key"),
            "patch": _write("changeKey", change, "Key", "KeyChange", by_id=True),
        },
        "/admin/keys/{id}/rotate": {
            "post": _write("rotateKey", "Give a further secret", "Key", "Rotation", by_id=True)
        },
        "/admin/keys/{id}/revoke": {"post": _one("revokeKey", "End a key for good", "Key")},
        "/admin/end_users": {
            "get": _list("listEndUsers", "List what is said about end users", "EndUser"),
            "put": _write("putEndUser", "Say something about one", "EndUser", "EndUserState"),
        },
        "/admin/end_users/{id}": {"get": _one("getEndUser", "Show an end user", "EndUser")},
        "/admin/budgets": {
            "get": _list("listBudgets", "List budgets", "Budget"),
            "post": _write("addBudget", "Add a budget", "Budget", "NewBudget"),
        },
        "/admin/budgets/{id}": {
            "get": _one("getBudget", "Show a budget", "Budget"),
            "patch": _write("changeBudget", change, "Budget", "BudgetChange", by_id=True),
            "delete": _one("removeBudget", "Remove a budget", ""),
        },
        "/admin/calls": {
            "get": _list(
                "listAdminCalls", "List calls, the newest first", "AdminCall", *_CALL_FILTERS
            )
        },
        "/admin/calls/{id}": {
            "get": _one("getAdminCall", "Show a call and its attempts", "AdminCall")
        },
        "/admin/spend": {"get": _list("listSpend", "Sum what was spent", "Spend", *_SPEND_FILTERS)},
        "/admin/guardrails/{name}/test": {
            "post": _operation("testGuardrail", "Show a guardrail's verdict", _KINDS["map"])
            | {"parameters": [_parameter("name", "path")]}
        },
    }


def _parameter(name: str, place: str, values: tuple[str, ...] = ()) -> dict[str, Json]:
    schema = {"type": "string"} | ({"enum": list(values)} if values else {})
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


_FORMAT = _parameter("format", "query", ("csv",))
_CALL_FILTERS = (
    _parameter("state", "query", get_args(CallState)),
    *(_parameter(name, "query") for name in ("key", "team", "end_user")),
    _FORMAT,
)
_SPEND_FILTERS = (
    _parameter("by", "query", get_args(SpendBy)),
    *(_parameter(name, "query") for name in ("from", "to")),
    _FORMAT,
)


def _ref(name: str) -> Json:
    return {"$ref": _REFERENCES.format(name=name)} if name else _KINDS["map"]


def _operation(operation_id: str, summary: str, schema: Json) -> dict[str, Json]:
    content = {"application/json": {"schema": schema}}
    error = {"application/json": {"schema": _ref("ErrorResponse")}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["admin"],
        "responses": {
            "2XX": {"description": "as asked", "content": content},
            "default": {"description": "an error", "content": error},
        },
    }


def _one(operation_id: str, summary: str, answer: str) -> dict[str, Json]:
    by_id = {"parameters": [_parameter("id", "path")]}
    return _operation(operation_id, summary, _ref(answer)) | by_id


def _list(operation_id: str, summary: str, answer: str, *filters: Json) -> dict[str, Json]:
    """Return the description of a list in pages: `next` is the `after` of the following one."""
    rows = {"type": "array", "items": _ref(answer)}
    properties = {"object": _KINDS[""], "data": rows, "next": _KINDS["?"]}
    page = {"type": "object", "properties": properties, "required": list(properties)}
    pages = [_parameter("limit", "query"), _parameter("after", "query")]
    return _operation(operation_id, summary, page) | {"parameters": [*pages, *filters]}


def _write(
    operation_id: str, summary: str, answer: str, body: str, *, by_id: bool = False
) -> dict[str, Json]:
    content = {"application/json": {"schema": _ref(body)}}
    described = _operation(operation_id, summary, _ref(answer))
    described["requestBody"] = {"required": True, "content": content}
    return described | ({"parameters": [_parameter("id", "path")]} if by_id else {})

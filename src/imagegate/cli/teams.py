"""`imagegate teams`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.listing import print_object, print_rows
from imagegate.errors import BadRequestError
from imagegate.types import Json

COLUMNS = {"id": "TEAM", "name": "NAME", "is_blocked": "BLOCKED", "prompt_storage": "PROMPTS"}


def teams(
    action: Literal["list", "create"] = "list",
    name: str | None = None,
    /,
    *,
    prompts: Literal["none", "hash", "text"] = "none",
    budget_usd: str | None = None,
    period: Literal["none", "day", "week", "month"] = "month",
    url: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """List the teams of a running gateway, or create one.

    The gateway is asked with IMAGEGATE_ADMIN_KEY or IMAGEGATE_MASTER_KEY.

    Parameters
    ----------
    action
        What to do.
    name
        The new team's name.
    prompts
        What is kept of the prompts of a new team: nothing, a hash, or the text.
    budget_usd
        A budget for a new team, in USD; none unless given.
    period
        When that budget begins anew.
    url
        Address of the gateway; http://127.0.0.1:4000 unless IMAGEGATE_URL says otherwise.
    json
        Print JSON, and nothing else.
    """
    api = AdminApi(url)
    if action == "list":
        print_rows(api.pages("/admin/teams"), COLUMNS, as_json=json)
        return OK
    if name is None:
        raise BadRequestError("`imagegate teams create` needs a name.")
    made = api.ask("POST", "/admin/teams", {"name": name, "prompt_storage": prompts})
    if budget_usd is not None:
        budget: Json = {"kind": "team", "of": made["id"], "limit_usd": budget_usd, "period": period}
        made["budget_id"] = api.ask("POST", "/admin/budgets", budget)["id"]
    print_object(made, as_json=json)
    return OK

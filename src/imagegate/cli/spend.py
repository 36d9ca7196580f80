"""`imagegate spend`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.listing import print_rows


def spend(
    *,
    by: Literal["day", "key", "team", "end_user", "model", "provider", "tag"] = "day",
    from_day: Annotated[str | None, Parameter(name="--from")] = None,
    to_day: Annotated[str | None, Parameter(name="--to")] = None,
    url: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Tell what a running gateway has spent.

    What is held may yet be given back: nobody knows whether those calls were billed.

    Parameters
    ----------
    by
        What to sum by.
    from_day
        First day (UTC), such as 2026-11-01.
    to_day
        Last day (UTC).
    url
        Address of the gateway; http://127.0.0.1:4000 unless IMAGEGATE_URL says otherwise.
    json
        Print JSON, and nothing else.
    """
    rows = AdminApi(url).pages("/admin/spend", by=by, **{"from": from_day, "to": to_day})
    columns = {
        "value": by.upper(),
        "charged_usd": "CHARGED USD",
        "held_usd": "HELD USD",
        "attempts": "ATTEMPTS",
        "unknown": "UNKNOWN",
    }
    print_rows(rows, columns, as_json=json)
    return OK

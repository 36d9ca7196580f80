"""`imagegate audit`."""

import datetime
import json as jsonlib
from typing import Annotated
from urllib.parse import urlencode

from cyclopts import Parameter

from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.listing import print_rows
from imagegate.types import Json

COLUMNS = {"at": "WHEN", "who": "WHO", "action": "ACTION", "target": "TARGET", "now": "NOW"}


def audit(
    *,
    key: str | None = None,
    target: str | None = None,
    after: str | None = None,
    limit: int = 50,
    url: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Tell what admins of a running gateway did, the newest first.

    Parameters
    ----------
    key
        Only what was done with this key, by its id.
    target
        Only what was done to this team, key, budget, image or end user, by its id.
    after
        The id of an entry: go on with what was done before it.
    limit
        How many at most, 1 to 500.
    url
        Address of the gateway; http://127.0.0.1:4000 unless IMAGEGATE_URL says otherwise.
    json
        Print one JSON array, and nothing else.
    """
    asked = {"key": key, "target": target, "after": after, "limit": limit}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    rows: list[Json] = AdminApi(url).ask("GET", f"/admin/audit?{query}")["data"]
    print_rows(rows if json else [_shown(row) for row in rows], COLUMNS, as_json=json)
    return OK


def _shown(row: Json) -> Json:
    moment = datetime.datetime.fromtimestamp(row["at"], datetime.UTC)
    now = {name: value for name, value in (row["after"] or {}).items() if name != "id"}
    return row | {
        "at": f"{moment:%Y-%m-%d %H:%M:%S}",
        "who": row["key_id"] or "master key",
        "now": jsonlib.dumps(now) if row["before"] and now else None,
    }

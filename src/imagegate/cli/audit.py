"""`imagegate audit`."""

import datetime
import json as jsonlib
import sys
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlencode

from cyclopts import Parameter

from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.types import Json


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
    if json:
        sys.stdout.write(jsonlib.dumps(rows) + "\n")
    for row in () if json else rows:
        sys.stdout.write("\n".join(_lines(row)) + "\n")
    return OK


def _lines(row: Json) -> Iterator[str]:
    moment = datetime.datetime.fromtimestamp(row["at"], datetime.UTC)
    yield f"{moment:%Y-%m-%d %H:%M:%S} UTC  {row['action']}"
    yield f"  {row['target']} by {row['key_id'] or 'master key'}"
    before, after = row["before"], row["after"]
    for name in before if before and after else ():
        yield f"  {name}: {jsonlib.dumps(before[name])} -> {jsonlib.dumps(after.get(name))}"

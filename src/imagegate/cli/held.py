"""`imagegate held`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from imagegate.assets.links import suffix_of
from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.listing import print_object, print_rows
from imagegate.errors import BadRequestError
from imagegate.types import Json

COLUMNS = {"id": "IMAGE", "model": "MODEL", "team_id": "TEAM", "held_by": "HELD BY"}


def held(
    action: Literal["list", "fetch", "release", "delete"] = "list",
    image: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    url: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Review images that guardrails of a running gateway hold.

    The gateway is asked with IMAGEGATE_ADMIN_KEY or IMAGEGATE_MASTER_KEY, and writes down who did
    what: `imagegate audit`.

    Parameters
    ----------
    action
        `fetch` saves an image to look at it, `release` gives it to the call's owner, `delete`
        removes it for good.
    image
        The id of the image, as `list` shows it.
    output
        For `fetch`: the file; by default one in this folder, named after the image.
    url
        Address of the gateway; http://127.0.0.1:4000 unless IMAGEGATE_URL says otherwise.
    json
        Print JSON, and nothing else.
    """
    api = AdminApi(url)
    if action == "list":
        rows = api.pages("/admin/held")
        print_rows(rows if json else [_shown(row) for row in rows], COLUMNS, as_json=json)
        return OK
    if image is None:
        raise BadRequestError(f"`imagegate held {action}` needs the id of an image.")
    if action == "fetch":
        data, media_type = api.read_bytes(f"/admin/held/{image}")
        path = output or Path(f"{image}.{suffix_of(media_type)}")
        path.write_bytes(data)
        sys.stdout.write(f"{path}\n")
        return OK
    asked = {
        "release": ("POST", f"/admin/held/{image}/release"),
        "delete": ("DELETE", f"/admin/held/{image}"),
    }
    print_object(api.ask(*asked[action]), as_json=json)
    return OK


def _shown(row: Json) -> Json:
    return row | {"held_by": ", ".join(row["held_by"])}

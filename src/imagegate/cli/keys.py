"""`imagegate keys`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.listing import print_object, print_rows
from imagegate.errors import BadRequestError
from imagegate.types import Json

COLUMNS = {"id": "KEY", "name": "NAME", "team_id": "TEAM", "role": "ROLE", "revoked_at": "REVOKED"}


def keys(
    action: Literal["list", "create", "rotate", "revoke"] = "list",
    which: str | None = None,
    /,
    *,
    team: str | None = None,
    role: Literal["caller", "team_admin", "admin"] = "caller",
    model: tuple[str, ...] = (),
    tag: tuple[str, ...] = (),
    overlap_s: float | None = None,
    url: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """List, create, rotate or revoke the virtual keys of a running gateway.

    The gateway is asked with IMAGEGATE_ADMIN_KEY or IMAGEGATE_MASTER_KEY.

    Parameters
    ----------
    action
        What to do. A created or rotated key is shown once, and never again.
    which
        The new key's name, or the id of the key to rotate or revoke.
    team
        Id of the team of a new key.
    role
        What a new key may do beside making images.
    model
        A model group that a new key may use, again for each; all unless given.
    tag
        A tag for each call of a new key, again for each.
    overlap_s
        How long a rotated key's old secret goes on to work, in seconds; a day unless given.
    url
        Address of the gateway; http://127.0.0.1:4000 unless IMAGEGATE_URL says otherwise.
    json
        Print JSON, and nothing else.
    """
    api = AdminApi(url)
    if action == "list":
        print_rows(api.pages("/admin/keys"), COLUMNS, as_json=json)
        return OK
    if which is None:
        raise BadRequestError(f"`imagegate keys {action}` needs a name or an id.")
    new: Json = {"name": which, "team_id": team, "role": role, "tags": tag}
    new["permissions"] = {"models": model}
    rotation = {} if overlap_s is None else {"overlap_s": overlap_s}
    asked = {
        "create": ("/admin/keys", new),
        "rotate": (f"/admin/keys/{which}/rotate", rotation),
        "revoke": (f"/admin/keys/{which}/revoke", {}),
    }
    print_object(api.ask("POST", *asked[action]), as_json=json)
    return OK

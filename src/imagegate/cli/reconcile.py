"""`imagegate calls reconcile`: charges that nobody knows, beside what the provider billed."""

import datetime
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from cyclopts import Parameter

from imagegate.catalogue.price import format_usd
from imagegate.cli.admin_api import AdminApi
from imagegate.cli.exits import OK
from imagegate.cli.gateway_reader import open_gateway
from imagegate.cli.listing import print_rows
from imagegate.cli.usage_export import read_export
from imagegate.cli.where import HERE, Where
from imagegate.errors import BadRequestError
from imagegate.types import Json

COLUMNS = {
    "id": "CHARGE",
    "made": "MADE",
    "upstream_request_id": "REQUEST",
    "held_usd": "HELD",
    "billed_usd": "BILLED",
}
Flag = Annotated[bool, Parameter(negative="")]


def reconcile_calls(
    export: Path | None = None,
    /,
    *,
    apply: Flag = False,
    charge: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    release: str | None = None,
    id_column: str = "",
    amount_column: str = "",
    where: Where = HERE,
    json: Flag = False,
) -> int:
    """List charges that nobody knows, and settle them by the provider's usage export.

    Parameters
    ----------
    export
        A CSV of the provider with a row for each request: its id, and its cost in USD.
    apply
        Settle what the export names; without it nothing is written.
    charge
        Settle one charge by hand: its id, and what the provider billed in USD.
    release
        Settle one charge by hand: the provider billed nothing.
    id_column
        The export's column with the upstream's request id, where it is not found by its name.
    amount_column
        The export's column with the cost in USD, where it is not found by its name.
    json
        Print JSON, and nothing else.
    """
    if sum(given is not None for given in (export, charge, release)) > 1 or apply > bool(export):
        raise BadRequestError("Give an export (--apply settles by it), or --charge, or --release.")
    place = open_gateway(where)
    api = AdminApi(place.url, place.key.reveal())
    if charge is not None:
        return _show([_settle(api, *charge)], as_json=json)
    if release is not None:
        return _show([_settle(api, release, "0")], as_json=json)
    if export is None:
        return _show(_held(api), as_json=json)
    billed = read_export(export, id_column=id_column, amount_column=amount_column)
    return _by_export(api, billed, is_applied=apply, as_json=json)


def _held(api: AdminApi) -> list[Json]:
    return api.pages("/admin/charges", limit="500")


def _by_export(api: AdminApi, billed: Mapping[str, int], *, is_applied: bool, as_json: bool) -> int:
    """Show what the export says of held charges, and settle them so where that is wanted."""
    rows = _held(api)
    found = _matched(rows, billed)
    if is_applied:
        found = [_settle(api, row["id"], row["billed_usd"]) for row in found]
    _show(found, as_json=as_json)
    if not as_json:
        _tell_rest(len(rows), len(found), is_applied=is_applied)
    return OK


def _matched(rows: list[Json], billed: Mapping[str, int]) -> list[Json]:
    """Return the charges whose request the export names, each with what it was billed.

    A sum of 0 may be one that was rounded, one below 0 is no price, and a request that two
    charges name could be either's: these wait for somebody to look.
    """
    times = Counter(row["upstream_request_id"] for row in rows)
    named = (row for row in rows if times[row["upstream_request_id"]] == 1)
    return [
        row | {"billed_usd": format_usd(billed[row["upstream_request_id"]])}
        for row in named
        if billed.get(row["upstream_request_id"], 0) > 0
    ]


def _settle(api: AdminApi, charge_id: str, cost_usd: str) -> Json:
    path = f"/admin/charges/{quote(charge_id, safe='')}/settle"
    settled = api.ask("POST", path, {"cost_usd": cost_usd})
    return settled | {"billed_usd": settled["cost_usd"]}


def _show(rows: list[Json], *, as_json: bool) -> int:
    shown = rows if as_json else [row | {"made": _time(row["dispatched_at"])} for row in rows]
    print_rows(shown, COLUMNS, as_json=as_json, whole="CHARGE")
    return OK


def _tell_rest(all_count: int, found_count: int, *, is_applied: bool) -> None:
    told = f"{found_count} of {all_count} unknown charges stand in the export"
    if is_applied:
        told += " and are settled."
    elif found_count:
        told += "; --apply settles them. Nothing was written."
    else:
        told += "."
    sys.stderr.write(f"{told} The others stay held.\n")


def _time(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%m-%d %H:%M")

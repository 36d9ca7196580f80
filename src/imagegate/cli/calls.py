"""`imagegate calls`: what became of calls, and the images that nobody got."""

import datetime
import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from imagegate.assets.links import suffix_of
from imagegate.cli.exits import OK
from imagegate.cli.gateway_reader import open_gateway
from imagegate.cli.reconcile import reconcile_calls
from imagegate.cli.where import HERE, Where
from imagegate.errors import NotFoundError
from imagegate.types import Json

__all__ = ["fetch_calls", "list_calls", "reconcile_calls", "show_calls"]

Flag = Annotated[bool, Parameter(negative="")]


def list_calls(
    *,
    state: Literal["running", "done", "failed", "unknown"] | None = None,
    limit: int = 20,
    where: Where = HERE,
    json: Flag = False,
) -> int:
    """List calls, the newest first.

    Parameters
    ----------
    state
        Only calls in this state; `unknown` may have been billed.
    limit
        How many at most, 1 to 100.
    json
        Print one JSON array, and nothing else.
    """
    wanted = f"&state={state}" if state else ""
    found = open_gateway(where).read_json(f"/v1/images/calls?limit={limit}{wanted}")
    rows: list[Json] = found["data"]
    if json:
        _write_json(rows)
    else:
        _print_table(rows)
    return OK


def show_calls(
    call_id: str,
    /,
    *,
    where: Where = HERE,
    json: Flag = False,
) -> int:
    """Show one call: its state, cost, attempts and adjustments.

    Parameters
    ----------
    call_id
        As in x-imagegate-call-id, in logs and in errors.
    json
        Print one JSON object, and nothing else.
    """
    call = open_gateway(where).read_json(f"/v1/images/calls/{call_id}?result=false")
    if json:
        _write_json(call)
    else:
        _print_call(call)
    return OK


def fetch_calls(
    call_id: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    where: Where = HERE,
    json: Flag = False,
) -> int:
    """Save the images of a call, whoever was there when they came.

    Parameters
    ----------
    call_id
        As in x-imagegate-call-id, in logs and in errors.
    output
        A folder; by default this one. Files are named after the call.
    json
        Print one JSON array of paths, and nothing else.
    """
    reader = open_gateway(where)
    call = reader.read_json(f"/v1/images/calls/{call_id}?result=false")
    if not call["images"]:
        raise NotFoundError(
            f"The call {call_id} is {call['state']} and has no kept images.", code="image_not_found"
        )
    folder = output or Path()
    saved = [_save(reader.read_bytes(one["path"]), one, call_id, folder) for one in call["images"]]
    if json:
        _write_json([str(path) for path in saved])
    else:
        for path in saved:
            sys.stdout.write(f"{path}\n")
    return OK


def cancel_calls(
    call_id: str,
    /,
    *,
    where: Where = HERE,
    json: Flag = False,
) -> int:
    """Take a call back that was not sent yet.

    Parameters
    ----------
    call_id
        As in x-imagegate-call-id, in logs and in errors.
    json
        Print one JSON object, and nothing else.
    """
    call = open_gateway(where).ask_json(f"/v1/images/calls/{call_id}/cancel", {})
    if json:
        _write_json(call)
    else:
        _print_call(call)
    return OK


def _save(data: bytes, image: Json, call_id: str, folder: Path) -> Path:
    path = folder / f"{call_id}-{image['index']}.{suffix_of(image['media_type'])}"
    path.write_bytes(data)
    return path


def _write_json(value: Json) -> None:
    sys.stdout.write(jsonlib.dumps(value) + "\n")


def _print_table(rows: list[Json]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("CALL", "MADE", "MODEL", "STATE", "USD", "IMAGES", "ERROR"):
        table.add_column(title, no_wrap=title == "CALL")
    for row in rows:
        count = str(row["image_count"])
        error = row["error_code"] or ""
        made = _time(row["created_at"])
        table.add_row(row["id"], made, row["model"], row["state"], row["cost"], count, error)
    Console(highlight=False, markup=False).print(table)


def _print_call(call: Json) -> None:
    console = Console(highlight=False, markup=False)
    progress = call["progress"]
    state = f"{call['state']}, {progress['phase']}" if progress else call["state"]
    console.print(f"{call['id']}: {call['operation']} by {call['model']}, {state}")
    delivered = call["delivered_at"]
    console.print(f"  made {_time(call['created_at'])}, cost {call['cost']} USD")
    console.print(f"  {'delivered ' + _time(delivered) if delivered else 'not delivered'}")
    for attempt in call["attempts"]:
        told = f": {attempt['upstream_text']}" if attempt["upstream_text"] else ""
        console.print(
            f"  attempt {attempt['number']} at {attempt['deployment']}: {attempt['state']} "
            f"{attempt['error_code'] or ''}{told}"
        )
    for change in call["adjustments"]:
        console.print(f"  {change['param']}: asked {change['asked']!r}, sent {change['sent']!r}")
    for said in call["guardrails"]:
        verdict = f"{said['action']} {said['category']}".strip()
        console.print(f"  guardrail {said['guardrail']} ({said['mode']}): {verdict}")
    if call["held_count"]:
        console.print(f"  held: {call['held_count']}, see `imagegate held`")
    for hook in call.get("webhooks", ()):
        told = f": {hook['error']}" if hook["error"] else ""
        console.print(f"  webhook {hook['url']}: {hook['state']}, tries {hook['tries']}{told}")
    for image in call["images"]:
        size = f"{image['width']}x{image['height']}"
        console.print(f"  image {image['index']}: {image['media_type']} {size}")


def _time(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

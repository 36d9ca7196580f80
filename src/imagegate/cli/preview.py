"""`imagegate preview`."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from imagegate.cli.exits import BAD_REQUEST, OK
from imagegate.cli.picture import PICTURE, Picture
from imagegate.client.calls import image_edit, image_generation
from imagegate.client.clients import Client, preview_of
from imagegate.types import Json


def preview(
    prompt: str,
    /,
    *,
    image: Annotated[list[str] | None, Parameter(negative="")] = None,
    mask: str | None = None,
    picture: Picture = PICTURE,
    seed: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    config: Path | None = None,
) -> int:
    """Show what a call would become and cost at each deployment. Nothing is sent or spent.

    Parameters
    ----------
    prompt
        What to draw, or what to change.
    image
        A file or https URL to edit; may be given several times.
    mask
        PNG as large as the first image; its transparent pixels are changed.
    seed
        Where images start from; not every model takes one.
    json
        Print one JSON array, and nothing else.
    config
        Configuration file, as for serve; without it keys of the environment are used.
    """
    given = picture.fields() | ({} if seed is None else {"seed": seed})
    with Client(config) as client:
        if image:
            previews = preview_of(client, image_edit, image, prompt, mask=mask, **given)
        else:
            previews = preview_of(client, image_generation, prompt, **given)
    if json:
        sys.stdout.write(jsonlib.dumps(previews) + "\n")
    else:
        _print(previews)
    return OK if any(one["error"] is None for one in previews) else BAD_REQUEST


def _print(previews: list[Json]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in previews:
        console.print(f"{one['deployment']}  {one['provider']}/{one['model']}", style="bold")
        if one["error"]:
            console.print(f"  cannot: {one['error']['message']}", style="red")
            continue
        _print_request(console, one)
        for adjustment in one["adjustments"]:
            console.print(f"  adjusted: {_adjusted(adjustment)}", style="yellow")
        for warning in one["warnings"]:
            console.print(f"  warning: {warning}", style="yellow")
        console.print(f"  price: {_price(one['price'])}")


def _print_request(console: Console, one: Json) -> None:
    request = one["request"]
    times = f"  ({one['requests']} requests like this)" if one["requests"] > 1 else ""
    console.print(f"  {request['method']} {request['url']}{times}")
    for name, value in request["headers"].items():
        console.print(f"  {name}: {value}", style="dim")
    body = request["body"]
    text = body if isinstance(body, str) else jsonlib.dumps(body, indent=2, ensure_ascii=False)
    for line in text.splitlines():
        console.print(f"  {line}")


def _adjusted(adjustment: Json) -> str:
    sent = "left out" if adjustment["sent"] is None else f"sent as {adjustment['sent']}"
    return f"{adjustment['param']} {adjustment['asked']} is {sent}: {adjustment['reason']}"


def _price(price: Json) -> str:
    if price is None:
        return "unknown"
    if price["lowest_usd"] == price["highest_usd"]:
        return f"{price['lowest_usd']} USD"
    return (
        f"{price['lowest_usd']} to {price['highest_usd']} USD, expected {price['expected_usd']} USD"
    )

"""`imagegate guardrails test`."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.console import Console

from imagegate import clock
from imagegate.cli.exits import OK, POLICY
from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from imagegate.errors import BadRequestError
from imagegate.guardrails.subject import Stage, Subject, trial_of
from imagegate.prepare import check_inputs
from imagegate.runtime.assemble import open_runtime
from imagegate.telemetry import Verdict
from imagegate.types import Blob, ImageCall

_STYLES = {"allow": "green", "mask": "yellow"}


def guardrails(
    action: Literal["test"],
    name: str,
    prompt: str = "",
    /,
    *,
    image: tuple[Path, ...] = (),
    stage: Stage = "input",
    config: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what a guardrail says of a prompt or images.

    No call is made; a guardrail's own service is asked.

    Parameters
    ----------
    action
        `test`.
    name
        The guardrail's name in the file.
    prompt
        What to try it on; "" where it is only about images.
    image
        An image file to try it on, again for each.
    stage
        Whether the images go in or came out.
    config
        The YAML file.
    json
        Print one JSON object.
    """
    assert action == "test"
    settings = load_settings(str(config))
    call = _call(settings, prompt, [_blob(file) for file in image])
    verdict = asyncio.run(_test(settings, name, trial_of(call, stage)))
    if json:
        _write_json(verdict)
    else:
        text = f"{verdict.guardrail}: {verdict.action} {verdict.category}".strip()
        Console(highlight=False).print(text, style=_STYLES.get(verdict.action, "red"), markup=False)
    return OK if verdict.action in _STYLES else POLICY


def _blob(file: Path) -> Blob:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadRequestError(
            f"{str(file)!r} cannot be read: {error.strerror}", param="image"
        ) from None
    return Blob(source=data, offset=0, length=len(data))


def _call(settings: Settings, prompt: str, images: Sequence[Blob]) -> ImageCall:
    """Return what the guardrail sees, its images looked at as those of a call are."""
    call = ImageCall(
        id=clock.new_id("call"),
        operation="edit" if images else "generate",
        model="",
        prompt=prompt,
        images=tuple(images),
    )
    if not images:
        return call
    limits = settings.server
    return check_inputs(
        call, pixels_max=limits.image_pixels_max, file_bytes_max=limits.file_bytes_max
    )


async def _test(settings: Settings, name: str, subject: Subject) -> Verdict:
    runtime = await open_runtime(settings, embedded=True)
    try:
        return await runtime.tools.guards.test(name, subject)
    finally:
        await runtime.aclose()


def _write_json(verdict: Verdict) -> None:
    shown = {name: getattr(verdict, name) for name in ("guardrail", "mode", "action", "category")}
    sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")

"""`imagegate guardrails test`."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.console import Console

from imagegate import clock
from imagegate.cli.exits import OK, POLICY
from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from imagegate.guardrails.subject import Subject
from imagegate.runtime.assemble import open_runtime
from imagegate.telemetry import Verdict

_STYLES = {"allow": "green", "mask": "yellow"}


def guardrails(
    action: Literal["test"],
    name: str,
    prompt: str,
    /,
    *,
    config: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what a guardrail says of a prompt. No call is made; a guardrail's own service is asked.

    Parameters
    ----------
    action
        `test`.
    name
        The guardrail's name in the file.
    prompt
        What to try it on.
    config
        The YAML file.
    json
        Print one JSON object.
    """
    assert action == "test"
    verdict = asyncio.run(_test(load_settings(str(config)), name, prompt))
    if json:
        _write_json(verdict)
    else:
        text = f"{verdict.guardrail}: {verdict.action} {verdict.category}".strip()
        Console(highlight=False).print(text, style=_STYLES.get(verdict.action, "red"), markup=False)
    return OK if verdict.action in _STYLES else POLICY


async def _test(settings: Settings, name: str, prompt: str) -> Verdict:
    runtime = await open_runtime(settings, embedded=True)
    try:
        subject = Subject(stage="input", call_id=clock.new_id("call"), texts={"prompt": prompt})
        return await runtime.tools.guards.test(name, subject)
    finally:
        await runtime.aclose()


def _write_json(verdict: Verdict) -> None:
    shown = {name: getattr(verdict, name) for name in ("guardrail", "mode", "action", "category")}
    sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")

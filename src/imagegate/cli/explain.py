"""`imagegate explain`."""

import json as jsonlib
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from imagegate.cli.failure import error_console
from imagegate.cli.gateway_reader import open_gateway
from imagegate.diagnosis import explain as engine
from imagegate.diagnosis.our_errors import today_of
from imagegate.diagnosis.paste import PASTE_CHARS_MAX, parse_paste
from imagegate.errors import BadRequestError, Finding
from imagegate.types import Json

WIDTH_MAX = 80
TEXT_LINES_MAX = 6
ATTEMPTS_SHOWN_MAX = 4
CALL_ID = re.compile(r"call_[0-9A-Za-z]{26}")
_LABEL = 9
_COMMAND = re.compile(r"(?:curl|az|aws|npm|ollama|gcloud|codex) ")
_STYLES = {"high": "bold red", "medium": "bold yellow", "low": "bold"}


def explain(
    text: str | None = None,
    /,
    *,
    file: Path | None = None,
    gateway: str | None = None,
    config: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say whose an error is to fix, and what to do next. Nothing is sent; no key is needed.

    Paste what you have, from any provider, reseller, gateway or client: the error's text or JSON,
    what `curl -i` or `curl -v` printed, an SDK's exception, Codex output. Headers and the status
    help most. A call's id (`call_...`) asks the gateway that made it, which reads the attempts that
    it stored.

    Parameters
    ----------
    text
        The error in quotes, or a call's id; without it and --file, standard input is read.
    file
        A file that holds it.
    gateway
        Of a call's id: the gateway's address; by default that of the configuration.
    config
        Of a call's id: the gateway's configuration file, for its address and key.
    json
        Print one JSON object, and nothing else.
    """
    pasted = text if text is not None else _read(file)
    if not pasted.strip():
        raise BadRequestError("there is nothing to explain: paste the error, or give --file")
    if CALL_ID.fullmatch(pasted.strip()):
        told = open_gateway(config, gateway).ask_json("/v1/diagnose", {"call_id": pasted.strip()})
    else:
        finding = engine.explain(parse_paste(pasted, today_of()))
        told = finding.fields() | msgspec.to_builtins(finding)
    if json:
        sys.stdout.write(jsonlib.dumps(told) + "\n")
    else:
        _show(msgspec.convert(told, Finding), told.get("attempts", []))
    return int(told["exit_code"])


def _read(file: Path | None) -> str:
    if file is not None:
        try:
            with file.open(encoding="utf-8", errors="replace") as opened:
                return opened.read(PASTE_CHARS_MAX)
        except OSError as error:
            raise BadRequestError(f"{file} cannot be read: {error.strerror}") from error
    if sys.stdin.isatty():
        error_console().print("Paste the error, then Ctrl-D on a line of its own:", style="dim")
    return sys.stdin.read(PASTE_CHARS_MAX)


def _show(finding: Finding, attempts: Sequence[Json]) -> None:
    """Print the verdict first; all of it fits on a screen of 80 columns and 24 lines."""
    console = Console(highlight=False, soft_wrap=True)
    verdict = f"{finding.surface}: {finding.cause}"
    style = _STYLES[finding.confidence] if finding.is_decided else "bold"
    console.print(Text("\n".join(textwrap.wrap(verdict, WIDTH_MAX)), style=style))
    for label, value in _rows(finding):
        console.print(Text.assemble((f"{label:{_LABEL}}", "dim"), _wrap(value)))
    for number, attempt in enumerate(attempts[:ATTEMPTS_SHOWN_MAX], 1):
        line = f"{attempt['deployment']}: {attempt['state']}, {attempt['finding']['cause']}"
        console.print(Text.assemble((f"{f'try {number}':{_LABEL}}", "dim"), _wrap(line)))
    lines = [line[:WIDTH_MAX] for line in _said(finding)]
    if lines:
        console.print(Text("it said:\n" + "\n".join(lines), style="dim"))


def _rows(finding: Finding) -> Iterator[tuple[str, str]]:
    sure = (
        f"{finding.confidence}; not if {finding.unless}" if finding.unless else finding.confidence
    )
    rows = (
        ("owner", f"{finding.owner}: {finding.who}" if finding.is_decided else "undecided"),
        ("through", ", ".join(finding.via)),
        ("next", finding.next),
        ("do not", finding.do_not),
        ("bill", finding.cost),
        ("sure", sure),
        ("keep", ", ".join(finding.evidence)),
        ("rule", f"{finding.rule} ({finding.source})" if finding.source else finding.rule),
    )
    return ((label, value) for label, value in rows if value)


def _wrap(value: str) -> str:
    """Return a value for its column; a command stays on one line, to be copied as it is."""
    command, _, prose = value.partition("; ") if _COMMAND.match(value) else ("", "", value)
    room = WIDTH_MAX - _LABEL
    lines = textwrap.wrap(prose, room, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * _LABEL).join([command, *lines] if command else lines)


def _said(finding: Finding) -> list[str]:
    """Return the upstream's own words, cut for the screen; `--json` has all of them."""
    lines = [
        part
        for line in finding.text.splitlines()
        if line.strip()
        for part in textwrap.wrap(line, WIDTH_MAX, drop_whitespace=False)
    ]
    more = len(lines) - TEXT_LINES_MAX
    return lines if more <= 0 else [*lines[:TEXT_LINES_MAX], f"... {more} more lines: --json"]

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
from imagegate.cli.finding import WIDTH_MAX, print_rows, print_words, verdict_rows
from imagegate.cli.gateway_reader import open_gateway
from imagegate.cli.where import Where
from imagegate.diagnosis import explain as engine
from imagegate.diagnosis.our_errors import today_of
from imagegate.diagnosis.paste import PASTE_CHARS_MAX, parse_paste
from imagegate.errors import BadRequestError, Finding
from imagegate.types import Json

ATTEMPTS_SHOWN_MAX = 4
CALL_ID = re.compile(r"call_[0-9A-Za-z]{26}")
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
        where = Where(gateway=gateway, config=config)
        told = open_gateway(where).ask_json("/v1/diagnose", {"call_id": pasted.strip()})
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
    print_rows(console, [*verdict_rows(finding), *_sources(finding)])
    if len(attempts) > 1:
        shown = enumerate(attempts[:ATTEMPTS_SHOWN_MAX], 1)
        print_rows(console, [(f"try {number}", _attempt(attempt)) for number, attempt in shown])
    print_words(console, finding.text)


def _sources(finding: Finding) -> Iterator[tuple[str, str]]:
    if finding.evidence:
        yield "keep", ", ".join(finding.evidence)
    yield "rule", f"{finding.rule} ({finding.source})" if finding.source else finding.rule


def _attempt(attempt: Json) -> str:
    return f"{attempt['deployment']}: {attempt['state']}, {attempt['finding']['cause']}"

"""Prints a finding in 80 columns: owner, next step, what not to do, how sure, and what was said."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from imagegate.errors import Finding

WIDTH_MAX = 80
TEXT_LINES_MAX = 6
_LABEL = 9
_COMMAND = re.compile(r"(?:curl|az|aws|npm|ollama|gcloud|codex|imagegate) ")


def print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print labels with their values, each in its column."""
    for label, value in rows:
        line = Text.assemble((f"{label:{_LABEL}}", "dim"), _wrap(value))
        console.print(line, soft_wrap=True)


def print_words(console: Console, text: str) -> None:
    """Print the upstream's own words, cut for the screen."""
    lines = [line[:WIDTH_MAX] for line in _said(text)]
    if lines:
        console.print(Text("it said:\n" + "\n".join(lines), style="dim"))


def verdict_rows(finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield whose it is, what next and what not, and how sure that is."""
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
    )
    yield from ((label, value) for label, value in rows if value)


def _wrap(value: str) -> str:
    """Return a value for its column; a command stays on one line, to be copied as it is."""
    command, _, prose = value.partition("; ") if _COMMAND.match(value) else ("", "", value)
    room = WIDTH_MAX - _LABEL
    lines = textwrap.wrap(prose, room, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * _LABEL).join([command, *lines] if command else lines)


def _said(text: str) -> list[str]:
    lines = [
        part
        for line in text.splitlines()
        if line.strip()
        for part in textwrap.wrap(line, WIDTH_MAX, drop_whitespace=False)
    ]
    more = len(lines) - TEXT_LINES_MAX
    return lines if more <= 0 else [*lines[:TEXT_LINES_MAX], f"... {more} more lines: --json"]

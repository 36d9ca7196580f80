"""Prints what `doctor` found: the verdict first, then each fault, in 80 columns."""

import re
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from imagegate.config.faults import ConfigFault
from imagegate.config.settings import Settings
from imagegate.diagnosis.checkup import Checkup, Step
from imagegate.diagnosis.compare import Comparison

WIDTH_MAX = 80
_INDENT = "   "
_TOLD_IN_WORDS = ("ledger", "asset folder", "account", "known good model", "smallest image")
_WHO = {
    "caller": "this file: its names, addresses and keys",
    "operator": "whoever runs this installation, or the server that answered",
    "network": "whoever runs this machine and its network",
    "account": "whoever administers the account at the provider",
    "provider": "the company whose API it is",
}
_COMMAND = re.compile(r"(?:curl|az|aws|openssl|getent|timedatectl|imagegate)\b")


def show(
    faults: Sequence[ConfigFault],
    premises: Sequence[Checkup],
    checkups: Sequence[Checkup],
    settings: Settings,
    *,
    is_paid: bool,
) -> None:
    """Print the verdict, all faults, what to look at, and what works."""
    console = Console(highlight=False, soft_wrap=True)
    found = _grouped((*premises, *checkups))
    count = len(faults) + len(found)
    console.print(Text(_verdict(count, checkups, is_paid=is_paid), style=_style(count)))
    number = 0
    for fault in faults:
        number += 1
        where = ", ".join(filter(None, (f"line {fault.line}" * bool(fault.line), fault.path)))
        _print_entry(console, f"{number} {where}: {fault.text}", "caller", "")
    for step, names in found:
        number += 1
        title = f"{number} {', '.join(names)} ({step.probe} {step.title}): {step.text}"
        _print_entry(console, title, step.owner, step.next)
    _print_warnings(console, (*premises, *checkups))
    _print_rest(console, (*premises, *checkups), settings)


def show_comparison(comparison: Comparison, first: str, second: str) -> None:
    """Print the verdict, then the questions and both answers."""
    console = Console(highlight=False, soft_wrap=True)
    style = "bold red" if comparison.owner else "bold green"
    console.print(Text(_wrap(comparison.verdict, ""), style=style))
    if comparison.owner:
        console.print(_wrap(f"owner    {comparison.owner}", " " * 9), markup=False)
    console.print(_wrap(f"next     {comparison.next}", " " * 9), markup=False)
    console.print()
    room = (WIDTH_MAX - 28) // 2
    console.print(f"{'':28}{first[: room - 1]:{room}}{second[: room - 1]}", style="dim")
    for row in comparison.rows:
        line = f"{row.probe} {row.title:24} {row.first:{room}}{row.second}"
        console.print(Text(line[:WIDTH_MAX], style="bold" if row.is_different else ""))


def _grouped(checkups: Sequence[Checkup]) -> list[tuple[Step, list[str]]]:
    """Return each fault once, with the deployments that have it."""
    found: dict[str, tuple[Step, list[str]]] = {}
    for one in checkups:
        for step in one.faults:
            found.setdefault(f"{step.text} {step.next}", (step, []))[1].append(one.deployment)
    return list(found.values())


def _verdict(count: int, checkups: Sequence[Checkup], *, is_paid: bool) -> str:
    bad = sum(bool(one.faults) for one in checkups)
    bought = "" if is_paid else " Nothing was bought."
    if not count:
        return f"No fault in {_plural(len(checkups), 'deployment')}.{bought}"
    where = f" {bad} of {_plural(len(checkups), 'deployment')} cannot work." if bad else ""
    return f"{_plural(count, 'fault')}.{where}{bought}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _style(count: int) -> str:
    return "bold red" if count else "bold green"


def _print_entry(console: Console, title: str, owner: str, remedy: str) -> None:
    console.print(Text(_wrap(title, _INDENT), style="bold"))
    if remedy:
        console.print(Text(_remedy(remedy)))
    who = f": {_WHO[owner]}" if owner in _WHO else ""
    console.print(Text(f"{_INDENT}owner  {owner}{who}", style="dim"))


def _print_warnings(console: Console, checkups: Sequence[Checkup]) -> None:
    told: dict[str, list[str]] = {}
    for one in checkups:
        for step in one.warnings:
            text = f"{step.text} {step.next}".strip()
            told.setdefault(text, []).append(one.deployment)
    for text, names in told.items():
        console.print(Text(_wrap(f"! {', '.join(names)}: {text}", "  "), style="yellow"))


def _print_rest(console: Console, checkups: Sequence[Checkup], settings: Settings) -> None:
    for one in checkups:
        if not one.faults:
            console.print(Text(_wrap(f"ok {one.deployment}: {_done(one)}", _INDENT), style="green"))
    for entry in settings.skipped:
        console.print(Text(_wrap(f"- {entry.name} is not served: {entry.reason}", "  ")))
    for note in settings.notes:
        if note.line:
            text = f"- {note.name} (line {note.line}): {note.text}"
            console.print(Text(_wrap(text, "  "), style="dim"))


def _done(one: Checkup) -> str:
    """Return what works, what is left open, and what cannot be asked there."""
    parts = (("", "ok"), ("Unclear: ", "unclear"), ("Not possible here: ", "skipped"))
    told = []
    for label, state in parts:
        steps = [_short(step) for step in one.steps if step.state == state]
        told += [f"{label}{'; '.join(steps)}."] if steps else []
    return " ".join(told)


def _short(step: Step) -> str:
    said = step.text.rstrip(".") if step.title in _TOLD_IN_WORDS else ""
    return f"{step.probe} {step.title}{f' ({said})' if said else ''}"


def _remedy(text: str) -> str:
    """Return a remedy for its column; a command stays on one line, to be copied as it is."""
    column = len(_INDENT) + 7
    command, mark, prose = text.partition("; ") if _COMMAND.match(text) else ("", "", text)
    if not mark:
        command, prose = "", text
    lines = textwrap.wrap(prose, WIDTH_MAX - column, break_long_words=False, break_on_hyphens=False)
    label = f"{_INDENT}next   "
    if len(command) > WIDTH_MAX - column:
        label = f"{_INDENT}next\n{_INDENT}"
    return label + ("\n" + " " * column).join([command, *lines] if mark else lines)


def _wrap(text: str, indent: str) -> str:
    return "\n".join(
        textwrap.wrap(
            text,
            WIDTH_MAX,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )

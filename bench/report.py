"""The table for people and the JSON for machines."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cases import Case, Row
from bench.start import BARS, Start
from bench.telemetry import Telemetry

WIDTH = 100
_COLUMNS = (
    "CPU ms",
    "x nginx",
    "<LiteLLM",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "last s",
    "peak MB",
    "disk MB",
    "wrong",
)
_START_WORDS = {
    "import_s": "import, s",
    "ready_s": "serve ready, s",
    "distributions": "distributions",
    "installed_mb": "installed, MB",
}
LEGEND = """\
CPU ms: of the whole process tree, a call. x nginx: that as a multiple of nginx. <LiteLLM: how many
times less than LiteLLM. p50, p99: of direct, for the others what they add to it. last s: when the
last of all answers was there. peak MB: resident. disk MB: written to files. wrong: answers."""


def case_table(case: Case, rows: Mapping[str, Row], absent: Mapping[str, str]) -> str:
    """Return the block of one case: a line a contender, then a line a bar."""
    lines = [f"{case.name}: {case.text}".ljust(WIDTH, " ")[:WIDTH].rstrip()]
    lines.append("".join([" " * 18, *(f"{name:>8}" for name in _COLUMNS)]))
    lines += [_line(name, row, rows) for name, row in rows.items()]
    lines += [f"  {name:<16}  {reason}" for name, reason in absent.items()]
    lines += [f"  bar: {bar.text:.<46} {bar.judge(rows)}" for bar in case.bars]
    return "\n".join(lines)


def _line(name: str, row: Row, rows: Mapping[str, Row]) -> str:
    if row.note:
        fails = f"fails {row.wrong} of {row.calls}: " if row.calls else ""
        return f"  {name:<16}  {fails}{row.note}"[:WIDTH]
    base = Row() if name == "direct" else rows.get("direct", Row())
    cells = (
        _number(row.cpu_ms),
        _number(_ratio(row.cpu_ms, rows.get("nginx", Row()).cpu_ms)),
        _number(_ratio(rows.get("litellm", Row()).cpu_ms, row.cpu_ms)),
        _number(row.calls_s),
        _added(row.p50_ms, base.p50_ms),
        _added(row.p99_ms, base.p99_ms),
        _number(row.last_s),
        _number(row.peak_mb),
        _number(row.written_mb),
        str(row.wrong),
    )
    return "".join([f"  {name:<16}", *(f"{cell:>8}" for cell in cells)])


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _added(value: float | None, base: float | None) -> str:
    if value is None or base is None:
        return _number(value)
    return f"{value - base:+.3g}" if abs(value - base) < 100 else f"{value - base:+.0f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def start_table(starts: Mapping[str, Start]) -> str:
    """Return the block about starting and installing."""
    lines = ["start", "".join([f"  {'':<16}", *(f"{name:>16}" for name in starts)])]
    for key, words in _START_WORDS.items():
        values = (getattr(start, key) for start in starts.values())
        lines.append("".join([f"  {words:<16}", *(f"{_number(value):>16}" for value in values)]))
    lines += [f"  {name}: {start.note}"[:WIDTH] for name, start in starts.items() if start.note]
    own = starts.get("imagegate", Start())
    lines += [
        f"  bar: {f'{_START_WORDS[key]} under {limit:g}':.<46} {_judge(getattr(own, key), limit)}"
        for key, limit in BARS.items()
    ]
    return "\n".join(lines)


def telemetry_table(found: Telemetry) -> str:
    """Return the block about telemetry; p50 and p99 are absolute."""
    columns = ("CPU ms", "calls/s", "p50 ms", "p99 ms", "wrong")
    lines = ["telemetry: OpenTelemetry's collector, answers of 0.3 KB, 16 at once"]
    lines.append("".join([" " * 18, *(f"{name:>8}" for name in columns)]))
    for name, row in found.rows.items():
        figures = (row.cpu_ms, row.calls_s, row.p50_ms, row.p99_ms)
        cells = [*map(_number, figures), str(row.wrong)]
        lines.append("".join([f"  {name:<16}", *(f"{cell:>8}" for cell in cells)]))
    lines += [f"  bar: {text:.<46} {verdict}" for text, verdict in found.bars.items()]
    return "\n".join(lines)


def _judge(value: float | None, limit: float) -> str:
    if value is None:
        return "not measured"
    return f"{value:.3g} {'reached' if value < limit else 'MISSED'}"


def as_json(
    results: Mapping[str, tuple[Case, Mapping[str, Row]]],
    starts: Mapping[str, Start],
    telemetry: Telemetry | None,
) -> dict[str, Any]:
    """Return everything that was measured, and on what."""
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "cases": {
            name: {
                "rows": {contender: asdict(row) for contender, row in rows.items()},
                "bars": {bar.text: bar.judge(rows) for bar in case.bars},
            }
            for name, (case, rows) in results.items()
        },
        "start": {name: asdict(start) for name, start in starts.items()},
        "telemetry": telemetry and asdict(telemetry) | {"bars": telemetry.bars},
    }


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write the results to a file whose folder may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n")

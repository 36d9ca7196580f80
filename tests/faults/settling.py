"""Settles every charge that a torture left unknown, as an operator does: by the provider's export,
and by hand where a request's id never came back."""

import contextlib
import csv
import io
from collections.abc import Iterable
from pathlib import Path

from imagegate.catalogue.price import format_usd
from imagegate.cli.app import run
from tests.faults.audit import Books, Sides, price_e10
from tests.upstream.bill import Record


def settle_all(bill: Iterable[Record], books: Books, url: str, folder: Path) -> None:
    """Leave no charge of the gateway at `url` unknown: what has no price was billed at 0."""
    posts = [one for one in bill if one.method == "POST"]
    export = _write_export(posts, folder / "export.csv")
    _reconcile(url, str(export), "--apply")
    sides = Sides(posts, books.attempts())
    for record, attempt in sides.pairs:
        if attempt.state == "unknown" and attempt.cost_e10 is None:
            _reconcile(url, "--charge", attempt.id, format_usd(price_e10(record)))
    for attempt in sides.lone:
        _reconcile(url, "--release", attempt.id)


def _reconcile(url: str, *arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["calls", "reconcile", *arguments, "--json", "--gateway", url]) == 0


def _write_export(posts: list[Record], path: Path) -> Path:
    """Write what was billed, as OpenAI writes its costs, with a row for text and one for images."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["start_time", "amount_value", "amount_currency", "request_id"])
        for record in posts:
            total_e10 = price_e10(record)
            for part_e10 in (total_e10 // 3, total_e10 - total_e10 // 3):
                cost = format_usd(part_e10)
                lines.writerow(["2026-11-20", cost, "usd", f"req_{record.number:032x}"])
    return path

"""Reads a provider's usage export: a CSV whose rows name a request and what it cost, in USD.

Providers name their columns differently and change them, so columns are found by known spellings,
written in any case and with any separator, or by the name that the operator gives.
"""

import csv
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from msgspec import Struct

from imagegate.errors import BadRequestError

REQUEST_ID_NAMES = (
    "requestid",
    "xrequestid",
    "upstreamrequestid",
    "apimrequestid",
    "correlationid",
    "awsrequestid",
)
AMOUNT_NAMES = (
    "costusd",
    "costinusd",
    "amountusd",
    "amountvalue",
    "costinbillingcurrency",
    "pretaxcost",
    "cost",
    "amount",
    "totalcost",
    "charge",
)
CURRENCY_NAMES = ("amountcurrency", "billingcurrency", "billingcurrencycode", "currency")
ROWS_MAX = 5_000_000
USD_MAX = 10**8
_DELIMITERS = ",;\t"
_E10_DIGITS = 10


class _Columns(Struct, frozen=True):
    """Where in a row the request, the amount and, if at all, the currency stand."""

    request_id: str
    amount: str
    currency: str | None


def read_export(path: Path, *, id_column: str = "", amount_column: str = "") -> dict[str, int]:
    """Return what each request cost, in 1e-10 USD; several rows of one request are summed.

    Rows without a request's id are passed over. Raises `BadRequestError` where the file is no such
    export, with the line that does not fit.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            return _sums(csv.DictReader(file, delimiter=delimiter), id_column, amount_column)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequestError(f"{path} cannot be read as CSV: {error}.") from error


def _sums(rows: "csv.DictReader[str]", id_column: str, amount_column: str) -> dict[str, int]:
    columns = _columns_of(list(rows.fieldnames or ()), id_column, amount_column)
    sums: dict[str, Decimal] = {}
    for request_id, amount in _charges(rows, columns):
        sums[request_id] = sums.get(request_id, Decimal(0)) + amount
    return {
        name: int(total.scaleb(_E10_DIGITS).to_integral_value()) for name, total in sums.items()
    }


def _columns_of(names: list[str], id_column: str, amount_column: str) -> _Columns:
    return _Columns(
        request_id=_column(names, id_column, REQUEST_ID_NAMES, "request", "--id-column"),
        amount=_column(names, amount_column, AMOUNT_NAMES, "amount", "--amount-column"),
        currency=_known(names, CURRENCY_NAMES),
    )


def _column(names: list[str], given: str, known: tuple[str, ...], what: str, option: str) -> str:
    found = given if given in names else None if given else _known(names, known)
    if found is None:
        wanted = f"column {given!r}" if given else f"column for the {what}"
        raise BadRequestError(
            f"The export has no {wanted}; its columns are: {', '.join(names) or 'none'}. Name the "
            f"one to use with {option}. An export of sums a day names no requests: use one of "
            "single requests, or settle by hand with --charge."
        )
    return found


def _known(names: list[str], known: tuple[str, ...]) -> str | None:
    plain = {"".join(filter(str.isalnum, name.lower())): name for name in names if name}
    return next((plain[name] for name in known if name in plain), None)


def _charges(rows: "csv.DictReader[str]", columns: _Columns) -> Iterator[tuple[str, Decimal]]:
    for count, row in enumerate(rows):
        if count >= ROWS_MAX:
            raise BadRequestError(f"The export has more than {ROWS_MAX} rows; give a part of it.")
        request_id = (row.get(columns.request_id) or "").strip()
        if request_id:
            yield request_id, _amount(row, columns, rows.line_num)


def _amount(row: Mapping[str, str | None], columns: _Columns, line: int) -> Decimal:
    currency = (row.get(columns.currency) or "") if columns.currency else ""
    if currency.strip().lower() not in ("", "usd", "us dollar"):
        raise BadRequestError(
            f"Line {line}: the amount is in {currency!r}. Export it in USD, or name a column in "
            "USD with --amount-column."
        )
    text = (row.get(columns.amount) or "").strip()
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not -USD_MAX <= amount <= USD_MAX:
        raise BadRequestError(
            f"Line {line}: {columns.amount} is {text!r}, which is no amount of USD."
        )
    return amount

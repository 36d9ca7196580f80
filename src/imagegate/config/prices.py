"""An operator's own prices of one deployment, in LiteLLM's names. Exact: never through a float."""

import datetime
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Self

from msgspec.structs import asdict, replace

from imagegate.catalogue.model import FREE, TOKEN_RATES, Model, Price
from imagegate.catalogue.price import format_usd
from imagegate.config.wanted import Findings
from imagegate.types import Json

TOKEN_PRICES = {
    "input_cost_per_token": "text_in_e10",
    "input_cost_per_image_token": "image_in_e10",
    "output_cost_per_token": "text_out_e10",
    "output_cost_per_image_token": "image_out_e10",
    "cache_read_input_token_cost": "text_in_cached_e10",
    "cache_read_input_image_token_cost": "image_in_cached_e10",
}
"""LiteLLM's names of prices in USD a token -> the catalogue's rates."""

MADE_PRICES = {
    "output_cost_per_image": "image_e10",
    "input_cost_per_image": "image_e10",
    "output_cost_per_pixel": "megapixel_e10",
    "input_cost_per_pixel": "megapixel_e10",
}
"""The same of finished images and of their pixels, the first of which counts. LiteLLM counts the
two that begin with `input` so as well, where there is no other."""

PRICE_NAMES = frozenset((*TOKEN_PRICES, *MADE_PRICES))

_TOKEN_WORDS = {
    "text_in_e10": "text",
    "text_in_cached_e10": "cached text",
    "image_in_e10": "images sent",
    "image_in_cached_e10": "cached images",
    "image_out_e10": "images made",
    "text_out_e10": "text written",
}
_UNITS = {
    "image_e10": "an image",
    "megapixel_e10": "a million pixels",
    "input_image_e10": "an image sent",
}
_DECIMALS = 10
_PIXEL_DECIMALS = 16
_TOKEN_USD_MAX = 1
_UNIT_USD_MAX = 10_000


class WrittenFloat(float):
    """A number of a document that knows how it was written: money is read from its `text`."""

    text: str

    def __new__(cls, value: float, text: str) -> Self:
        """Return the number with its text."""
        number = super().__new__(cls, value)
        number.text = text
        return number


def usd_e10(usd: float | None) -> int | None:
    """Return an amount of the configuration in 1e-10 USD."""
    return None if usd is None else round(Decimal(str(usd)).scaleb(_DECIMALS))


def prices_among(given: Mapping[str, Json]) -> dict[str, Json]:
    """Return what of LiteLLM's prices is given, as it is written."""
    return {name: given[name] for name in sorted(PRICE_NAMES) if given.get(name) is not None}


def priced_row(
    given: Mapping[str, Json], row: Model | None, model_id: str, findings: Findings
) -> Model | None:
    """Return `row` at the operator's prices, None where there are none.

    A model without a row gets one that holds its price and nothing else.
    """
    read = {name: _read(name, value, findings) for name, value in given.items()}
    rates = {name: rate for name, rate in read.items() if rate is not None}
    if not rates:
        return None
    if row is None:
        row = Model(id=model_id, operations=(), source="configuration", checked=datetime.date.min)
    return replace(row, price=_price(rates, row.price, findings))


def describe_price(price: Price) -> str:
    """Return a price in words: `0.04 USD an image`."""
    if price.is_free:
        return "free"
    rates = asdict(price)
    tokens = [
        f"{format_usd(rates[field] * 10**6)} USD a million tokens of {words}"
        for field, words in _TOKEN_WORDS.items()
        if rates[field]
    ]
    units = [
        f"{format_usd(rates[name])} USD {unit}" for name, unit in _UNITS.items() if rates[name]
    ]
    return ", ".join((*tokens, *units))


def _read(name: str, value: Json, findings: Findings) -> int | None:
    """Return a rate in 1e-10 USD, by the million for pixels; None where it is no price."""
    decimals = _PIXEL_DECIMALS if name.endswith("_pixel") else _DECIMALS
    try:
        usd = Decimal(value.text if isinstance(value, WrittenFloat) else str(value))
    except InvalidOperation:
        usd = Decimal(-1)
    usd_max = _TOKEN_USD_MAX if name in TOKEN_PRICES else _UNIT_USD_MAX
    unit = "token" if name in TOKEN_PRICES else name.rpartition("_")[2]
    if isinstance(value, bool) or not usd.is_finite() or not 0 <= usd <= usd_max:
        findings.problem(name, f"must be USD by {unit}, 0 to {usd_max}, such as 0.000005")
        return None
    rate = usd.scaleb(decimals)
    if rate != rate.to_integral_value():
        findings.problem(name, f"must have at most {decimals} decimals: money is counted exactly")
        return None
    return int(rate)


def _price(rates: Mapping[str, int], row: Price | None, findings: Findings) -> Price:
    tokens = {TOKEN_PRICES[name]: rate for name, rate in rates.items() if name in TOKEN_PRICES}
    made = {name: rates[name] for name in MADE_PRICES if name in rates}
    is_by_token = tokens.get("image_out_e10") or tokens.get("text_out_e10") or not made
    if is_by_token and made:
        findings.note(f"not counted beside a price of output tokens: {', '.join(made)}")
    price = _by_token(tokens, row) if is_by_token else _by_piece(made, tokens)
    is_free = not any(asdict(price).values())
    return replace(FREE if is_free else price, is_own=True)


def _by_token(tokens: Mapping[str, int], row: Price | None) -> Price:
    """Return a price by tokens: what is not named stays as in the row.

    A token of an image costs what one of text does where nobody says otherwise, as in LiteLLM.
    """
    rates = {name: getattr(row, name) for name in TOKEN_RATES} if row else {}
    rates |= tokens
    for image, of_text in (("image_in_e10", "text_in_e10"), ("image_out_e10", "text_out_e10")):
        if rates.get(image) is None:
            rates[image] = rates.get(of_text)
    return replace(Price(), **rates)


def _by_piece(made: Mapping[str, int], tokens: Mapping[str, int]) -> Price:
    """Return a price by finished images, or by their pixels; tokens cost what is named beside it.

    Beside a price of images made, `input_cost_per_image` is that of an image sent.
    """
    name = next((name for name, rate in made.items() if rate), next(iter(made)))
    rates = {MADE_PRICES[name]: made[name]} | {key: rate for key, rate in tokens.items() if rate}
    if name == "output_cost_per_image" and made.get("input_cost_per_image"):
        rates["input_image_e10"] = made["input_cost_per_image"]
    return replace(Price(), **rates)

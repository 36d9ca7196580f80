"""Every price that was found printed, as a literal: each is a row's, with its source and date.

`printed_prices.json` holds them by the row's id, in USD (a million tokens, an image, a million
pixels), and the models of providers that are not served here. Its sources: price pages and
litellm's table, read in November 2026.
"""

import datetime
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import asdict

from imagegate.catalogue.model import TOKEN_RATES, Model
from imagegate.catalogue.price import cost_of
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.providers import PROVIDERS
from imagegate.types import ImageCall, Usage

PRINTED = json.loads(Path(__file__).with_name("printed_prices.json").read_text())

UNPRICED = {
    "openai/dall-e-3": "ended before anybody wrote its price down",
    "openai/dall-e-2": "ended before anybody wrote its price down",
    "zai/glm-image": "no price was found",
}
OTHERWISE = {
    "deepinfra/black-forest-labs/FLUX-2-dev": "by steps, which no answer reports",
    "vertex_ai/virtual-try-on-001": "a person and a product: no call here has such inputs",
    "bedrock/stability.stable-diffusion-xl-v1": "by steps; the row has the price up to 50",
    "bedrock/stability.stable-diffusion-xl-v0": "by size and steps; the row has the usual one",
}
"""What is printed in a way that a row cannot hold, and why; its notes say the rest."""


def row(model_id: str) -> Model:
    found = builtin_catalogue().find(model_id)
    assert found, f"{model_id} has no row"
    return found


def printed_of(model: Model) -> dict[str, object]:
    """Return the rates of a row in the words of the file."""
    assert model.price, f"{model.id} has no price"
    rates: dict[str, object] = {}
    for name, rate in asdict(model.price).items():
        if name.startswith("batch") or name in ("reported", "is_own") or not rate:
            continue
        unit = 10**6 if name in TOKEN_RATES else 1
        rates[name.removesuffix("_e10")] = (
            {key: usd(each) for key, each in rate.items()}
            if isinstance(rate, Mapping)
            else usd(rate * unit)
        )
    return rates


def usd(e10: int) -> str:
    return format((Decimal(e10) / 10**10).normalize(), "f")


@pytest.mark.parametrize("model_id", [name for name in PRINTED["known"] if name not in OTHERWISE])
def test_a_printed_price_is_that_of_its_row(model_id: str) -> None:
    model, printed = row(model_id), dict(PRINTED["known"][model_id])
    found = printed_of(model)
    if "images" in printed:
        found["images"] = {key: found["images"][key] for key in printed["images"]}  # type: ignore[index]
    assert found == printed
    assert model.source
    assert model.checked >= datetime.date(2026, 11, 1)


@pytest.mark.parametrize("model_id", PRINTED["batch"])
def test_a_printed_price_of_a_batch_is_a_field_of_its_row(model_id: str) -> None:
    price = row(model_id).price
    assert price
    found = {name: usd(rate * 10**6) for name, rate in price.batch_e10.items()}
    assert found == found | PRINTED["batch"][model_id]
    assert all(2 * rate == getattr(price, f"{name}_e10") for name, rate in price.batch_e10.items()
               if name != "text_in_cached")  # fmt: skip


def test_what_is_not_a_row_belongs_to_nobody_who_is_served_here() -> None:
    """A provider that comes brings its prices along: then this fails until they are rows."""
    assert not {provider.name for provider in PROVIDERS} & set(PRINTED["not_here"])


def test_each_model_has_a_price_or_a_reason() -> None:
    bare = {model.id for model in builtin_catalogue().all() if model.price is None}
    assert bare == set(UNPRICED)


# Columns: 1024x1024, 1024x1536, 1536x1024. USD as OpenAI printed them, and tokens.
PER_IMAGE = {
    ("openai/gpt-image-1.5", "low"): ("0.009", "0.013", "0.013"),
    ("openai/gpt-image-1.5", "medium"): ("0.034", "0.05", "0.05"),
    ("openai/gpt-image-1.5", "high"): ("0.133", "0.2", "0.2"),
    ("openai/chatgpt-image-latest", "low"): ("0.009", "0.013", "0.013"),
    ("openai/chatgpt-image-latest", "medium"): ("0.034", "0.05", "0.05"),
    ("openai/chatgpt-image-latest", "high"): ("0.133", "0.2", "0.2"),
    ("openai/gpt-image-1-mini", "low"): ("0.005", "0.006", "0.006"),
    ("openai/gpt-image-1-mini", "medium"): ("0.011", "0.015", "0.015"),
    ("openai/gpt-image-1-mini", "high"): ("0.036", "0.052", "0.052"),
    ("openai/gpt-image-1", "low"): ("0.011", "0.016", "0.016"),
    ("openai/gpt-image-1", "medium"): ("0.042", "0.063", "0.063"),
    ("openai/gpt-image-1", "high"): ("0.167", "0.25", "0.25"),
}
SIZES = ("1024x1024", "1024x1536", "1536x1024")
TOKENS = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}


@pytest.mark.parametrize(("place", "printed"), PER_IMAGE.items())
def test_what_openai_printed_for_an_image_is_reproduced_to_the_cent(
    place: tuple[str, str], printed: tuple[str, ...]
) -> None:
    model, quality = row(place[0]), place[1]
    assert model.output_tokens
    for size, usd_printed, tokens in zip(SIZES, printed, TOKENS[quality], strict=True):
        assert model.output_tokens.table[size][quality] == tokens
        call = ImageCall(id="c", operation="generate", model="m", size=size, quality=quality)
        cost_e10 = cost_of(model, call, Usage(0, tokens, tokens, output_tokens_details=UNSET))
        assert cost_e10 is not None
        assert abs(Decimal(cost_e10) / 10**10 - Decimal(usd_printed)) < Decimal("0.005")


# Printed in round numbers, to half a cent; the exact tokens are in `test_google_models.py`.
GOOGLE = {
    "gemini/gemini-nano-banana-2.1": {"1K": "0.0336", "2K": "0.0504", "4K": "0.0756"},
    "vertex_ai/gemini-nano-banana-2.1": {"1K": "0.0336", "2K": "0.0504", "4K": "0.1134"},
    "gemini/gemini-3-pro-image": {"1K": "0.134", "2K": "0.134", "4K": "0.24"},
    "gemini/gemini-3.1-flash-image": {
        "512": "0.0448",
        "1K": "0.0672",
        "2K": "0.1008",
        "4K": "0.1512",
    },
    "gemini/gemini-3.1-flash-lite-image": {"1K": "0.0336"},
    "gemini/gemini-2.5-flash-image": {"": "0.0387"},
}


@pytest.mark.parametrize(("model_id", "printed"), GOOGLE.items())
def test_what_google_printed_for_an_image_is_reproduced_to_the_cent(
    model_id: str, printed: Mapping[str, str]
) -> None:
    model = row(model_id)
    assert model.output_tokens
    for resolution, usd_printed in printed.items():
        tokens = model.output_tokens.resolutions[resolution]
        call = ImageCall(id="c", operation="generate", model="m", resolution=resolution or None)
        cost_e10 = cost_of(model, call, Usage(0, tokens, tokens, output_tokens_details=UNSET))
        assert cost_e10 is not None
        assert abs(Decimal(cost_e10) / 10**10 - Decimal(usd_printed)) < Decimal("0.0005")

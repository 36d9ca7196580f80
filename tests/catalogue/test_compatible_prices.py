"""What the rows of Foundry, Nscale and xAI cost, as their sources say."""

import pytest

from imagegate.catalogue.price import cost_of, estimate, format_usd
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.providers import azure_ai
from imagegate.types import Blob, ImageCall


def usd_of(model_id: str, **fields: object) -> tuple[str, str, str]:
    model = builtin_catalogue().find(model_id)
    assert model
    call = ImageCall(**{"id": "c", "operation": "generate", "model": "m"} | fields)
    price = estimate(model, call)
    assert price
    return tuple(
        format_usd(cost) for cost in (price.lowest_e10, price.expected_e10, price.highest_e10)
    )


@pytest.mark.parametrize(
    ("model_id", "fields", "usd"),
    [
        ("nscale/black-forest-labs/FLUX.1-schnell", {"size": "1024x1024"}, "0.0013631488"),
        ("nscale/stabilityai/stable-diffusion-xl-base-1.0", {"size": "1024x1024"}, "0.003145728"),
        ("azure_ai/FLUX.2-flex", {"size": "1024x1024"}, "0.0524288"),
        ("azure_ai/FLUX.2-pro", {"n": 2}, "0.08"),
        ("xai/grok-imagine-image", {}, "0.02"),
        ("xai/grok-imagine-image-2.0", {"quality": "low"}, "0.04"),
    ],
)
def test_one_price(model_id: str, fields: dict[str, object], usd: str) -> None:
    assert usd_of(model_id, **fields) == (usd, usd, usd)


def test_a_quality_that_the_host_chooses_covers_both_prices() -> None:
    assert usd_of("xai/grok-imagine-image-2.0") == ("0.04", "0.06", "0.06")


def test_the_tokens_of_mai_are_priced_by_their_kind() -> None:
    model = builtin_catalogue().find("azure_ai/MAI-Image-2.6")
    assert model
    usage = azure_ai.parse_mai_usage(
        {"num_input_text_tokens": 12, "num_input_image_tokens": 1000, "num_output_tokens": 1024}
    )
    call = ImageCall(id="c", operation="edit", model="m")
    made = (Blob(b"", 0, 0, width_px=1024, height_px=1024),)
    cost_e10 = cost_of(model, call, usage, made)
    assert cost_e10 == 12 * 50_000 + 1000 * 80_000 + 1024 * 380_000
    assert azure_ai.parse_mai_usage({"total_tokens": 3}) is None

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imagegate.catalogue.model import Model
from imagegate.catalogue.price import PriceRange, cost_of, estimate, format_usd, formula_tokens
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.types import Blob, ImageCall, TokenDetails, Usage

BASES = {
    "gpt-image-2": {"low": 16, "medium": 48, "high": 96},
    "gpt-image-2.5": {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
}
PRINTED = {
    "gpt-image-2": {
        "1024x1024": (196, 1756, 7024),
        "1536x1024": (158, 1372, 5488),
        "1024x1536": (158, 1372, 5488),
        "2048x2048": (397, 3568, 14272),
        "2048x1152": (157, 1413, 5650),
        "2560x1440": (205, 1843, 7370),
        "3840x2160": (371, 3336, 13342),
        "2160x3840": (371, 3336, 13342),
        "2880x2880": (659, 5930, 23719),
    },
    "gpt-image-2.5": {
        "1024x1024": (196, 439, 1756, 3122, 7024),
        "1536x1024": (158, 343, 1372, 2459, 5488),
        "1024x1536": (158, 343, 1372, 2459, 5488),
        "2048x2048": (397, 892, 3568, 6343, 14272),
        "2048x1152": (157, 367, 1413, 2511, 5650),
        "2560x1440": (205, 478, 1843, 3276, 7370),
        "3840x2160": (371, 865, 3336, 5930, 13342),
        "2160x3840": (371, 865, 3336, 5930, 13342),
        "2880x2880": (659, 1483, 5930, 10542, 23719),
    },
}
CASES = [
    (BASES[model][quality], size, tokens)
    for model, sizes in PRINTED.items()
    for size, row in sizes.items()
    for quality, tokens in zip(BASES[model], row, strict=True)
]
USAGE = Usage(
    input_tokens=209,
    output_tokens=1756,
    total_tokens=1965,
    input_tokens_details=TokenDetails(text_tokens=9, image_tokens=200),
)


def model_of(name: str) -> Model:
    model = builtin_catalogue().find(name)
    assert model
    return model


def call_of(**fields: object) -> ImageCall:
    return ImageCall(**{"id": "c", "operation": "generate", "model": "m", "prompt": "a"} | fields)


@pytest.mark.parametrize(("base", "size", "tokens"), CASES)
def test_the_formula_gives_every_printed_value(base: int, size: str, tokens: int) -> None:
    width, height = map(int, size.split("x"))
    assert formula_tokens(base, width, height) == tokens


def test_half_is_rounded_to_even() -> None:
    # b * short / long is 24.5 and 25.5 here; no base in use hits a half at a common size.
    assert formula_tokens(49, 1024, 512) == -(-49 * 24 * (2_000_000 + 1024 * 512) // 4_000_000)
    assert formula_tokens(51, 1024, 512) == -(-51 * 26 * (2_000_000 + 1024 * 512) // 4_000_000)


@pytest.mark.parametrize(
    ("name", "size", "quality", "expected_usd"),
    [
        ("gpt-image-2.5-flare", "1024x1024", "low", "0.00588"),
        ("gpt-image-2.5-flare", "3840x2160", "max", "0.40026"),
        ("gpt-image-2", "1024x1024", "high", "0.21072"),
        ("gpt-image-1.5", "1024x1536", "high", "0.19968"),
        ("gpt-image-1-mini", "1024x1024", "medium", "0.008448"),
        ("gpt-image-2.6-flare", "1024x1024", "high", "0.05268"),
    ],
)
def test_an_estimate_of_a_settled_size_and_quality(
    name: str, size: str, quality: str, expected_usd: str
) -> None:
    price = estimate(model_of(name), call_of(prompt="", size=size, quality=quality))
    assert price
    assert format_usd(price.expected_e10) == expected_usd


def test_the_measured_model_has_a_margin_that_holds_what_was_measured() -> None:
    for size, quality, tokens in [
        ("1536x1024", "low", 664),
        ("1536x1024", "high", 1353),
        ("3840x2160", "high", 3337),
        ("1024x1024", "high", 1756),
    ]:
        price = estimate(model_of("gpt-image-2.6-flare"), call_of(size=size, quality=quality))
        assert price
        assert price.lowest_e10 <= tokens * 300_000 <= price.highest_e10


def test_an_estimate_covers_all_that_the_model_may_choose() -> None:
    model = model_of("gpt-image-2.5-flare")
    open_choice = estimate(model, call_of())
    assert open_choice
    for size in ("auto", "1024x1024", "3840x1280", "2880x2880", "1408x480"):
        for quality in ("auto", *BASES["gpt-image-2.5"]):
            one = estimate(model, call_of(size=size, quality=quality))
            assert one
            assert open_choice.lowest_e10 <= one.lowest_e10
            assert one.highest_e10 <= open_choice.highest_e10
            assert one.lowest_e10 <= one.expected_e10 <= one.highest_e10


def test_images_prompt_inputs_and_partials_add_up() -> None:
    model = model_of("gpt-image-2.5-flare")
    image = Blob(source=b"", offset=0, length=0)
    call = call_of(
        operation="edit",
        prompt="é" * 10,
        n=2,
        size="1024x1024",
        quality="low",
        images=(image, image),
        stream=True,
        partial_images=3,
    )
    price = estimate(model, call)
    assert price == PriceRange(
        lowest_e10=2 * 194 * 80_000 + 2 * 196 * 300_000,
        expected_e10=3 * 50_000 + 2 * 1024 * 80_000 + 2 * (196 + 300) * 300_000,
        highest_e10=2 * ((20 + 16) * 50_000 + 2 * 7079 * 80_000) + 2 * (196 + 300) * 300_000,
    )


ESTIMATED = [
    model
    for model in builtin_catalogue().all()
    if model.price and (model.price.has_token_rates or model.price.has_image_rates)
]


@given(
    st.sampled_from(["1024x1024", "1536x1024", "auto", None]),
    st.sampled_from(["low", "medium", "high", "auto", None]),
    st.integers(1, 10),
    st.sampled_from(ESTIMATED),
)
def test_a_range_is_in_order_and_grows_with_n(
    size: str | None, quality: str | None, n: int, model: Model
) -> None:
    price = estimate(model, call_of(size=size, quality=quality, n=n))
    one = estimate(model, call_of(size=size, quality=quality))
    assert price
    assert one
    assert 0 < price.lowest_e10 <= price.expected_e10 <= price.highest_e10
    assert price.highest_e10 == n * one.highest_e10


def test_unknown_is_none_and_free_is_zero() -> None:
    sandbox = model_of("sandbox/gpt-image-2")
    assert estimate(model_of("dall-e-3"), call_of()) is None
    assert estimate(model_of("gpt-image-2.6-flare"), call_of(output_format="svg")) is None
    assert estimate(sandbox, call_of()) == PriceRange(0, 0, 0)
    assert cost_of(sandbox, call_of(), None) == 0
    assert cost_of(model_of("dall-e-3"), call_of(), USAGE) is None
    assert cost_of(model_of("gpt-image-2"), call_of(), None) is None
    assert cost_of(model_of("gpt-image-2.6-flare"), call_of(output_format="svg"), USAGE) is None


def test_a_gif_is_estimated_by_the_bounds_of_its_sheet() -> None:
    model = model_of("gpt-image-2.6-flare")
    call = call_of(output_format="gif", size="1024x1024", quality="high")
    gif, png = estimate(model, call), estimate(model, replace(call, output_format="png"))
    assert gif
    assert png
    assert gif.highest_e10 > png.highest_e10


def test_the_cost_follows_the_usage_by_class() -> None:
    cost = cost_of(model_of("gpt-image-2"), call_of(), USAGE)
    assert cost == 9 * 50_000 + 200 * 80_000 + 1756 * 300_000
    assert format_usd(cost) == "0.054325"


@pytest.mark.parametrize(("cached", "text", "image"), [(5, 5, 0), (9, 9, 0), (109, 9, 100)])
def test_cached_tokens_have_a_rate_of_their_own(cached: int, text: int, image: int) -> None:
    details = TokenDetails(text_tokens=9, image_tokens=200, cached_tokens=cached)
    usage = replace(USAGE, input_tokens_details=details)
    cost = cost_of(model_of("gpt-image-2"), call_of(), usage)
    assert cost == (9 - text) * 50_000 + text * 12_500 + 1756 * 300_000 + (
        (200 - image) * 80_000 + image * 20_000
    )
    bare = model_of("gemini/gemini-3-pro-image")
    assert cost_of(bare, call_of(), usage) == cost_of(bare, call_of(), USAGE), "no such rate"


def test_text_output_is_charged_where_it_has_a_price_and_unknown_where_not() -> None:
    usage = replace(USAGE, output_tokens_details=TokenDetails(text_tokens=56, image_tokens=1700))
    cost = cost_of(model_of("gpt-image-1.5"), call_of(), usage)
    assert cost == 9 * 50_000 + 200 * 80_000 + 56 * 100_000 + 1700 * 320_000
    assert cost_of(model_of("gpt-image-2"), call_of(), usage) is None


def test_input_without_details_is_text_when_generating_and_image_when_editing() -> None:
    usage = Usage(input_tokens=100, output_tokens=0, total_tokens=100)
    model = model_of("gpt-image-2")
    assert cost_of(model, call_of(), usage) == 100 * 50_000
    assert cost_of(model, call_of(operation="edit"), usage) == 100 * 80_000


@pytest.mark.parametrize(
    ("e10", "usd"),
    [
        (0, "0"),
        (1, "0.0000000001"),
        (129_000_000, "0.0129"),
        (10**10, "1"),
        (125 * 10**9, "12.5"),
        (10 * 10**10, "10"),
        (-5 * 10**9, "-0.5"),
    ],
)
def test_format_usd_is_exact(e10: int, usd: str) -> None:
    assert format_usd(e10) == usd

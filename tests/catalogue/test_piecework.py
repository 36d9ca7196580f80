"""Prices by the image, by the pixel and by the provider's own word."""

import datetime

import msgspec
import pytest

from imagegate.catalogue.model import Catalogue, Model
from imagegate.catalogue.price import PriceRange, charge_of, estimate
from imagegate.catalogue.rows import read_rows
from imagegate.errors import ConfigError
from imagegate.types import Blob, Image, ImageCall, ImageResult, TokenDetails, Usage

USD = 10**10


def model_of(lines: str) -> Model:
    row = f'[[model]]\nid = "p/m"\nsource = "test"\nchecked = 2026-11-20\n{lines}'
    found = read_rows(row, "test.toml", Catalogue()).find("p/m")
    assert found
    return found


def call_of(**fields: object) -> ImageCall:
    call = ImageCall(id="c", operation="generate", model="m", prompt="a fox")
    return msgspec.structs.replace(call, **fields)


def result_of(*sizes: tuple[int, int], **fields: object) -> ImageResult:
    images = tuple(
        Image(Blob(b"", 0, 0, width_px=width, height_px=height)) for width, height in sizes
    )
    return msgspec.structs.replace(ImageResult(images=images), **fields)


def test_a_price_by_the_image() -> None:
    model = model_of('price = { image = "0.04", input_image = "0.003" }')
    blob = Blob(b"", 0, 0)
    call = call_of(n=3, images=(blob, blob))
    assert estimate(model, call) == PriceRange(*[3 * USD * 4 // 100 + 2 * USD * 3 // 1000] * 3)
    cost = charge_of(model, call_of(), result_of((8, 8), (8, 8)))
    assert cost == 2 * USD * 4 // 100  # what came, not what was asked for


BY_KEY = 'price = { images = { "1K" = "0.02", "2K" = "0.035", "4K" = "0.1" } }\n'


@pytest.mark.parametrize(
    ("resolution", "made", "cost"),
    [("2K", (8, 8), 350), (None, (1376, 768), 200), (None, (4096, 4096), 1000)],
)
def test_a_price_by_resolution(resolution: str | None, made: tuple[int, int], cost: int) -> None:
    model = model_of(BY_KEY)
    charged = charge_of(model, call_of(resolution=resolution), result_of(made))
    assert charged == cost * USD // 10_000


def test_an_estimate_covers_what_the_model_may_choose() -> None:
    assert estimate(model_of(BY_KEY), call_of()) == PriceRange(
        2 * USD // 100, 2 * USD // 100, USD // 10
    )
    known = model_of(BY_KEY + 'default_resolution = "2K"')
    assert estimate(known, call_of()) == PriceRange(*[35 * USD // 1000] * 3)


def test_a_price_by_resolution_and_quality() -> None:
    model = model_of(
        'price = { images = { "1K standard" = "0.04", "1K premium" = "0.06",'
        ' "2K standard" = "0.06", "2K premium" = "0.08" } }'
    )
    assert estimate(model, call_of(quality="premium")) == PriceRange(
        6 * USD // 100, 6 * USD // 100, 8 * USD // 100
    )
    assert charge_of(model, call_of(quality="premium"), result_of((2048, 2048))) == 8 * USD // 100


def test_a_price_by_quality() -> None:
    model = model_of('price = { images = { "low" = "0.03", "high" = "0.1" } }')
    assert charge_of(model, call_of(quality="high"), result_of((8, 8))) == USD // 10
    assert charge_of(model, call_of(), result_of((8, 8))) is None


def test_a_price_by_the_pixel_is_exact() -> None:
    model = model_of('price = { megapixel = "0.0013" }')
    cost = charge_of(model, call_of(), result_of((1024, 1024)))
    assert cost == 1024 * 1024 * 13
    assert estimate(model, call_of(size="1024x1024")) == PriceRange(*[1024 * 1024 * 13] * 3)


@pytest.mark.parametrize(("side", "cents"), [(512, 3.0), (1024, 3.0), (1040, 4.5), (2048, 7.5)])
def test_a_first_megapixel_of_its_own(side: int, cents: float) -> None:
    model = model_of('price = { first_megapixel = "0.03", megapixel = "0.015" }')
    assert charge_of(model, call_of(), result_of((side, side))) == int(cents * USD // 100)


def test_without_images_nothing_is_known_to_be_free() -> None:
    model = model_of('price = { image = "0.04" }')
    assert charge_of(model, call_of(), result_of()) is None


def test_what_the_provider_says_comes_first() -> None:
    model = model_of("price = { reported = true }")
    assert estimate(model, call_of()) is None
    assert charge_of(model, call_of(), result_of((8, 8), cost_e10=7)) == 7
    assert charge_of(model, call_of(), result_of((8, 8))) is None
    assert charge_of(None, call_of(), result_of((8, 8), cost_e10=7)) == 7


TOKENS = (
    'price = { text_in = "1.50", image_in = "1.50", image_out = "30.00", text_out = "7.50" }\n'
    'default_resolution = "1K"\n[model.output_tokens]\ntext = [0, 100, 1000]\n'
    'resolutions = { "1K" = 1120, "2K" = 1680 }\n'
)


def test_tokens_by_resolution_and_thoughts() -> None:
    price = estimate(model_of(TOKENS), call_of(resolution="2K", n=2))
    assert price
    assert price.lowest_e10 == 2 * 1680 * 300_000
    assert price.highest_e10 > 2 * (1680 * 300_000 + 1000 * 75_000)
    usage = Usage(10, 1400, 1410, TokenDetails(10, 0), TokenDetails(280, 1120))
    cost = charge_of(model_of(TOKENS), call_of(), result_of((8, 8), usage=usage))
    assert cost == 10 * 15_000 + 280 * 75_000 + 1120 * 300_000


@pytest.mark.parametrize(
    "price", ["{ image = 0.04 }", '{ images = "1" }', '{ reported = "yes" }', '{ imge = "1" }']
)
def test_a_price_that_means_nothing_is_refused(price: str) -> None:
    with pytest.raises(ConfigError, match="price"):
        model_of(f"price = {price}")


def test_what_is_assumed_of_unknown_models_is_no_model() -> None:
    row = '[[model]]\nid = "p/*"\nsource = "test"\nchecked = 2026-11-20\nn_max = 1\n'
    catalogue = read_rows(row, "test.toml", Catalogue())
    assumed = catalogue.assume("p")
    assert assumed
    assert (assumed.n_max, assumed.checked) == (1, datetime.date(2026, 11, 20))
    assert (catalogue.all(), catalogue.near("p/x"), catalogue.assume("q")) == ((), (), None)

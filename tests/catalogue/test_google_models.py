"""The tables that Google prints, as literals: price and pixels of an image, dates, lacks."""

import datetime

import msgspec
import pytest

from imagegate.catalogue.adjust import check_call
from imagegate.catalogue.model import Model
from imagegate.catalogue.price import cost_of, estimate, format_usd
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.errors import BadRequestError
from imagegate.types import Blob, ImageCall, TokenDetails, Usage

# USD an image: by tokens of one class alone.
PRICES = {
    ("gemini/gemini-nano-banana-2.1", "1K"): (1120, "0.0336"),
    ("gemini/gemini-nano-banana-2.1", "2K"): (1680, "0.0504"),
    ("gemini/gemini-nano-banana-2.1", "4K"): (2520, "0.0756"),
    ("vertex_ai/gemini-nano-banana-2.1", "1K"): (1120, "0.0336"),
    ("vertex_ai/gemini-nano-banana-2.1", "2K"): (1680, "0.0504"),
    ("vertex_ai/gemini-nano-banana-2.1", "4K"): (3780, "0.1134"),
    ("gemini/gemini-3-pro-image", "1K"): (1120, "0.1344"),
    ("gemini/gemini-3-pro-image", "2K"): (1120, "0.1344"),
    ("gemini/gemini-3-pro-image", "4K"): (2000, "0.24"),
    ("vertex_ai/gemini-3-pro-image", "1K"): (1120, "0.1344"),
    ("vertex_ai/gemini-3-pro-image", "4K"): (2000, "0.24"),
    ("gemini/gemini-3.1-flash-image", "512"): (747, "0.04482"),
    ("gemini/gemini-3.1-flash-image", "1K"): (1120, "0.0672"),
    ("gemini/gemini-3.1-flash-image", "2K"): (1680, "0.1008"),
    ("gemini/gemini-3.1-flash-image", "4K"): (2520, "0.1512"),
    ("vertex_ai/gemini-3.1-flash-image", "512"): (747, "0.04482"),
    ("vertex_ai/gemini-3.1-flash-image", "4K"): (2520, "0.1512"),
    ("gemini/gemini-3.1-flash-lite-image", "1K"): (1120, "0.0336"),
    ("vertex_ai/gemini-3.1-flash-lite-image", "1K"): (1120, "0.0336"),
    ("gemini/gemini-2.5-flash-image", None): (1290, "0.0387"),
    ("vertex_ai/gemini-2.5-flash-image", None): (1290, "0.0387"),
}
# USD per million tokens: of a prompt or an input image, of text and thought, of an image.
RATES = {
    "gemini-nano-banana-2.1": ("1.5", "7.5", "30"),
    "gemini-3-pro-image": ("2", "12", "120"),
    "gemini-3.1-flash-image": ("0.5", "3", "60"),
    "gemini-3.1-flash-lite-image": ("0.25", "1.5", "30"),
    "gemini-2.5-flash-image": ("0.3", "2.5", "30"),
}
INPUT_IMAGES = {
    "gemini/gemini-nano-banana-2.1": "0.00168",
    "gemini/gemini-3-pro-image": "0.00112",
    "gemini/gemini-3.1-flash-image": "0.00056",
    "gemini/gemini-3.1-flash-lite-image": "0.00028",
}
IMAGEN = {
    "gemini/imagen-4.0-fast-generate-001": "0.02",
    "gemini/imagen-4.0-generate-001": "0.04",
    "gemini/imagen-4.0-ultra-generate-001": "0.06",
    "gemini/imagen-3.0-generate-002": "0.04",
    "vertex_ai/imagen-4.0-fast-generate-001": "0.02",
    "vertex_ai/imagen-4.0-generate-001": "0.04",
    "vertex_ai/imagen-4.0-ultra-generate-001": "0.06",
    "vertex_ai/imagen-3.0-generate-002": "0.04",
    "vertex_ai/imagen-3.0-fast-generate-001": "0.02",
    "vertex_ai/imagen-3.0-capability-001": "0.04",
    "vertex_ai/imagegeneration@006": "0.02",
}
PIXELS = """
1:1  | 512x512  | 1024x1024 | 2048x2048  | 4096x4096
2:3  | 424x632  | 848x1264  | 1696x2528  | 3392x5056
3:2  | 632x424  | 1264x848  | 2528x1696  | 5056x3392
3:4  | 448x600  | 896x1200  | 1792x2400  | 3584x4800
4:3  | 600x448  | 1200x896  | 2400x1792  | 4800x3584
4:5  | 464x576  | 928x1152  | 1856x2304  | 3712x4608
5:4  | 576x464  | 1152x928  | 2304x1856  | 4608x3712
9:16 | 384x688  | 768x1376  | 1536x2752  | 3072x5504
16:9 | 688x384  | 1376x768  | 2752x1536  | 5504x3072
21:9 | 792x336  | 1584x672  | 3168x1344  | 6336x2688
1:4  | 256x1024 | 512x2048  | 1024x4096  | 2048x8192
4:1  | 1024x256 | 2048x512  | 4096x1024  | 8192x2048
1:8  | 192x1536 | 384x3072  | 768x6144   | 1536x12288
8:1  | 1536x192 | 3072x384  | 6144x768   | 12288x1536
"""
TIERS = ("512", "1K", "2K", "4K")
CALL = ImageCall(id="call_1", operation="generate", model="img", prompt="")
MILLION = 1_000_000


def row(model_id: str) -> Model:
    found = builtin_catalogue().find(model_id)
    assert found, model_id
    return found


def used(text_in: int = 0, image_in: int = 0, text_out: int = 0, image_out: int = 0) -> Usage:
    sent, made = text_in + image_in, text_out + image_out
    details = TokenDetails(text_in, image_in), TokenDetails(text_out, image_out)
    return Usage(sent, made, sent + made, *details)


def cost(model: Model, usage: Usage) -> str:
    found = cost_of(model, CALL, usage)
    assert found is not None
    return format_usd(found)


@pytest.mark.parametrize(("place", "printed"), PRICES.items(), ids=lambda v: "-".join(map(str, v)))
def test_an_image_costs_what_is_printed(
    place: tuple[str, str | None], printed: tuple[int, str]
) -> None:
    model, (tokens, usd) = row(place[0]), printed
    assert cost(model, used(image_out=tokens)) == usd
    call = msgspec.structs.replace(CALL, resolution=place[1])
    price = estimate(model, call)
    assert price
    assert format_usd(price.lowest_e10) == usd
    assert price.lowest_e10 < price.expected_e10 < price.highest_e10


@pytest.mark.parametrize("surface", ["gemini", "vertex_ai"])
@pytest.mark.parametrize(("name", "rates"), RATES.items())
def test_every_class_of_token(surface: str, name: str, rates: tuple[str, str, str]) -> None:
    model, (sent, said, made) = row(f"{surface}/{name}"), rates
    assert cost(model, used(text_in=MILLION)) == sent
    assert cost(model, used(image_in=MILLION)) == sent
    assert cost(model, used(text_out=MILLION)) == said
    assert cost(model, used(image_out=MILLION)) == made


@pytest.mark.parametrize(("model_id", "usd"), INPUT_IMAGES.items())
def test_an_input_image(model_id: str, usd: str) -> None:
    model = row(model_id)
    assert cost(model, used(image_in=model.input_image_tokens[1])) == usd


@pytest.mark.parametrize(("model_id", "usd"), IMAGEN.items())
def test_imagen_costs_by_the_image_and_is_shut_down(model_id: str, usd: str) -> None:
    model = row(model_id)
    price = estimate(model, CALL)
    assert price
    assert format_usd(price.expected_e10) == usd
    assert model.shutdown == datetime.date(2026, 8, 17)
    assert model.operations == ("generate",)
    assert model.traits == {"method": "predict"}
    assert builtin_catalogue().find(model.successor)


def test_the_pixels_of_each_ratio_and_resolution() -> None:
    model = row("gemini/gemini-3.1-flash-image")
    lines = [[cell.strip() for cell in line.split("|")] for line in PIXELS.split("\n") if line]
    printed = {ratio: dict(zip(TIERS, sizes, strict=True)) for ratio, *sizes in lines}
    assert model.ratio_pixels == printed
    newest = row("gemini/gemini-nano-banana-2.1")
    assert newest.ratio_pixels == {
        ratio: {tier: sizes[tier] for tier in TIERS[1:]} for ratio, sizes in printed.items()
    }
    assert set(newest.aspect_ratios) == set(printed)


@pytest.mark.parametrize(
    ("model_id", "size", "ratio", "resolution"),
    [
        ("gemini/gemini-nano-banana-2.1", "1024x1024", "1:1", "1K"),
        ("gemini/gemini-nano-banana-2.1", "1536x1024", "3:2", "1K"),
        ("gemini/gemini-nano-banana-2.1", "1792x1024", "16:9", "1K"),
        ("gemini/gemini-nano-banana-2.1", "512x512", "1:1", "1K"),
        ("gemini/gemini-3.1-flash-image", "512x512", "1:1", "512"),
        ("gemini/gemini-nano-banana-2.1", "2048x2048", "1:1", "2K"),
        ("gemini/gemini-3.1-flash-lite-image", "2048x2048", "1:1", "1K"),
        ("gemini/gemini-2.5-flash-image", "1536x1024", "3:2", None),
        ("vertex_ai/imagegeneration@006", "1536x1024", "4:3", None),
    ],
)
def test_a_size_becomes_a_ratio(
    model_id: str, size: str, ratio: str, resolution: str | None
) -> None:
    sent, _ = check_call(msgspec.structs.replace(CALL, size=size, prompt="x"), row(model_id))
    assert (sent.size, sent.aspect_ratio) == (None, ratio)
    assert (sent.resolution or None) == resolution


@pytest.mark.parametrize(
    ("model_id", "asked", "sent"),
    [
        ("gemini/gemini-nano-banana-2.1", "low", "MINIMAL"),
        ("gemini/gemini-nano-banana-2.1", "medium", "MEDIUM"),
        ("gemini/gemini-nano-banana-2.1", "high", "HIGH"),
        ("gemini/gemini-nano-banana-2.1", "max", "HIGH"),
        ("gemini/gemini-3.1-flash-image", "low", "MINIMAL"),
        ("gemini/gemini-3.1-flash-image", "hd", "HIGH"),
        ("gemini/gemini-3-pro-image", "high", None),
        ("gemini/gemini-2.5-flash-image", "low", None),
    ],
)
def test_quality_is_a_level_of_thinking_where_there_is_one(
    model_id: str, asked: str, sent: str | None
) -> None:
    call, adjusted = check_call(msgspec.structs.replace(CALL, quality=asked), row(model_id))
    assert call.quality == sent
    assert bool(adjusted) == (sent is None or asked == "max")


@pytest.mark.parametrize("surface", ["gemini", "vertex_ai"])
def test_the_newest_takes_no_seed_and_the_others_do(surface: str) -> None:
    seeded = msgspec.structs.replace(CALL, seed=7)
    call, adjusted = check_call(seeded, row(f"{surface}/gemini-nano-banana-2.1"))
    assert call.seed is None
    assert [(one.param, one.asked, one.sent) for one in adjusted] == [("seed", 7, None)]
    call, adjusted = check_call(seeded, row(f"{surface}/gemini-3-pro-image"))
    assert (call.seed, adjusted) == (7, ())


def test_masks_and_transparency_are_refused() -> None:
    mask = Blob(b"", 0, 0, media_type="image/png")
    for fields in ({"mask": mask}, {"background": "transparent"}):
        with pytest.raises(BadRequestError):
            check_call(
                msgspec.structs.replace(CALL, **fields), row("gemini/gemini-nano-banana-2.1")
            )


def test_formats_are_chosen_on_vertex_only() -> None:
    asked = msgspec.structs.replace(CALL, output_format="png")
    call, adjusted = check_call(asked, row("vertex_ai/gemini-nano-banana-2.1"))
    assert (call.output_format, adjusted) == ("png", ())
    call, _ = check_call(asked, row("gemini/gemini-nano-banana-2.1"))
    assert call.output_format is None


def test_previews_are_rows_with_their_dates() -> None:
    dates = {
        row.name: str(row.shutdown)
        for row in builtin_catalogue().all()
        if row.provider == "gemini" and row.shutdown and row.name.startswith("gemini-")
    }
    assert dates == {
        "gemini-3.1-flash-image-preview": "2026-06-25",
        "gemini-3-pro-image-preview": "2026-06-25",
        "gemini-2.5-flash-image-preview": "2026-01-15",
        "gemini-2.0-flash-exp-image-generation": "2025-11-14",
    }

"""Sizes, words and formats in the terms of models that are none of OpenAI's."""

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegate.catalogue.adjust import Encoding, check_call, encoding_for
from imagegate.catalogue.check import FIXED_SIZES, check_universe
from imagegate.catalogue.geometry import bounded, nearest_ratio
from imagegate.catalogue.model import Model
from imagegate.errors import BadRequestError
from imagegate.types import Adjustment, ImageCall

RATIOS_10 = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
PIXELS = {
    "1:1": {"512": "512x512", "1K": "1024x1024", "2K": "2048x2048"},
    "3:2": {"1K": "1264x848"},
    "16:9": {"1K": "1376x768", "2K": "2752x1536"},
}


def model_of(**fields: object) -> Model:
    given = {"id": "p/m", "source": "test", "checked": datetime.date(2026, 11, 20)} | fields
    return Model(**given)  # type: ignore[arg-type]


GEMINI = model_of(
    aspect_ratios=(*RATIOS_10, "1:4", "4:1", "1:8", "8:1"),
    resolutions=("1K", "2K", "4K"),
    default_resolution="1K",
    ratio_pixels=PIXELS,
)
GEMINI_512 = msgspec.structs.replace(GEMINI, resolutions=("512", "1K", "2K", "4K"))
IMAGEN = model_of(aspect_ratios=("1:1", "3:4", "4:3", "9:16", "16:9"), resolutions=("1K", "2K"))
STABILITY = model_of(
    aspect_ratios=("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
)
FLUX_3 = model_of(
    aspect_ratios=("1:1", "2:3", "3:2", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"),
    resolutions=("768sq", "1k", "2k", "4k"),
)
IDEOGRAM_3 = model_of(aspect_ratios=("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "3:1"))
LUMA_UNI = model_of(aspect_ratios=("1:1", "3:2", "2:3", "16:9", "9:16", "3:1", "1:3"))
LUMA_PHOTON = model_of(aspect_ratios=("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"))
RECRAFT_4 = model_of(
    sizes=(
        "1024x1024",
        "1536x768",
        "768x1536",
        "1280x832",
        "832x1280",
        "1216x896",
        "896x1216",
        "1152x896",
        "896x1152",
        "832x1344",
        "1280x896",
        "896x1280",
        "1344x768",
        "768x1344",
    )
)
RECRAFT_3 = model_of(sizes=("1024x1024", "1365x1024", "1536x1024", "1024x1536", "1820x1024",
                            "1024x1820", "2048x1024", "1434x1024"))  # fmt: skip
FLUX_2 = model_of(sizes="any", size_multiple_px=16, side_px_max=2048)
FLUX_1 = model_of(sizes="any", size_multiple_px=32, side_px_max=1440)
RUNWAY = model_of(sizes=("1024x1024", "1920x1080", "1080x1920", "1440x1080", "1080x1440",
                         "2112x912", "1080x1080", "720x720"))  # fmt: skip
LOCAL = model_of(sizes="any", size_multiple_px=8)

# A row of the table is a size, a column a model; `""`: the table has none there.
COLUMNS: tuple[tuple[str, Model, tuple[str, ...]], ...] = (
    (
        "gemini",
        GEMINI,
        ("1:1 1K", "3:2 1K", "2:3 1K", "16:9 1K", "9:16 1K", "1:1 1K", "1:1 2K", "16:9 2K",
         "21:9 2K"),
    ),
    (
        "gemini_512",
        GEMINI_512,
        ("1:1 1K", "3:2 1K", "2:3 1K", "16:9 1K", "9:16 1K", "1:1 512", "1:1 2K", "16:9 2K",
         "21:9 2K"),
    ),
    (
        "imagen",
        IMAGEN,
        ("1:1 1K", "4:3 1K", "3:4 1K", "16:9 1K", "9:16 1K", "1:1 1K", "1:1 2K", "", "16:9 2K"),
    ),
    (
        "stability",
        STABILITY,
        ("1:1", "3:2", "2:3", "16:9", "9:16", "1:1", "1:1", "16:9", "21:9"),
    ),
    (
        "flux_3",
        FLUX_3,
        ("1:1 1k", "3:2 1k", "2:3 1k", "16:9 1k", "9:16 1k", "1:1 768sq", "1:1 2k", "", "21:9 2k"),
    ),
    ("ideogram_3", IDEOGRAM_3, ("1:1", "3:2", "2:3", "16:9", "9:16", "1:1", "", "", "3:1")),
    ("luma_uni", LUMA_UNI, ("1:1", "3:2", "2:3", "16:9", "9:16", "1:1", "1:1", "16:9", "3:1")),
    (
        "luma_photon",
        LUMA_PHOTON,
        ("1:1", "4:3", "3:4", "16:9", "9:16", "1:1", "1:1", "16:9", "21:9"),
    ),
    (
        "recraft_4",
        RECRAFT_4,
        ("1024x1024", "1280x832", "832x1280", "1344x768", "768x1344", "1024x1024", "1024x1024",
         "1344x768", "1536x768"),
    ),
    (
        "recraft_3",
        RECRAFT_3,
        ("1024x1024", "1536x1024", "1024x1536", "1820x1024", "1024x1820", "1024x1024", "1024x1024",
         "1820x1024", "2048x1024"),
    ),
    (
        "flux_2",
        FLUX_2,
        ("1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792", "512x512", "2048x2048",
         "2048x1152", "2048x688"),
    ),
    (
        "flux_1",
        FLUX_1,
        ("1024x1024", "1440x960", "960x1440", "1440x832", "832x1440", "512x512", "1440x1440",
         "1440x800", "1440x480"),
    ),
    (
        "runway",
        RUNWAY,
        ("1024x1024", "1440x1080", "1080x1440", "1920x1080", "1080x1920", "720x720", "1080x1080",
         "1920x1080", "2112x912"),
    ),
    (
        "local",
        LOCAL,
        ("1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792", "512x512", "2048x2048",
         "3840x2160", "3840x1280"),
    ),
)  # fmt: skip
ASKED = (
    "1024x1024",
    "1536x1024",
    "1024x1536",
    "1792x1024",
    "1024x1792",
    "512x512",
    "2048x2048",
    "3840x2160",
    "3840x1280",
)
TABLE = [
    pytest.param(model, asked, sent, id=f"{name}-{asked}")
    for name, model, column in COLUMNS
    for asked, sent in zip(ASKED, column, strict=True)
    if sent
]


def call_of(**fields: object) -> ImageCall:
    call = ImageCall(id="c", operation="generate", model="m", prompt="a fox")
    return msgspec.structs.replace(call, **fields)


def sent_as(call: ImageCall) -> str:
    return call.size or " ".join(filter(None, (call.aspect_ratio, call.resolution)))


@pytest.mark.parametrize(("model", "asked", "sent"), TABLE)
def test_the_table_of_sizes(model: Model, asked: str, sent: str) -> None:
    call = call_of(size=asked)
    check_universe(call, model)
    adjusted, adjustments = check_call(call, model)
    assert sent_as(adjusted) == sent
    for one in adjustments:
        assert (one.param, one.asked, one.sent) == ("size", asked, sent)


@pytest.mark.parametrize("model", [model for _, model, _ in COLUMNS])
def test_auto_sends_nothing(model: Model) -> None:
    adjusted, adjustments = check_call(call_of(size="auto"), model, policy="strict")
    assert (adjusted.size, adjusted.aspect_ratio, adjusted.resolution) == (None, None, None)
    assert adjustments == ()


def test_a_size_that_comes_out_exactly_is_no_adjustment() -> None:
    assert check_call(call_of(size="1024x1024"), GEMINI, policy="strict")[1] == ()
    assert check_call(call_of(size="2048x2048"), GEMINI, policy="strict")[1] == ()


def test_an_adjustment_says_what_will_come() -> None:
    _, (adjustment,) = check_call(call_of(size="1536x1024"), GEMINI)
    reason = "p/m takes aspect ratios, not pixels; this one comes as 1264x848"
    assert adjustment == Adjustment("size", "1536x1024", "3:2 1K", reason)


def test_strict_names_the_values_that_there_are() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_call(call_of(size="3840x1280"), GEMINI, policy="strict")
    assert caught.value.param == "size"
    for word in ("21:9", "4:1", "2K"):
        assert word in caught.value.message


def test_a_size_that_only_this_model_takes_is_taken() -> None:
    for model, size in ((RECRAFT_3, "1820x1024"), (LOCAL, "1000x1000"), (GEMINI, "4:1")):
        call = call_of(size=size)
        check_universe(call, model)
        assert check_call(call, model, policy="strict")[1] == ()
        with pytest.raises(BadRequestError):
            check_universe(call, model_of(sizes=("1024x1024",)))


def test_a_ratio_that_was_given_decides() -> None:
    call = call_of(size="1024x1024", aspect_ratio="16:9", resolution="2K")
    adjusted, adjustments = check_call(call, GEMINI)
    assert (adjusted.size, adjusted.aspect_ratio, adjusted.resolution) == (None, "16:9", "2K")
    assert [one.param for one in adjustments] == ["size"]


def test_a_resolution_that_was_given_beats_the_one_of_the_size() -> None:
    adjusted, _ = check_call(call_of(size="1024x1024", resolution="4K"), GEMINI)
    assert (adjusted.aspect_ratio, adjusted.resolution) == ("1:1", "4K")


def test_a_model_without_sizes_gets_none() -> None:
    adjusted, adjustments = check_call(call_of(size="1024x1024"), model_of(sizes=()))
    assert adjusted.size is None
    assert [(one.param, one.sent) for one in adjustments] == [("size", None)]


RATIO = st.sampled_from([model for _, model, _ in COLUMNS if model.aspect_ratios])
EDGE = st.integers(1, 240).map(lambda steps: steps * 16)


@given(model=RATIO, width=EDGE, height=EDGE)
def test_no_other_ratio_is_nearer(model: Model, width: int, height: int) -> None:
    chosen = nearest_ratio(width, height, model.aspect_ratios)
    others = [nearest_ratio(width, height, (text,)).distance for text in model.aspect_ratios]
    assert chosen.distance == min(others)
    assert chosen.text == model.aspect_ratios[others.index(min(others))]


@given(model=RATIO, width=EDGE, height=EDGE)
def test_a_turned_size_gives_the_turned_ratio_where_there_is_one(
    model: Model, width: int, height: int
) -> None:
    turned = {text: ":".join(reversed(text.split(":"))) for text in model.aspect_ratios}
    chosen = nearest_ratio(width, height, model.aspect_ratios)
    if not set(turned.values()) <= set(model.aspect_ratios):
        return
    distances = [nearest_ratio(width, height, (text,)).distance for text in model.aspect_ratios]
    if sorted(distances)[0] < sorted(distances)[1] - 1e-9:
        assert nearest_ratio(height, width, model.aspect_ratios).text == turned[chosen.text]


@given(
    size=st.tuples(st.integers(16, 9000), st.integers(16, 9000)),
    step=st.sampled_from((1, 8, 16, 32, 64)),
    side_max=st.sampled_from((0, 1440, 2048)),
    area_max=st.sampled_from((0, 1_048_576, 4_194_304)),
)
def test_a_bounded_size_is_within_bounds(
    size: tuple[int, int], step: int, side_max: int, area_max: int
) -> None:
    width, height = bounded(*size, multiple_px=step, side_px=(0, side_max), area_px=(0, area_max))
    assert width % step == height % step == 0
    assert min(width, height) >= step
    assert not side_max or max(width, height) <= side_max
    assert not area_max or width * height <= area_max or min(width, height) == step
    again = bounded(width, height, multiple_px=step, side_px=(0, side_max), area_px=(0, area_max))
    assert again == (width, height)


def test_a_size_below_the_least_grows() -> None:
    assert bounded(256, 256, multiple_px=16, side_px=(512, 2048)) == (512, 512)
    assert bounded(256, 512, multiple_px=16, area_px=(1_048_576, 0)) == (720, 1456)


@given(model=RATIO, size=st.sampled_from((*FIXED_SIZES, *ASKED, None, "auto")))
def test_translating_twice_changes_nothing(model: Model, size: str | None) -> None:
    adjusted, _ = check_call(call_of(size=size), model)
    assert check_call(adjusted, model, policy="strict") == (adjusted, ())


# Words


LEVELS = model_of(quality_values={"low": "minimal", "medium": "medium", "high": "high"})
TWO_LEVELS = model_of(quality_values={"standard": "standard", "hd": "premium"})


@pytest.mark.parametrize(
    ("model", "asked", "sent", "is_reported"),
    [
        (LEVELS, "low", "minimal", False),
        (LEVELS, "standard", "medium", False),
        (LEVELS, "hd", "high", False),
        (LEVELS, "max", "high", True),
        (LEVELS, "auto", None, False),
        (TWO_LEVELS, "low", "standard", True),
        (TWO_LEVELS, "medium", "standard", False),
        (TWO_LEVELS, "high", "premium", False),
        (TWO_LEVELS, "xhigh", "premium", True),
        (model_of(), "high", None, True),
    ],
)
def test_quality_becomes_the_models_own_word(
    model: Model, asked: str, sent: str | None, is_reported: bool
) -> None:
    adjusted, adjustments = check_call(call_of(quality=asked), model)
    assert adjusted.quality == sent
    assert [(one.param, one.sent) for one in adjustments] == [("quality", sent)] * is_reported
    assert check_call(adjusted, model, policy="strict") == (adjusted, ())


def test_seeds_stay_within_the_models_own() -> None:
    model = model_of(seed_max=99)
    assert check_call(call_of(seed=99), model, policy="strict")[0].seed == 99
    adjusted, (adjustment,) = check_call(call_of(seed=105), model)
    assert (adjusted.seed, adjustment.asked, adjustment.sent) == (5, 105, 5)
    assert check_call(call_of(seed=7), model_of())[0].seed is None


def test_a_negative_prompt_is_sent_where_there_is_one() -> None:
    call = call_of(negative_prompt="rain")
    assert check_call(call, model_of(negative_prompt=True))[0].negative_prompt == "rain"
    adjusted, adjustments = check_call(call, model_of())
    assert adjusted.negative_prompt is None
    assert [one.param for one in adjustments] == ["negative_prompt"]


def test_a_mask_and_transparency_are_refused_where_there_are_none() -> None:
    masked = call_of(operation="edit", mask=object())
    with pytest.raises(BadRequestError) as caught:
        check_call(masked, model_of(mask=False))
    assert (caught.value.param, caught.value.code) == ("mask", "mask_not_supported")
    with pytest.raises(BadRequestError) as caught:
        check_call(call_of(background="transparent"), model_of())
    assert (caught.value.param, caught.value.http_status) == ("background", 400)


def test_a_style_of_the_models_own_passes() -> None:
    call = call_of(style="Hand-drawn")
    model = model_of(params=("style",))
    check_universe(call, model)
    assert check_call(call, model, policy="strict")[0].style == "Hand-drawn"
    with pytest.raises(BadRequestError):
        check_universe(call, model_of())


@pytest.mark.parametrize(
    ("fields", "asked", "sent", "encoding"),
    [
        ({"output_formats": ("png", "jpeg")}, "jpeg", "jpeg", None),
        ({"output_formats": ("jpeg", "png")}, "webp", "png", Encoding("webp")),
        ({"default_format": "jpeg"}, "jpeg", None, None),
        ({"default_format": "jpeg"}, "png", None, Encoding("png")),
        ({"default_format": "svg"}, "png", None, None),
        ({"output_formats": ("png",)}, "gif", "png", None),
        ({"output_formats": ("png",)}, None, None, None),
    ],
)
def test_a_format_that_a_model_lacks_is_made_here(
    fields: dict[str, object], asked: str | None, sent: str | None, encoding: Encoding | None
) -> None:
    model, call = model_of(**fields), call_of(output_format=asked)
    adjusted, adjustments = check_call(call, model)
    assert adjusted.output_format == sent
    assert encoding_for(call, model) == encoding
    is_made = asked in (sent, model.default_format, None)
    assert [one.param for one in adjustments] == ([] if is_made else ["output_format"])


def test_compression_goes_where_the_format_is_made() -> None:
    call = call_of(output_format="webp", output_compression=60)
    here = model_of(output_formats=("png",))
    assert encoding_for(call, here) == Encoding("webp", 60)
    assert check_call(call, here)[0].output_compression is None
    there = model_of(output_formats=("png", "webp"))
    assert check_call(call, there)[0].output_compression == 60
    lacking = msgspec.structs.replace(there, output_compression=False)
    adjusted, adjustments = check_call(call, lacking)
    assert adjusted.output_compression is None
    assert [one.param for one in adjustments] == ["output_compression"]


@pytest.mark.parametrize(
    ("asked", "sent"), [("16:9", "16:9"), ("16:10", "3:2"), ("2:1", "16:9"), ("100:1", "8:1")]
)
def test_an_aspect_ratio_becomes_the_nearest_one(asked: str, sent: str) -> None:
    adjusted, adjustments = check_call(call_of(aspect_ratio=asked), GEMINI)
    assert adjusted.aspect_ratio == sent
    assert [(one.asked, one.sent) for one in adjustments] == [(asked, sent)] * (asked != sent)


@pytest.mark.parametrize(
    ("asked", "sent", "is_reported"), [("2k", "2K", False), ("8K", "4K", True), ("512", "1K", True)]
)
def test_a_resolution_becomes_the_nearest_one(asked: str, sent: str, is_reported: bool) -> None:
    adjusted, adjustments = check_call(call_of(resolution=asked), GEMINI)
    assert adjusted.resolution == sent
    assert [one.param for one in adjustments] == ["resolution"] * is_reported


def test_a_shape_that_means_nothing_is_refused() -> None:
    for fields in ({"aspect_ratio": "wide"}, {"resolution": "huge"}):
        with pytest.raises(BadRequestError) as caught:
            check_call(call_of(**fields), GEMINI)
        assert caught.value.param in fields

import msgspec
import pytest

from imagegate.catalogue.adjust import Encoding, check_call, encoding_for
from imagegate.catalogue.check import check_shape, check_universe
from imagegate.catalogue.model import Model
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.errors import BadRequestError
from imagegate.types import Blob, ImageCall

IMAGE = Blob(source=b"", offset=0, length=0, media_type="image/png")
WEBP = Blob(source=b"", offset=0, length=0, media_type="image/webp")


def model_of(name: str) -> Model:
    model = builtin_catalogue().find(name)
    assert model
    return model


def call_of(**fields: object) -> ImageCall:
    call = ImageCall(id="c", operation="generate", model="m", prompt="a red circle")
    return msgspec.structs.replace(call, **fields)


def edit_of(**fields: object) -> ImageCall:
    return call_of(**({"operation": "edit", "images": (IMAGE,)} | fields))


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (call_of(size="1000x1000"), "size"),
        (call_of(size="1024X1024"), "size"),
        (call_of(size="99999x1"), "size"),
        (call_of(size="3072x3072"), "size"),
        (call_of(size="768x768"), "size"),
        (call_of(size="big"), "size"),
        (call_of(quality="best"), "quality"),
        (call_of(background="blue"), "background"),
        (call_of(output_format="tiff"), "output_format"),
        (call_of(moderation="none"), "moderation"),
        (call_of(style="cubist"), "style"),
        (call_of(response_format="base64"), "response_format"),
        (call_of(complexity="max"), "complexity"),
        (edit_of(input_fidelity="medium"), "input_fidelity"),
        (call_of(n=0), "n"),
        (call_of(n=11), "n"),
        (call_of(output_compression=101), "output_compression"),
        (call_of(partial_images=4), "partial_images"),
        (call_of(frame_count=1), "frame_count"),
        (call_of(frame_duration_ms=0), "frame_duration_ms"),
        (call_of(prompt="  "), "prompt"),
        (call_of(prompt="x" * 32_001), "prompt"),
        (edit_of(images=()), "image"),
        (edit_of(images=(IMAGE,) * 17), "image"),
        (edit_of(mask=IMAGE, markup=IMAGE), "markup"),
        (call_of(background="transparent", output_format="jpeg"), "background"),
    ],
)
def test_what_nobody_takes_is_refused_and_the_field_is_named(call: ImageCall, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_universe(call)
    assert caught.value.param == param
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "call",
    [
        call_of(),
        call_of(size="auto", quality="auto", background="auto"),
        call_of(size="256x256", quality="hd", style="vivid", response_format="url"),
        call_of(size="3840x1280", quality="max", n=10, output_format="webp"),
        call_of(prompt="x" * 32_000),
        edit_of(images=(IMAGE,) * 16, mask=IMAGE, input_fidelity="high"),
        call_of(operation="variation", prompt="", images=(IMAGE,)),
    ],
)
def test_what_some_model_takes_or_took_passes(call: ImageCall) -> None:
    check_universe(call)


def test_a_server_without_a_row_may_have_its_own_words() -> None:
    check_shape(call_of(size="768x768", quality="best", n=20))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (call_of(quality="ultra"), ("Invalid value: 'ultra'.", "Supported values are: 'auto'")),
        (call_of(size="872x2048"), ("Invalid size '872x2048'.", "divisible by 16")),
        (call_of(prompt=""), ("Missing required parameter: 'prompt'.",)),
        (
            call_of(background="transparent", output_format="jpeg"),
            ("Transparent background is not supported for JPEG output format",),
        ),
    ],
)
def test_messages_read_like_openais(call: ImageCall, words: tuple[str, ...]) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_universe(call)
    for word in words:
        assert word in caught.value.message


DIFFERENCES = [
    ("gpt-image-2", call_of(quality="hd"), "quality", "high"),
    ("gpt-image-2", call_of(quality="standard"), "quality", "medium"),
    ("gpt-image-2", call_of(quality="xhigh"), "quality", "high"),
    ("gpt-image-2", call_of(quality="max"), "quality", "high"),
    ("gpt-image-2.5-flare", call_of(quality="hd"), "quality", "high"),
    ("dall-e-3", call_of(quality="low"), "quality", "standard"),
    ("dall-e-3", call_of(quality="max"), "quality", "hd"),
    ("gpt-image-2", call_of(size="512x512"), "size", "816x816"),
    ("gpt-image-1.5", call_of(size="1792x1024"), "size", "1536x1024"),
    ("gpt-image-1.5", call_of(size="2048x2048"), "size", "1024x1024"),
    ("dall-e-3", call_of(size="3840x2160"), "size", "1792x1024"),
    ("gpt-image-2", call_of(style="vivid"), "style", None),
    ("gpt-image-2", call_of(complexity="low"), "complexity", None),
    ("gpt-image-2", edit_of(input_fidelity="high"), "input_fidelity", None),
    ("gpt-image-1-mini", edit_of(input_fidelity="high"), "input_fidelity", "low"),
    ("gpt-image-1.5", call_of(input_fidelity="high"), "input_fidelity", None),
    ("azure/gpt-image-2", call_of(output_format="webp"), "output_format", "png"),
    ("gpt-image-2", call_of(output_format="gif"), "output_format", "png"),
    ("gpt-image-2", call_of(output_compression=80), "output_compression", None),
    ("dall-e-3", call_of(output_format="png"), "output_format", None),
    ("dall-e-3", call_of(moderation="low"), "moderation", None),
    ("dall-e-3", call_of(background="opaque"), "background", None),
    ("gpt-image-2.6-flare", call_of(frame_count=4), "frame_count", None),
    ("gpt-image-2.6-flare", call_of(svg={"model": "x"}), "svg", None),
]


@pytest.mark.parametrize("size", ["", "flex", "e"])
def test_a_part_of_a_rules_name_is_no_size(size: str) -> None:
    with pytest.raises(BadRequestError, match="Invalid size"):
        check_universe(call_of(size=size), model_of("openai/gpt-image-2"))


@pytest.mark.parametrize(("model", "call", "param", "sent"), DIFFERENCES)
def test_what_only_another_model_takes_is_translated_and_reported(
    model: str, call: ImageCall, param: str, sent: object
) -> None:
    check_universe(call)
    adjusted, adjustments = check_call(call, model_of(model))
    assert getattr(adjusted, param) == sent
    assert [(one.param, one.asked, one.sent) for one in adjustments] == [
        (param, getattr(call, param), sent)
    ]
    assert adjustments[0].reason


@pytest.mark.parametrize(("model", "call", "param", "sent"), DIFFERENCES)
def test_strict_refuses_every_difference(
    model: str, call: ImageCall, param: str, sent: object
) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_call(call, model_of(model), policy="strict")
    assert caught.value.param == param
    assert param in caught.value.message


def test_strict_names_what_is_allowed() -> None:
    with pytest.raises(BadRequestError, match="use one of auto, low, medium, high"):
        check_call(call_of(quality="hd"), model_of("gpt-image-2"), policy="strict")


@pytest.mark.parametrize(
    ("model", "call", "param"),
    [
        ("dall-e-3", edit_of(images=(), mask=IMAGE), "mask"),
        ("dall-e-2", edit_of(images=(IMAGE, IMAGE)), "image"),
        ("dall-e-2", call_of(prompt="x" * 1001), "prompt"),
        ("dall-e-3", call_of(background="transparent"), "background"),
        ("gpt-image-2", edit_of(markup=IMAGE), "markup"),
        ("gpt-image-2.6-flare", edit_of(mask=IMAGE, output_format="gif"), "mask"),
        ("gpt-image-2.6-flare", call_of(n=2, output_format="svg"), "n"),
        ("azure/gpt-image-2", edit_of(images=(WEBP,)), "image"),
    ],
)
def test_mask_n_and_transparency_are_never_left_out(
    model: str, call: ImageCall, param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_call(call, model_of(model))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("model", "asked", "taken"),
    [
        ("gpt-image-2", {"response_format": "b64_json"}, {"response_format": None}),
        ("gpt-image-2", {"response_format": "url"}, {"response_format": None}),
        ("gpt-image-2", {"output_compression": 100}, {"output_compression": None}),
        ("dall-e-3", {"size": "auto", "background": "auto"}, {"size": None, "background": None}),
        ("dall-e-3", {"stream": True, "partial_images": 2}, {"stream": False}),
        ("gpt-image-2", {"partial_images": 2}, {"partial_images": None}),
        ("gpt-image-2.6-flare", {"stream": True, "output_format": "gif"}, {"stream": False}),
        ("gpt-image-2", {"stream": True, "partial_images": 2}, {"partial_images": 2}),
        ("gpt-image-1.5", {"size": "auto", "quality": "auto"}, {"size": "auto"}),
        ("gpt-image-2", {"size": "3840x2160"}, {"size": "3840x2160"}),
        ("dall-e-3", {"response_format": "url"}, {"response_format": "url"}),
        ("azure/gpt-image-2", {"moderation": "low"}, {"moderation": "low"}),
        ("gpt-image-2.6-flare", {"output_format": "gif", "frame_count": 4}, {"frame_count": 4}),
    ],
)
def test_what_makes_no_difference_is_not_reported(
    model: str, asked: dict[str, object], taken: dict[str, object]
) -> None:
    for policy in ("nearest", "strict"):
        adjusted, adjustments = check_call(call_of(**asked), model_of(model), policy=policy)  # type: ignore[arg-type]
        assert adjustments == ()
        assert {name: getattr(adjusted, name) for name in taken} == taken


def test_a_translated_format_decides_what_goes_with_it() -> None:
    call = call_of(output_format="webp", output_compression=80, background="transparent")
    adjusted, adjustments = check_call(call, model_of("azure/gpt-image-2"))
    assert (adjusted.output_format, adjusted.output_compression) == ("png", None)
    assert adjusted.background == "transparent"
    assert [one.param for one in adjustments] == ["output_format"]
    assert encoding_for(call, model_of("azure/gpt-image-2")) == Encoding("webp", 80)


def test_every_adjusted_call_is_taken_as_it_is() -> None:
    call = call_of(size="512x512", quality="hd", style="vivid", output_format="gif", frame_count=3)
    for model in builtin_catalogue().all():
        adjusted, _ = check_call(call, model)
        assert check_call(adjusted, model, policy="strict") == (adjusted, ())

import datetime

import msgspec
import pytest

from imagegate.catalogue.model import Model, Price
from imagegate.catalogue.price import PriceRange
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import Deployment
from imagegate.errors import BadRequestError, ImageError, NotFoundError
from imagegate.plan import VARIATION_PROMPT, Plan, plan
from imagegate.types import Blob, FileId, ImageCall, ImageResult
from imagegate.wire.exchange import Exchange, UpstreamResponse
from imagegate.wire.provider import Provider, Target

TODAY = datetime.date(2026, 11, 20)
IMAGE = Blob(source=b"", offset=0, length=0, media_type="image/png")
OPENAI_URL = "https://api.openai.com/v1"


def adapter(call: ImageCall, target: Target) -> Exchange:
    yield from ()
    return ImageResult(images=())


def read_error(response: UpstreamResponse) -> ImageError:
    return ImageError("")


OPENAI = Provider(
    name="openai",
    base_url=OPENAI_URL,
    generate=adapter,
    edit=adapter,
    variation=adapter,
    read_error=read_error,
    accepts_unknown_fields=True,
    knows_file_ids=True,
)
AZURE = Provider(
    name="azure",
    generate=adapter,
    edit=adapter,
    read_error=read_error,
    accepts_unknown_fields=True,
)
OTHER = Provider(
    name="other", base_url="https://other.test", generate=adapter, read_error=read_error
)


def deployment_of(
    name: str, provider: Provider = OPENAI, base_url: str = OPENAI_URL, **fields: object
) -> Deployment:
    row = fields.pop("row", f"{provider.name}/{name}")
    deployment = Deployment(
        id="d",
        group="g",
        provider=provider,
        target=Target(base_url=base_url, upstream_model=name),
        model=builtin_catalogue().find(str(row)),
    )
    return msgspec.structs.replace(deployment, **fields)


def call_of(**fields: object) -> ImageCall:
    call = ImageCall(id="c", operation="generate", model="g", prompt="a red circle")
    return msgspec.structs.replace(call, **fields)


def planned(call: ImageCall, deployment: Deployment, **options: object) -> Plan:
    given = {"policy": "nearest", "on_retired": "send", "today": TODAY} | options
    return plan(call, deployment, **given)  # type: ignore[arg-type]


def test_a_plain_call_is_sent_as_asked_at_a_known_price() -> None:
    call = call_of(size="1024x1024", quality="low")
    result = planned(call, deployment_of("gpt-image-2.5-flare"))
    assert (result.call, result.adjustments, result.warnings) == (call, (), ())
    assert result.price
    assert result.price.lowest_e10 == 196 * 300_000


def test_the_operators_defaults_fill_what_was_not_given() -> None:
    deployment = deployment_of(
        "gpt-image-2",
        defaults={"quality": "low", "size": "1536x1024", "tint": 7, "prompt": "no", "id": "x"},
    )
    call = planned(call_of(quality="high"), deployment).call
    assert (call.quality, call.size, call.extra) == ("high", "1536x1024", {"tint": 7})
    assert (call.id, call.prompt) == ("c", "a red circle")


def test_a_value_nobody_takes_is_refused_also_for_a_model_without_a_row() -> None:
    for deployment in (
        deployment_of("gpt-image-2"),
        deployment_of("gpt-image-9"),
        deployment_of("my-deployment", AZURE, "https://r.test"),
    ):
        with pytest.raises(BadRequestError) as caught:
            planned(call_of(quality="best"), deployment)
        assert caught.value.param == "quality"


def test_a_url_is_ours_to_give_and_asked_of_nobody() -> None:
    deployment = deployment_of("sdxl", base_url="http://127.0.0.1:8000/v1")
    for asked, sent in (("url", None), ("b64_json", "b64_json")):
        result = planned(call_of(response_format=asked), deployment)
        assert (result.call.response_format, result.adjustments) == (sent, ())


def test_a_server_of_ones_own_without_a_row_has_no_limits() -> None:
    call = call_of(size="768x768", quality="best", n=20, style="noir")
    for deployment in (
        deployment_of("sdxl", base_url="http://127.0.0.1:8000/v1"),
        deployment_of("sdxl", OTHER, "https://other.test"),
    ):
        result = planned(call, deployment)
        assert (result.call, result.adjustments, result.warnings) == (call, (), ())
        assert result.price is None


def test_fields_that_ended_with_dalle_never_reach_an_azure_deployment_without_a_row() -> None:
    deployment = deployment_of("gpt-image-2-1", AZURE, "https://r.test")
    result = planned(call_of(response_format="b64_json", quality="hd", style="vivid"), deployment)
    assert (result.call.response_format, result.call.quality, result.call.style) == (
        None,
        "high",
        None,
    )
    assert [one.param for one in result.adjustments] == ["quality", "style"]
    assert result.warnings == ()


def test_an_operation_that_the_deployment_lacks_is_refused() -> None:
    call = call_of(operation="edit", images=(IMAGE,))
    with pytest.raises(BadRequestError, match="other/sdxl cannot edit"):
        planned(call, deployment_of("sdxl", OTHER, "https://other.test"))
    with pytest.raises(BadRequestError, match="openai/dall-e-3 cannot edit"):
        planned(call, deployment_of("dall-e-3"))


@pytest.mark.parametrize("name", ["gpt-image-2", "dall-e-2", "gpt-image-9"])
def test_variations_are_gone_with_the_advice_to_edit(name: str) -> None:
    call = call_of(operation="variation", prompt="", images=(IMAGE,))
    with pytest.raises(BadRequestError, match="/v1/images/edits") as caught:
        planned(call, deployment_of(name))
    assert (caught.value.http_status, caught.value.code) == (410, "operation_retired")


def test_variations_may_be_made_as_edits_and_that_is_reported() -> None:
    call = call_of(operation="variation", prompt="", images=(IMAGE,))
    result = planned(call, deployment_of("gpt-image-2", variations="edit"))
    assert (result.call.operation, result.call.prompt) == ("edit", VARIATION_PROMPT)
    assert [(one.asked, one.sent) for one in result.adjustments] == [("variation", "edit")]


def test_a_server_of_ones_own_may_make_variations() -> None:
    call = call_of(operation="variation", prompt="", images=(IMAGE,))
    for row in ("", "openai/gpt-image-2"):
        deployment = deployment_of("sdxl", base_url="http://127.0.0.1:8000/v1", row=row)
        assert planned(call, deployment).call.operation == "variation"


def test_file_ids_leave_only_to_a_provider_that_knows_them() -> None:
    call = call_of(operation="edit", images=(IMAGE, FileId("file-1")))
    assert planned(call, deployment_of("gpt-image-2")).call.images == call.images
    azure = deployment_of("gpt-image-2", AZURE, "https://r.test")
    with pytest.raises(BadRequestError) as caught:
        planned(call, azure)
    assert caught.value.param == "images[1].file_id"
    with pytest.raises(BadRequestError) as caught:
        planned(msgspec.structs.replace(call, images=(IMAGE,), mask=FileId("file-1")), azure)
    assert caught.value.param == "mask.file_id"


def test_unknown_fields_pass_or_are_left_out_with_a_report() -> None:
    call = call_of(extra={"tint": 1})
    assert planned(call, deployment_of("gpt-image-2")).call.extra == {"tint": 1}
    other = deployment_of("sdxl", OTHER, "https://other.test")
    result = planned(call, other)
    assert result.call.extra == {}
    assert [(one.param, one.asked, one.sent) for one in result.adjustments] == [("tint", 1, None)]
    with pytest.raises(BadRequestError) as caught:
        planned(call, other, policy="strict")
    assert (caught.value.param, caught.value.code) == ("tint", "unknown_parameter")


def test_what_openai_is_known_to_refuse_is_not_sent_there() -> None:
    call = call_of(extra={"seed": 1, "negative_prompt": "rain", "tint": 2})
    for provider in (OPENAI, AZURE):
        result = planned(call, deployment_of("gpt-image-2", provider, "https://r.test"))
        assert result.call.extra == {"tint": 2}
        assert [one.param for one in result.adjustments] == ["seed", "negative_prompt"]
    # The operator says what a server of one's own is like, not what it refuses.
    compatible = msgspec.structs.replace(OPENAI, name="openai_compatible")
    server = deployment_of("m", compatible, "https://own.test", row="openai/gpt-image-2")
    assert planned(call, server).call.extra == call.extra
    with pytest.raises(BadRequestError) as caught:
        planned(call, deployment_of("gpt-image-2"), policy="strict")
    assert caught.value.param == "seed"


def test_strict_refuses_an_adjustment() -> None:
    with pytest.raises(BadRequestError, match="'hd' is not offered by 'openai/gpt-image-2'"):
        planned(call_of(quality="hd"), deployment_of("gpt-image-2"), policy="strict")


def test_a_retired_model_is_sent_with_a_warning_that_names_date_successor_and_source() -> None:
    (warning,) = planned(call_of(), deployment_of("gpt-image-1")).warnings
    for word in ("openai/gpt-image-1", "2026-10-23", "openai/gpt-image-2.5-flare", "source:"):
        assert word in warning


def test_a_retired_model_is_refused_where_the_operator_says_so() -> None:
    with pytest.raises(NotFoundError, match="2026-10-23") as caught:
        planned(call_of(), deployment_of("gpt-image-1"), on_retired="refuse")
    assert (caught.value.http_status, caught.value.code) == (404, "model_retired")


def test_the_image_tool_of_a_response_has_a_life_too() -> None:
    text = msgspec.structs.replace(deployment_of("gpt-5.6"), model=None, serves="responses")
    tools = [{"type": "image_generation", "model": "gpt-image-1"}]
    body = {"model": "text", "input": "a", "tools": tools}
    call = call_of(operation="responses", extra={"body": body})
    (warning,) = planned(call, text).warnings
    assert "gpt-image-1 was shut down on 2026-10-23" in warning
    with pytest.raises(NotFoundError):
        planned(call, text, on_retired="refuse")


def test_a_model_lives_until_its_shutdown_date() -> None:
    deployment = deployment_of("gpt-image-1.5-2025-12-16")
    (warning,) = planned(call_of(), deployment, on_retired="refuse").warnings
    assert "ends on 2026-12-01, in 11 days" in warning
    early = datetime.date(2026, 10, 1)
    assert planned(call_of(), deployment, today=early).warnings == ()
    day = datetime.date(2026, 12, 1)
    assert "was shut down on 2026-12-01" in planned(call_of(), deployment, today=day).warnings[0]


@pytest.mark.parametrize(
    "deployment",
    [
        deployment_of("gpt-image-1", AZURE, "https://r.test"),
        deployment_of("gpt-image-1", base_url="http://127.0.0.1:8000/v1"),
        deployment_of("my-model", row="openai/gpt-image-1"),
    ],
    ids=["azure", "own base url", "base_model"],
)
def test_what_the_operator_named_or_serves_is_never_retired(deployment: Deployment) -> None:
    assert planned(call_of(), deployment, on_retired="refuse").warnings == ()


def test_an_unknown_id_at_openai_is_sent_with_a_warning() -> None:
    result = planned(call_of(quality="max"), deployment_of("gpt-image-9"), on_retired="refuse")
    assert "openai/gpt-image-9" in result.warnings[0]
    assert result.call.quality == "max"
    assert result.price is None


OTHER_ROW = Model(
    id="other/draw",
    aspect_ratios=("1:1", "16:9"),
    resolutions=("1K", "2K"),
    n_max=4,
    seed_max=99,
    negative_prompt=True,
    params=("steps",),
    price=Price(image_e10=100),
    source="test",
    checked=TODAY,
    shutdown=datetime.date(2026, 1, 1),
)


def other_of(**fields: object) -> Deployment:
    given = {"row": "", "model": OTHER_ROW} | fields
    return deployment_of("draw", OTHER, "https://other.test", **given)


def test_what_several_providers_know_by_one_name_leaves_the_extras() -> None:
    extra = {"seed": "7", "negative_prompt": "rain", "aspect_ratio": "16:9", "resolution": "2K"}
    result = planned(call_of(extra=extra), other_of())
    call = result.call
    assert (call.seed, call.negative_prompt, call.extra) == (7, "rain", {})
    assert (call.aspect_ratio, call.resolution, result.adjustments) == ("16:9", "2K", ())


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("seed", True), ("negative_prompt", 1)])
def test_a_named_field_of_another_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(BadRequestError) as caught:
        planned(call_of(extra={name: value}), other_of())
    assert caught.value.param == name


def test_a_models_own_parameters_pass_by_name_and_no_others() -> None:
    call = call_of(extra={"steps": 20, "spteps": 30})
    result = planned(call, other_of())
    assert result.call.extra == {"steps": 20}
    assert [(one.param, one.asked, one.sent) for one in result.adjustments] == [
        ("spteps", 30, None)
    ]
    with pytest.raises(BadRequestError) as caught:
        planned(call, other_of(), policy="strict")
    assert caught.value.param == "spteps"


def test_a_call_above_the_models_limit_is_made_in_parts() -> None:
    result = planned(call_of(n=10, extra={"seed": 95}), other_of())
    parts = result.split(10)
    assert [part.call.n for part in parts] == [4, 4, 2]
    assert [part.start for part in parts] == [0, 4, 8]
    assert [part.call.seed for part in parts] == [95, 99, 3]
    assert result.price == PriceRange(1000, 1000, 1000)
    assert [part.price for part in parts] == [PriceRange(*[n * 100] * 3) for n in (4, 4, 2)]
    assert [part.call.n for part in result.split(4, 4)] == [4]
    assert planned(call_of(n=4), other_of()).split(4)[0].call.n == 4


def test_a_part_goes_on_where_its_images_begin() -> None:
    result = planned(call_of(n=10, extra={"seed": 10}), other_of())
    assert [part.call.seed for part in result.split(6, 4)] == [14, 18]


def test_what_is_assumed_of_a_provider_holds_for_its_unknown_models() -> None:
    assumed = msgspec.structs.replace(OTHER_ROW, id="other/*", price=None, shutdown=None)
    result = planned(call_of(size="1792x1024", n=8), other_of(model=None, assumed=assumed))
    assert (result.call.aspect_ratio, result.call.resolution) == ("16:9", "1K")
    assert (result.price, len(result.split(8))) == (None, 2)
    assert "its price is unknown" in result.warnings[0]


def test_a_life_cycle_holds_for_every_provider() -> None:
    assert "was shut down on 2026-01-01" in planned(call_of(), other_of()).warnings[0]
    with pytest.raises(NotFoundError):
        planned(call_of(), other_of(), on_retired="refuse")

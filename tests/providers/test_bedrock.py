import datetime
import json
from pathlib import Path

import msgspec
import pytest

from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.client_settings import client_settings
from imagegate.config.settings import Deployment
from imagegate.errors import BadRequestError, ConfigError
from imagegate.plan import Plan, plan
from imagegate.providers import bedrock
from imagegate.providers.bedrock import build_base_url, build_row_names, locate
from imagegate.types import AdjustPolicy, Blob, ImageCall, Json
from tests.config.files import faults_of, load
from tests.providers.talk import body_of, call, request_of

TODAY = datetime.date(2026, 11, 20)
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "s-test"}
WEST = {"AWS_REGION": "us-west-2"}
SD = "bedrock/stability.sd3-5-large-v1:0"
SERVICE = "us.stability.stable-image-inpaint-v1:0"
ARN = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{SERVICE}"
PNG = Blob(b"\x89PNG", 0, 4, media_type="image/png", width_px=1024, height_px=1024)
SERVICES = [
    row.name
    for row in builtin_catalogue().all()
    if row.provider == "bedrock" and row.name.startswith("us.")
]


def deployment_of(model: str, env: dict[str, str] | None = None, **settings: Json) -> Deployment:
    (deployment,) = client_settings(model, env=env or {}, **settings)[0].deployments
    return deployment


def planned(
    model: str, asked: ImageCall, policy: AdjustPolicy = "nearest", day: datetime.date = TODAY
) -> Plan:
    deployment = deployment_of(f"bedrock/{model}", WEST)
    return plan(asked, deployment, policy=policy, on_retired="send", today=day)


def sent_for(found: Plan) -> Json:
    adapter = found.deployment.provider.adapter(found.call.operation)
    assert adapter
    return json.loads(body_of(request_of(adapter(found.call, found.deployment.target))))


def edit(**fields: Json) -> ImageCall:
    return call(operation="edit", **({"images": (PNG,)} | fields))


# where


@pytest.mark.parametrize(
    ("model", "env", "settings", "host"),
    [
        (SD, {"AWS_REGION_NAME": "us-west-2"}, {}, "bedrock-runtime.us-west-2.amazonaws.com"),
        (SD, {"AWS_REGION": "us-west-2"}, {}, "bedrock-runtime.us-west-2.amazonaws.com"),
        (SD, {"AWS_DEFAULT_REGION": "us-east-2"}, {}, "bedrock-runtime.us-east-2.amazonaws.com"),
        (
            SD,
            {"AWS_REGION_NAME": "us-east-1", "AWS_REGION": "us-west-2"},
            {},
            "bedrock-runtime.us-east-1.amazonaws.com",
        ),
        (
            SD,
            WEST,
            {"aws_region_name": "us-gov-west-1"},
            "bedrock-runtime.us-gov-west-1.amazonaws.com",
        ),
        (SD, {"AWS_REGION": "cn-north-1"}, {}, "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        (f"bedrock/{ARN}", WEST, {}, "bedrock-runtime.eu-west-1.amazonaws.com"),
        (f"bedrock/us-east-1/{SERVICE}", WEST, {}, "bedrock-runtime.us-east-1.amazonaws.com"),
        (SD, WEST, {"aws_bedrock_runtime_endpoint": "https://vpce.example"}, "vpce.example"),
        (SD, WEST | {"AWS_BEDROCK_RUNTIME_ENDPOINT": "https://e.example"}, {}, "e.example"),
        (
            SD,
            {},
            {"api_base": "https://bedrock-runtime-fips.us-east-1.amazonaws.com"},
            "bedrock-runtime-fips.us-east-1.amazonaws.com",
        ),
    ],
)
def test_the_host_is_that_of_the_region(
    model: str, env: dict[str, str], settings: dict[str, Json], host: str
) -> None:
    target = deployment_of(model, env, **KEYS, **settings).target
    assert target.base_url == f"https://{host}"


def test_the_region_that_signs_is_the_hosts() -> None:
    def region(**settings: Json) -> str:
        return str(deployment_of(SD, {}, **KEYS, **settings).target.traits["aws_region_name"])

    assert region(api_base="https://bedrock-runtime-fips.us-east-1.amazonaws.com") == "us-east-1"
    assert region(api_base="https://vpce.example", aws_region_name="us-west-2") == "us-west-2"


@pytest.mark.parametrize("region", ["", "US-WEST-2", "us-west-2.evil.example/", "west"])
def test_without_a_region_there_is_no_host(region: str) -> None:
    with pytest.raises(ConfigError, match="aws_region_name"):
        deployment_of(SD, {}, **KEYS, aws_region_name=region)


def test_base_url_and_row_names() -> None:
    assert build_base_url("us-west-2") == "https://bedrock-runtime.us-west-2.amazonaws.com"
    assert build_row_names("eu.stability.x-v1:0") == (
        "eu.stability.x-v1:0",
        "stability.x-v1:0",
        "us.stability.x-v1:0",
    )


@pytest.mark.parametrize(
    "model_id",
    [
        SERVICE,
        SERVICE.removeprefix("us."),
        "global." + SERVICE.removeprefix("us."),
        "eu." + SERVICE.removeprefix("us."),
        ARN,
        f"us-east-1/{SERVICE}",
    ],
)
def test_every_spelling_of_a_service_has_its_row(model_id: str) -> None:
    deployment = deployment_of(f"bedrock/{model_id}", WEST)
    assert deployment.model is not None
    assert deployment.model.name == SERVICE


def test_a_profile_of_ones_own_has_the_row_of_its_base_model() -> None:
    arn = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc123"
    named = deployment_of(f"bedrock/{arn}", base_model=SERVICE.removeprefix("us."))
    assert named.model is not None
    assert named.model.name == SERVICE
    unnamed = deployment_of(f"bedrock/{arn}")
    assert unnamed.model is None
    assert unnamed.assumed is not None


def test_an_id_is_encoded_and_gets_the_profile_of_its_row() -> None:
    def url(model_id: str) -> str:
        target = deployment_of(f"bedrock/{model_id}", WEST).target
        return bedrock.build_url(target).partition("/model/")[2]

    assert url(SERVICE) == "us.stability.stable-image-inpaint-v1%3A0/invoke"
    assert url(SERVICE.removeprefix("us.")) == url(SERVICE)
    assert url("stability.sd3-5-large-v1:0") == "stability.sd3-5-large-v1%3A0/invoke"
    assert url(f"eu.{SERVICE.removeprefix('us.')}").startswith("eu.stability.")
    encoded = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Fus.stability"
    assert url(ARN).startswith(encoded)


def test_locate_names_the_setting_that_is_missing() -> None:
    with pytest.raises(ConfigError) as caught:
        locate("m", "", {})
    assert caught.value.param == "aws_region_name"


# how it signs in


@pytest.mark.parametrize(
    ("env", "settings", "kind", "names"),
    [
        ({}, KEYS, "sigv4", set(KEYS)),
        ({"AWS_BEARER_TOKEN_BEDROCK": "k-test"}, {}, "bearer", set()),
        ({"AWS_BEARER_TOKEN_BEDROCK": "k-test"}, KEYS, "sigv4", set(KEYS)),
        ({}, {"api_key": "k-test"}, "bearer", set()),
        ({}, {}, "sigv4", set()),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            {},
            "sigv4",
            {*KEYS, "aws_session_token"},
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s"},
            {"aws_profile_name": "images"},
            "sigv4",
            {"aws_profile_name"},
        ),
        ({"AWS_PROFILE": "images"}, {}, "sigv4", {"aws_profile_name"}),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s"},
            {"aws_role_name": "arn:aws:iam::123456789012:role/images"},
            "sigv4",
            {*KEYS, "aws_role_name"},
        ),
    ],
)
def test_what_is_given_goes_before_the_environment(
    env: dict[str, str], settings: dict[str, Json], kind: str, names: set[str]
) -> None:
    credential = deployment_of(SD, WEST | env, **settings).credential
    assert (credential.kind, set(credential.aws)) == (kind, names)


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"aws_access_key_id": "AKID"}, "aws_secret_access_key"),
        ({"aws_secret_access_key": "s"}, "aws_access_key_id"),
        (KEYS | {"aws_secret_access_key": "s-test\n"}, "aws_secret_access_key"),
        ({"aws_web_identity_token": "/run/token"}, "aws_role_name"),
    ],
)
def test_half_a_credential_is_a_fault(settings: dict[str, Json], param: str) -> None:
    with pytest.raises(ConfigError) as caught:
        deployment_of(SD, WEST, **settings)
    assert caught.value.param == param
    assert "s-test" not in caught.value.message


LITELLM = """\
model_list:
  - model_name: image
    model_info: {mode: image_generation}
    litellm_params:
      model: bedrock/stability.sd3-5-large-v1:0
      aws_access_key_id: os.environ/MY_ID
      aws_secret_access_key: os.environ/MY_SECRET
      aws_region_name: us-west-2
"""


def test_litellms_file_is_served(tmp_path: Path) -> None:
    env = {"MY_ID": "AKIDEXAMPLE", "MY_SECRET": "s-canary"}
    settings = load(tmp_path, LITELLM, env)
    (deployment,) = settings.deployments
    assert deployment.target.base_url == build_base_url("us-west-2")
    assert deployment.credential.aws["aws_secret_access_key"].reveal() == "s-canary"
    assert not deployment.defaults
    assert "canary" not in repr(settings)


def test_a_file_without_a_region_names_it(tmp_path: Path) -> None:
    text = LITELLM.replace("      aws_region_name: us-west-2\n", "")
    assert "aws_region_name" in faults_of(tmp_path, text, {"MY_ID": "A", "MY_SECRET": "s"})


# what is sent, from a caller's words on


def test_a_size_becomes_an_aspect_ratio_and_is_told() -> None:
    found = planned("stability.sd3-5-large-v1:0", call(size="1536x1024"))
    assert sent_for(found) == {"prompt": "a red circle", "aspect_ratio": "3:2"}
    (adjustment,) = found.adjustments
    assert (adjustment.param, adjustment.asked, adjustment.sent) == ("size", "1536x1024", "3:2")


def test_an_edit_by_sd35_takes_no_size() -> None:
    found = planned("stability.sd3-5-large-v1:0", edit(size="1536x1024"))
    assert sent_for(found).keys() == {"mode", "strength", "image", "prompt"}
    assert [change.param for change in found.adjustments] == ["size"]


def test_core_gets_none_of_what_it_refuses() -> None:
    asked = call(extra={"style_preset": "anime", "mode": "image-to-image"}, output_format="webp")
    found = planned("stability.stable-image-core-v1:1", asked)
    assert sent_for(found) == {"prompt": "a red circle", "output_format": "png"}
    changed = {change.param for change in found.adjustments}
    assert changed == {"style_preset", "mode", "output_format"}
    with pytest.raises(BadRequestError):
        planned("stability.stable-image-core-v1:1", edit())


def test_a_service_without_a_prompt_says_so() -> None:
    found = planned("us.stability.stable-image-erase-object-v1:0", edit(mask=PNG))
    assert sent_for(found).keys() == {"image", "mask"}
    assert [(change.param, change.sent) for change in found.adjustments] == [("prompt", None)]


def test_an_upscaler_answers_in_jpeg_unless_webp_is_asked() -> None:
    name = "us.stability.stable-creative-upscale-v1:0"
    assert sent_for(planned(name, edit()))["output_format"] == "jpeg"
    assert sent_for(planned(name, edit(output_format="webp")))["output_format"] == "webp"


@pytest.mark.parametrize(
    ("name", "extra", "param"),
    [
        ("us.stability.stable-outpaint-v1:0", {}, "left"),
        ("us.stability.stable-outpaint-v1:0", {"left": 0}, "left"),
        ("us.stability.stable-image-search-replace-v1:0", {}, "search_prompt"),
        ("us.stability.stable-image-search-recolor-v1:0", {}, "select_prompt"),
        ("us.stability.stable-style-transfer-v1:0", {}, "image"),
    ],
)
def test_what_a_service_needs_is_refused_before_it_is_sent(
    name: str, extra: dict[str, Json], param: str
) -> None:
    found = planned(name, edit(extra=extra))
    with pytest.raises(BadRequestError) as caught:
        sent_for(found)
    assert (caught.value.param, caught.value.code) == (param, "missing_required_parameter")


def test_there_are_thirteen_services_and_each_has_a_price_and_edits_only() -> None:
    assert len(SERVICES) == 13
    for name in SERVICES:
        row = builtin_catalogue().find(f"bedrock/{name}")
        assert row is not None
        assert row.operations == ("edit",)
        assert row.price is not None
        assert row.price.image_e10


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("stability.stable-image-core-v1:1", 400_000_000),
        ("stability.stable-image-ultra-v1:1", 1_400_000_000),
        ("stability.sd3-5-large-v1:0", 800_000_000),
    ],
)
def test_an_image_has_one_price(name: str, price: int) -> None:
    found = planned(name, call(n=3))
    assert found.price is not None
    assert found.price.expected_e10 == 3 * price
    assert found.n_max == 1


def test_a_seed_is_counted_up_over_the_parts() -> None:
    found = planned("stability.sd3-5-large-v1:0", call(n=2, extra={"seed": 7}))
    assert [part.call.seed for part in found.split(2)] == [7, 8]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("amazon.nova-canvas-v1:0", "2026-09-30"),
        ("amazon.titan-image-generator-v2:0", "2026-06-30"),
        ("amazon.titan-image-generator-v1", "2026-06-30"),
        ("stability.stable-diffusion-xl-v1", "2025-05-20"),
        ("stability.stable-diffusion-xl-v0", "2025-05-20"),
    ],
)
def test_a_model_past_its_end_is_sent_with_a_warning(name: str, day: str) -> None:
    found = planned(name, call())
    assert any(day in warning and "sd3-5-large" in warning for warning in found.warnings)
    assert sent_for(found)


def test_nova_words_and_sizes() -> None:
    asked = call(quality="high", size="1536x1024", n=2)
    found = planned("amazon.nova-canvas-v1:0", asked)
    assert sent_for(found)["imageGenerationConfig"] == {
        "numberOfImages": 2,
        "quality": "premium",
        "width": 1536,
        "height": 1024,
    }


def test_a_parameter_never_takes_the_place_of_a_field() -> None:
    target = deployment_of(SD, WEST).target
    odd = call(seed=7, extra={"seed": 8, "prompt": "other", "image": "x"})
    body = json.loads(body_of(bedrock.build_invoke(odd, target)))
    assert (body["seed"], body["prompt"]) == (7, "a red circle")


def test_images_are_streamed_not_held() -> None:
    target = deployment_of(f"bedrock/{SERVICE}", WEST).target
    asked = msgspec.structs.replace(edit(), mask=PNG)
    request = bedrock.build_invoke(asked, target)
    assert sum(not isinstance(part, bytes) for part in request.body) == 2

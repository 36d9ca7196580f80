"""AWS Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html.

One operation, InvokeModel; the model decides the JSON in it. A row's trait `shape` names that JSON
(`stability`, `amazon`, `sdxl`), its other traits say which fields a Stability service has. The
models of Amazon and SDXL have reached their end of life: they have their generation here, no more.
Answers and refusals are read in `wire/bedrock_answers.py`.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from imagegate.errors import BadRequestError, ConfigError
from imagegate.types import Blob, ImageCall, Json
from imagegate.wire.bedrock_answers import parse_answer, read_error
from imagegate.wire.exchange import Exchange, UpstreamRequest, send
from imagegate.wire.json_body import build_json
from imagegate.wire.lift import Base64
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list
from imagegate.wire.provider import Place, Provider, Target

HEADERS = {"content-type": "application/json", "accept": "application/json"}
SHAPE_DEFAULT = "stability"

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
_REGION_PREFIX = re.compile(rf"({_REGION})/(.+)")
_REGION_OF_HOST = re.compile(rf"//bedrock-runtime(?:-fips)?\.({_REGION})\.")
_ARN = re.compile(rf"arn:[\w-]+:bedrock:({_REGION}):\d*:[\w-]+/.+")
# Inference profiles: the geography that may compute, before the model's own id.
_GEOGRAPHY = re.compile(r"(us|us-gov|eu|apac|jp|au|ca|sa|global)\.(?=\w)")


# --- where -----------------------------------------------------------------------------------


def locate(name: str, base_url: str, settings: Mapping[str, Json]) -> Place:
    """Return the regional host, or the given one, and the model's id or ARN.

    A region within the name counts before the setting: an ARN is valid in its own region only.
    Raises `ConfigError` where no region is known, because a signature names one.
    """
    prefixed = _REGION_PREFIX.fullmatch(name)
    region, model_id = (prefixed[1], prefixed[2]) if prefixed else ("", name)
    arn = _ARN.fullmatch(model_id)
    host = _REGION_OF_HOST.search(base_url)
    stated = settings.get("aws_region_name")
    region = region or (arn[1] if arn else "") or str(stated or (host[1] if host else ""))
    if not re.fullmatch(_REGION, region):
        raise ConfigError(_no_region(region), param="aws_region_name")
    return Place(
        base_url=base_url or build_base_url(region),
        upstream_model=model_id,
        traits={"aws_region_name": region},
    )


def _no_region(region: str) -> str:
    said = f"{region!r} is no region" if region else "missing"
    return f"{said}: give aws_region_name, or set AWS_REGION (us-west-2 has the Stability models)"


def build_base_url(region: str) -> str:
    """Return the host of a region; China is a partition of its own."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{domain}"


def build_row_names(name: str) -> tuple[str, ...]:
    """Return the ids under which the catalogue may have the model of an id, profile or ARN."""
    model_id = name.rpartition("/")[2]
    bare = _GEOGRAPHY.sub("", model_id, count=1)
    return tuple(dict.fromkeys((model_id, bare, f"us.{bare}")))


# --- what is sent ----------------------------------------------------------------------------


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the image."""
    response = yield from send(build_invoke(call, target))
    return parse_answer(response)


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one request with the inputs; its answer holds the image."""
    response = yield from send(build_invoke(call, target))
    return parse_answer(response)


def build_invoke(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the InvokeModel request; `BadRequestError` where a required field is missing."""
    body = _BODIES[str(target.traits.get("shape", SHAPE_DEFAULT))](call, target.traits)
    return UpstreamRequest("POST", build_url(target), build_json(body), HEADERS)


def build_url(target: Target) -> str:
    """Return the address of the model; a service is reached by the profile that its row names."""
    model_id, profile = target.upstream_model, target.traits.get("profile")
    if profile and not model_id.startswith("arn:") and not _GEOGRAPHY.match(model_id):
        model_id = f"{profile}.{model_id}"
    return f"{target.base_url}/model/{quote(model_id, safe='')}/invoke"


def build_stability(call: ImageCall, traits: Mapping[str, Json]) -> dict[str, Json]:
    """Return the body of a Stability model or service; one image comes of it."""
    fields = {
        **_inputs(call, traits),
        "prompt": call.prompt or None,
        "negative_prompt": call.negative_prompt,
        "aspect_ratio": call.aspect_ratio,
        "seed": call.seed,
        "output_format": call.output_format,
    }
    defaults = traits.get("edit_defaults", {}) if call.operation == "edit" else {}
    body = {**defaults, **call.extra, **_given(fields)}
    _check_needs(body, traits.get("needs", ()))
    return body


def _inputs(call: ImageCall, traits: Mapping[str, Json]) -> dict[str, Json]:
    """Return the images and the mask under the names that the model has for them."""
    if call.operation == "generate":
        return {}
    names = traits.get("images", ("image",))
    if len(call.images) < len(names):
        raise BadRequestError(
            f"This model takes {len(names)} input images ({', '.join(names)}), in this order.",
            param="image",
            code="missing_required_parameter",
        )
    parts = {**dict(zip(names, call.images, strict=False)), "mask": call.mask}
    return {name: Base64(part) for name, part in parts.items() if isinstance(part, Blob)}


def _check_needs(body: Mapping[str, Json], needs: Iterable[Iterable[str]]) -> None:
    for names in needs:
        if not any(body.get(name) for name in names):
            raise BadRequestError(
                f"This model needs {' or '.join(names)}, a parameter of its own; give it by name.",
                param=next(iter(names)),
                code="missing_required_parameter",
            )


def build_amazon(call: ImageCall, traits: Mapping[str, Json]) -> dict[str, Json]:  # noqa: ARG001 - one signature
    """Return the generation of Nova Canvas or Titan."""
    text = {"text": call.prompt, "negativeText": call.negative_prompt}
    config = {
        "numberOfImages": call.n,
        "quality": call.quality,
        **call.extra,
        "seed": call.seed,
        **_sides(call),
    }
    return {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": _given(text),
        "imageGenerationConfig": _given(config),
    }


def build_sdxl(call: ImageCall, traits: Mapping[str, Json]) -> dict[str, Json]:  # noqa: ARG001 - one signature
    """Return the generation of SDXL; a negative prompt is one with a negative weight."""
    prompts = [{"text": call.prompt, "weight": 1}]
    if call.negative_prompt:
        prompts.append({"text": call.negative_prompt, "weight": -1})
    return {**call.extra, "text_prompts": prompts, **_given({"seed": call.seed}), **_sides(call)}


def _sides(call: ImageCall) -> dict[str, Json]:
    width, _, height = (call.size or "").partition("x")
    return {"width": int(width), "height": int(height)} if height else {}


def _given(fields: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value is not None}


_BODIES = {"stability": build_stability, "amazon": build_amazon, "sdxl": build_sdxl}


def probe_invalid(target: Target) -> ProbeExchange:
    """Invoke the model with an empty object; an id, a region or a right is refused before that."""
    return (yield from ask_invalid(build_url(target), {}, HEADERS))


def probe_models_of_region(target: Target) -> ProbeExchange:
    """List the region's image models; that proves no access to one."""
    url = f"{target.base_url}/foundation-models?byOutputModality=IMAGE"
    return (yield from ask_list(url, "modelSummaries", "modelId"))


def control_plane(base_url: str) -> str:
    """Return where a region's models are listed; an endpoint of one's own may serve both."""
    return base_url.replace("//bedrock-runtime", "//bedrock", 1)


PROVIDER = Provider(
    name="bedrock",
    auth="sigv4",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("AWS_BEARER_TOKEN_BEDROCK",),
    base_url_env=(
        "AWS_BEDROCK_RUNTIME_ENDPOINT",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "AWS_ENDPOINT_URL",
    ),
    settings={"aws_region_name": ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")},
    secrets={
        "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
        "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "aws_session_token": ("AWS_SESSION_TOKEN",),
        "aws_profile_name": ("AWS_PROFILE_NAME", "AWS_PROFILE"),
        "aws_role_name": (),
        "aws_session_name": (),
        "aws_external_id": (),
        "aws_web_identity_token": (),
        "aws_sts_endpoint": (),
    },
    spellings={"aws_bedrock_runtime_endpoint": "api_base"},
    locate=locate,
    row_names=build_row_names,
    probes=Probes(
        deployments=probe_models_of_region, control_plane=control_plane, invalid=probe_invalid
    ),
)

"""Microsoft Foundry's own models, FLUX and MAI: https://learn.microsoft.com/azure/ai-foundry/.

Three surfaces, told by the trait `surface` of a model's row: the deployment route (`deployments`,
OpenAI's shape without a model), Black Forest Labs' route (`blackforestlabs`, where a key is a
bearer token: trait `auth`) and MAI's (`mai`). An address that already names a surface counts
before the row. OpenAI's models on Azure are in `azure.py`.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from imagegate.errors import ConfigError, ImageError
from imagegate.types import Blob, Image, ImageCall, ImageResult, Json, TokenDetails, Usage
from imagegate.wire import azure_errors, openai_images
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse, send
from imagegate.wire.json_body import build_json
from imagegate.wire.lift import Base64
from imagegate.wire.multipart import build_form
from imagegate.wire.openai_requests import build_boundary, build_file, flatten_fields
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid
from imagegate.wire.provider import Place, Provider, Target

SURFACE_DEFAULT = "deployments"
API_VERSION_DEFAULT = "preview"
MAI_SIZE_DEFAULT = "1024x1024"  # both sides are required, and no default is documented
_NAME = "Microsoft Foundry"
_JSON = {"content-type": "application/json"}

_PATHS = (
    ("deployments", re.compile(r"/openai/deployments/(?P<name>[^/]+)")),
    ("deployments", re.compile(r"/openai(?:/v1)?")),
    ("blackforestlabs", re.compile(r"/providers/blackforestlabs(?:/v1(?:/(?P<path>[^/]+))?)?")),
    ("mai", re.compile(r"/mai(?:/v1)?")),
)
_OPERATION = re.compile(r"/images/(?:generations|edits)$")


class _Sample(Struct, frozen=True):
    """A result in BFL's own shape."""

    sample: str = ""


class _FluxAnswer(Struct, frozen=True):
    """What BFL's route may answer besides OpenAI's shape."""

    result: _Sample | None = None


# --- where -----------------------------------------------------------------------------------


def locate(name: str, base_url: str, settings: Mapping[str, Json]) -> Place:
    """Return the resource's address, without the surface's path; the path says which surface.

    Raises `ConfigError` where no address is given.
    """
    address, _, query = base_url.partition("?")
    address = _OPERATION.sub("", address.rstrip("/"))
    if not address:
        raise ConfigError(
            "missing: give the resource's URL (https://NAME.services.ai.azure.com) as api_base, or "
            "set AZURE_AI_API_BASE",
            param="api_base",
        )
    traits = {"api_version": settings.get("api_version") or _version_of(query)}
    for surface, pattern in _PATHS:
        found = re.search(pattern.pattern + "$", address)
        if found:
            parts = found.groupdict()
            is_plain = surface == "deployments" and not parts.get("name")
            auth = "bearer" if surface == "blackforestlabs" else "api-key"
            said = {"surface": surface, "auth": auth, **_path_of(parts)}
            traits |= {} if is_plain else said
            address, name = address[: found.start()], unquote(parts.get("name") or name)
            break
    return Place(address, name, {key: value for key, value in traits.items() if value})


def _version_of(query: str) -> str:
    found = re.search(r"(?:^|&)api-version=([^&]+)", query)
    return found[1] if found else ""


def _path_of(parts: Mapping[str, str | None]) -> dict[str, str]:
    path = parts.get("path")
    return {"path": path} if path else {}


def build_row_names(name: str) -> tuple[str, ...]:
    """Return the name, and the same as Microsoft spells it: LiteLLM's users write `flux.2-pro`."""
    return tuple(dict.fromkeys((name, re.sub(r"^flux(?=[.-])", "FLUX", name))))


# --- what is sent ----------------------------------------------------------------------------


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images or their urls."""
    return _ask(build_generate(call, target))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one request with the inputs; its answer holds the images or their urls."""
    return _ask(build_edit(call, target))


def _ask(request: UpstreamRequest) -> Exchange:
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    return parse_answer(response)


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON, in the words of the model's surface."""
    match _surface(target):
        case "mai":
            body = build_json(build_mai(call, target))
            url = f"{target.base_url}/mai/v1/images/generations"
        case "blackforestlabs":
            body, url = build_json(build_flux(call, target)), _flux_url(target)
        case _:
            body = openai_images.build_generation(call, target, model_in_body=False)
            url = _deployment_url(target, "generations")
    return UpstreamRequest("POST", url, body, _JSON)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the edit: a form, but JSON with bare base64 on BFL's route."""
    match _surface(target):
        case "blackforestlabs":
            return build_generate(call, target)
        case "mai":
            fields = {"model": target.upstream_model, "prompt": call.prompt, **call.extra}
            files = [build_file("image", image) for image in call.images]
            body, kind = build_form(list(flatten_fields(fields)), files, build_boundary(call))
            url = f"{target.base_url}/mai/v1/images/edits"
        case _:
            body, kind = openai_images.build_edit_form(call, target, model_in_body=False)
            url = _deployment_url(target, "edits")
    return UpstreamRequest("POST", url, body, {"content-type": kind})


def _surface(target: Target) -> str:
    return str(target.traits.get("surface", SURFACE_DEFAULT))


def _deployment_url(target: Target, operation: str) -> str:
    name = quote(target.upstream_model, safe=":")
    return f"{target.base_url}/openai/deployments/{name}/images/{operation}{_query(target)}"


def _flux_url(target: Target) -> str:
    path = str(target.traits.get("path") or target.upstream_model.lower())
    return f"{target.base_url}/providers/blackforestlabs/v1/{quote(path)}{_query(target)}"


def _query(target: Target) -> str:
    version = str(target.traits.get("api_version") or API_VERSION_DEFAULT)
    return f"?api-version={quote(version, safe='')}"


def build_flux(call: ImageCall, target: Target) -> dict[str, Json]:
    """Return the body of BFL's route; its model is the catalogue's id, whatever was deployed."""
    fields = {
        "model": target.traits.get("model_id") or target.upstream_model,
        "prompt": call.prompt,
        **_build_sides(call.size),
        "num_images": call.n if call.n > 1 else None,
        "output_format": call.output_format,
        "seed": call.seed,
        **_build_inputs(call),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return given | {name: value for name, value in call.extra.items() if name not in given}


def build_mai(call: ImageCall, target: Target) -> dict[str, Json]:
    """Return the body of a generation by MAI; one image comes of it."""
    sides = _build_sides(call.size or MAI_SIZE_DEFAULT)
    fields = {"model": target.upstream_model, "prompt": call.prompt, **sides}
    return fields | {name: value for name, value in call.extra.items() if name not in fields}


def _build_sides(size: str | None) -> dict[str, Json]:
    width, _, height = (size or "").partition("x")
    return {"width": int(width), "height": int(height)} if height else {}


def _build_inputs(call: ImageCall) -> dict[str, Json]:
    images = [Base64(image) for image in call.images if isinstance(image, Blob)]
    return {
        "input_image" if number == 1 else f"input_image_{number}": image
        for number, image in enumerate(images, start=1)
    }


# --- what comes back -------------------------------------------------------------------------


def parse_answer(response: UpstreamResponse) -> ImageResult:
    """Return the result of a 2xx answer: OpenAI's shape, or BFL's with one url.

    Raises `UpstreamEmptyError` where there is no image in it.
    """
    body = response.json()
    if isinstance(body, dict) and isinstance(body.get("result"), dict):
        result = response.decode(_FluxAnswer).result
        if result and result.sample:
            return ImageResult(images=(Image(url=result.sample),))
    answer = openai_images.parse_answer(response)
    usage = parse_mai_usage(answer.raw_usage or {})
    return msgspec.structs.replace(answer, usage=usage) if usage else answer


def parse_mai_usage(raw: Mapping[str, Json]) -> Usage | None:
    """Return the tokens under MAI's names for them; None where there are none of these."""
    text, image = _count(raw, "num_input_text_tokens"), _count(raw, "num_input_image_tokens")
    made = _count(raw, "num_output_tokens", "output_image_tokens")
    if text is None and image is None and made is None:
        return None
    details = TokenDetails(text or 0, image or 0)
    sent = details.text_tokens + details.image_tokens
    return Usage(sent, made or 0, sent + (made or 0), details)


def _count(raw: Mapping[str, Json], *names: str) -> int | None:
    found = (raw[name] for name in names if isinstance(raw.get(name), int))
    return next(found, None)


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; Foundry speaks OpenAI's shape, its filter's and APIM's."""
    return azure_errors.read_error(response, name=_NAME)


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt, and with sides or a count that no model takes."""
    request = build_generate(ImageCall(id="probe", operation="generate", model=""), target)
    body = {
        "mai": {"model": target.upstream_model, "width": 1, "height": 1},
        "blackforestlabs": {"model": target.upstream_model, "num_images": 0, "seed": "none"},
    }.get(_surface(target), {"n": 0})
    return (yield from ask_invalid(request.url, body))


PROVIDER = Provider(
    name="azure_ai",
    auth="api-key",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("AZURE_AI_API_KEY",),
    base_url_env=("AZURE_AI_API_BASE",),
    settings={"api_version": ("AZURE_AI_API_VERSION",)},
    locate=locate,
    row_names=build_row_names,
    names_deployments=True,
    probes=Probes(invalid=probe_invalid),
)

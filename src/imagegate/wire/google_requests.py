"""Requests in Google's two shapes for images: `:generateContent`, and Imagen's `:predict`.

The same on Google AI Studio and on Vertex AI, but for a few fields that only Vertex takes. Google
refuses a field that it does not know, so only fields named here ever leave.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from imagegate.errors import BadRequestError
from imagegate.types import Blob, Body, FileId, ImageCall, Json
from imagegate.wire.exchange import UpstreamRequest
from imagegate.wire.json_body import build_json
from imagegate.wire.lift import Base64
from imagegate.wire.provider import Target

PREDICT = "predict"
"""The trait `method` of a model that is asked by `:predict`; all others generate content."""

HEADERS = {"content-type": "application/json"}
LEVELS = frozenset(("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"))
"""Words that a thinking level may have; a quality that is none of them has no place here."""

_GENERATION_PARAMS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
}
_PREDICT_PARAMS = {
    "language": "language",
    "person_generation": "personGeneration",
    "safety_setting": "safetySetting",
}
_PREDICT_VERTEX_PARAMS = {
    "add_watermark": "addWatermark",
    "enhance_prompt": "enhancePrompt",
    "guidance_scale": "guidanceScale",
}
_VERSIONED = re.compile(r"/v\d\w*$")
_NAMES_MODEL = re.compile(r"/models/[^/]+$")


def build_url(base_url: str, version: str, resource: str, method: str) -> str:
    """Return the URL of `method` of a model, which is `resource` below the API's version.

    A base that ends in a version, or names the model itself, keeps what it says.
    """
    if _NAMES_MODEL.search(base_url):
        return f"{base_url}:{method}"
    root = base_url if _VERSIONED.search(base_url) else f"{base_url}/{version}"
    return f"{root}/{resource}:{method}"


def quote_name(name: str) -> str:
    """Return a model's name for a path: `@` stays, a slash cannot leave its place."""
    return quote(name, safe="@")


def method_of(call: ImageCall, target: Target) -> str:
    """Return the method that `call` needs at this model, with its query."""
    if is_predicted(target):
        return PREDICT
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"


def is_predicted(target: Target) -> bool:
    """Return whether the model is one of Imagen's."""
    return bool(target.traits.get("method") == PREDICT)


def refuse_imagen_edit(call: ImageCall, target: Target) -> None:
    """Raise `BadRequestError` where an edit is asked of a model of Imagen's."""
    if is_predicted(target):
        raise BadRequestError(
            f"{target.upstream_model} is asked for new images only; its edits ended with it. Use a "
            "Gemini image model.",
            param="model",
            code="operation_not_supported",
            model=call.model,
        )


def build_request(call: ImageCall, target: Target, url: str, *, is_vertex: bool) -> UpstreamRequest:
    """Return the request that `call` becomes at the model's own method."""
    if is_predicted(target):
        return UpstreamRequest("POST", url, build_prediction(call, is_vertex=is_vertex), HEADERS)
    body = build_content(call, is_vertex=is_vertex)
    return UpstreamRequest("POST", url, body, HEADERS, events=call.stream)


def build_content(call: ImageCall, *, is_vertex: bool) -> Body:
    """Return the body of `generateContent`: one turn of the user, the prompt before the images."""
    extra = call.extra
    fields: dict[str, Json] = {}
    if extra.get("system_instruction"):
        fields["systemInstruction"] = {"parts": [{"text": extra["system_instruction"]}]}
    fields["contents"] = [{"role": "user", "parts": _parts(call)}]
    if extra.get("safety_settings"):
        fields["safetySettings"] = extra["safety_settings"]
    fields["generationConfig"] = build_generation_config(call, is_vertex=is_vertex)
    if is_vertex and extra.get("labels"):
        fields["labels"] = extra["labels"]
    return build_json(fields)


def build_generation_config(call: ImageCall, *, is_vertex: bool) -> dict[str, Json]:
    """Return what decides about the image; what was not given is not in it."""
    extra = call.extra
    # Without it these models chat; with it some words still come, and never a second image.
    config: dict[str, Json] = {"responseModalities": extra.get("response_modalities") or ["IMAGE"]}
    if call.seed is not None:
        config["seed"] = call.seed
    config |= _renamed(extra, _GENERATION_PARAMS)
    if thinking := _thinking(call):
        config["thinkingConfig"] = thinking
    if image := _image_config(call, is_vertex=is_vertex):
        config["imageConfig"] = image
    return config


def _parts(call: ImageCall) -> list[Json]:
    return [{"text": call.prompt}, *_inline(call.images)]


def _inline(images: Iterable[Blob | FileId]) -> list[Json]:
    parts: list[Json] = []
    for image in images:
        assert isinstance(image, Blob)
        parts.append({"inlineData": {"mimeType": image.media_type, "data": Base64(image)}})
    return parts


def _thinking(call: ImageCall) -> dict[str, Json]:
    level = str(call.extra.get("thinking_level") or call.quality or "").upper()
    thinking: dict[str, Json] = {"thinkingLevel": level} if level in LEVELS else {}
    if "include_thoughts" in call.extra:
        thinking["includeThoughts"] = call.extra["include_thoughts"]
    return thinking


def _image_config(call: ImageCall, *, is_vertex: bool) -> dict[str, Json]:
    config: dict[str, Json] = {}
    if call.aspect_ratio:
        config["aspectRatio"] = call.aspect_ratio
    if call.resolution:
        config["imageSize"] = call.resolution
    if not is_vertex:  # AI Studio refuses everything below, by name
        return config
    names = {"person_generation": "personGeneration", "prominent_people": "prominentPeople"}
    config |= _renamed(call.extra, names)
    if output := _output_options(call):
        config["imageOutputOptions"] = output
    return config


def build_prediction(call: ImageCall, *, is_vertex: bool) -> Body:
    """Return the body of Imagen's `predict`. The count is always sent: left out, it means 4."""
    parameters: dict[str, Json] = {"sampleCount": call.n}
    if call.aspect_ratio:
        parameters["aspectRatio"] = call.aspect_ratio
    if call.resolution:
        parameters["sampleImageSize"] = call.resolution
    if is_vertex:
        parameters |= _vertex_parameters(call)
    parameters |= _renamed(call.extra, _PREDICT_PARAMS)
    if output := _output_options(call):
        parameters["outputOptions"] = output
    # Without it an answer that was filtered as a whole says nothing at all.
    parameters["includeRaiReason"] = True
    fields: dict[str, Json] = {"instances": [{"prompt": call.prompt}], "parameters": parameters}
    if is_vertex and call.extra.get("labels"):
        fields["labels"] = call.extra["labels"]
    return build_json(fields)


def _vertex_parameters(call: ImageCall) -> dict[str, Json]:
    parameters: dict[str, Json] = {}
    if call.negative_prompt:
        parameters["negativePrompt"] = call.negative_prompt
    if call.seed is not None:  # it is taken without the watermark only
        parameters |= {"seed": call.seed, "addWatermark": False}
    return {**_renamed(call.extra, _PREDICT_VERTEX_PARAMS), **parameters}


def _output_options(call: ImageCall) -> dict[str, Json]:
    made = call.output_format or ("jpeg" if call.output_compression is not None else None)
    if made is None:
        return {}
    options: dict[str, Json] = {"mimeType": f"image/{made}"}
    if call.output_compression is not None and made == "jpeg":
        options["compressionQuality"] = call.output_compression
    return options


def _renamed(extra: Mapping[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    return {theirs: extra[ours] for ours, theirs in names.items() if ours in extra}

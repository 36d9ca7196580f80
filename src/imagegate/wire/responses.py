"""OpenAI's Responses API as far as images are concerned: shape checks, the relay, what it bills.

https://platform.openai.com/docs/api-reference/responses. The answer is passed on as it came; here
it is only looked at for images and for tokens.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from imagegate.errors import BadRequestError, ImageError, UpstreamFailedError
from imagegate.types import Blob, Body, FileId, Image, ImageCall, ImageResult, Json, PartialImage
from imagegate.wire.exchange import (
    Answer,
    Command,
    Event,
    Exchange,
    UpstreamRequest,
    UpstreamResponse,
    emit,
    next_event,
    send,
)
from imagegate.wire.json_body import DataUrl, build_json
from imagegate.wire.lift import Base64, Lifted
from imagegate.wire.openai_errors import map_refusal, read_words
from imagegate.wire.openai_images import parse_usage, refusal_of

TOOL = "image_generation"
ITEM = "image_generation_call"
AZURE_HEADER = "x-ms-oai-image-generation-deployment"
BODY, TAG, HEADERS, ANSWER, TEXT_USAGE = "body", "tag", "headers", "answer", "text_usage"
TEXTS = "texts"
"""Names in `extra` of a call and of a result; `texts` are the answer's words by path."""

_DEPTH_MAX = 64
_TOOLS_THAT_BRING_NOTHING = (TOOL, "function", "custom")
_REFERENCES = ("previous_response_id", "conversation", "prompt")
_PARTS_THAT_BRING_MORE = ("input_image", "input_file", "item_reference")
_WORDS = ("text", "refusal", "arguments", "input")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_ITEM_DONE = "response.output_item.done"

Names: TypeAlias = Callable[[str], bool]


# --- the caller's side ------------------------------------------------------------------------


def parse_call(lifted: Lifted, call_id: str) -> ImageCall:
    """Return the call of a request's JSON; `extra` holds its fields, `images` what was lifted.

    What its image tool asks for stands in the call's own fields, where limits are looked up.

    Raises `BadRequestError` where it is no JSON object.
    """
    fields = lifted.json()
    if not isinstance(fields, dict):
        raise BadRequestError("The body must be a JSON object.", code="invalid_json")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise _wrong("model", "it is missing", "gpt-image-2", code="missing_required_parameter")
    tool = image_tool(fields) or {}
    return ImageCall(
        id=call_id,
        operation="responses",
        model=model,
        size=_word(tool.get("size")),
        quality=_word(tool.get("quality")),
        output_format=_word(tool.get("output_format")),
        stream=fields.get("stream") is True,
        images=lifted.blobs,
        extra={BODY: fields, TAG: lifted.tag},
    )


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def check_shape(fields: Mapping[str, Json], *, is_image_model: Names, can_draw: Names) -> None:
    """Refuse what the provider would refuse later or dearly, with the shape that is right.

    `is_image_model` knows image models by name; `can_draw` those that this call may use. Raises
    `BadRequestError` whose `param` is the field.
    """
    tool = image_tool(fields)
    drawer = tool.get("model") if tool else None
    shown = drawer if isinstance(drawer, str) and drawer else "gpt-image-2"
    model = str(fields.get("model"))
    if fields.get("background"):
        raise BadRequestError(
            "Invalid 'background': what is made later would be fetched past this gateway, which "
            "could neither keep nor bill it. Nothing was sent. Leave background out; stream: true "
            "shows progress.",
            param="background",
        )
    if is_image_model(model):
        reason = f"{model!r} is an image model, and a text model belongs here"
        raise _wrong("model", reason, model)
    if tool is None:
        if _chooses_tool(fields.get("tool_choice")):
            raise _wrong(
                "tool_choice", f"it asks for {TOOL!r}, and `tools` has no such tool", shown
            )
        return
    index = fields["tools"].index(tool)
    param = f"tools[{index}].model"
    if drawer is None:
        reason = "it is missing, and what a provider takes instead changes, and its price with it"
        raise _wrong(param, reason, shown, code="missing_required_parameter")
    if not isinstance(drawer, str) or not can_draw(drawer):
        raise _wrong(param, f"{drawer!r} is no image model that this gateway serves", "gpt-image-2")


def names_inputs(value: Json, tag: str) -> bool:
    """Return whether an image or a file is only named in a request: the provider fetches it.

    What was sent itself was lifted, and `tag` stands in its place; without a tag nothing was.
    """
    if isinstance(value, Mapping):
        named = (value.get(name) for name in ("file_id", "file_url", "image_url"))
        if any(isinstance(one, str) and not (tag and one.startswith(tag)) for one in named):
            return True
        return any(names_inputs(one, tag) for one in value.values())
    return isinstance(value, list) and any(names_inputs(one, tag) for one in value)


def image_tool(fields: Mapping[str, Json]) -> dict[str, Json] | None:
    """Return the image generation tool of a request, None where it has none."""
    tools = fields.get("tools")
    found = tools if isinstance(tools, list) else []
    return next((one for one in found if isinstance(one, dict) and one.get("type") == TOOL), None)


def is_self_contained(call: ImageCall) -> bool:
    """Return whether the model reads nothing but the texts that stand in the request."""
    fields = call.extra[BODY]
    tools = fields.get("tools")
    brings_more = any(
        not isinstance(one, dict) or one.get("type") not in _TOOLS_THAT_BRING_NOTHING
        for one in (tools if isinstance(tools, list) else ())
    )
    refers = any(fields.get(name) is not None for name in _REFERENCES)
    return not (call.images or brings_more or refers or _holds_part(fields.get("input")))


def _holds_part(value: Json, depth: int = 0) -> bool:
    """Return whether an input holds something else than text: an image, a file, a reference."""
    if isinstance(value, dict) and value.get("type") in _PARTS_THAT_BRING_MORE:
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > _DEPTH_MAX or any(_holds_part(part, depth + 1) for part in parts)


def _chooses_tool(choice: Json) -> bool:
    if not isinstance(choice, dict):
        return False
    tools = choice.get("tools")
    among = tools if isinstance(tools, list) else []
    return any(isinstance(one, dict) and one.get("type") == TOOL for one in (choice, *among))


def _wrong(param: str, reason: str, drawer: str, code: str = "invalid_value") -> BadRequestError:
    shape = (
        '{"model": "TEXT_MODEL", "input": "...", "tools": [{"type": "image_generation", '
        f'"model": "{drawer}"}}], "tool_choice": {{"type": "image_generation"}}}}'
    )
    message = f"Invalid {param!r}: {reason}. Nothing was sent. The right shape: {shape}"
    return BadRequestError(message, param=param, code=code)


# --- the upstream's side ----------------------------------------------------------------------


def with_tool(call: ImageCall, upstream_model: str, drawer: str | None, header: str) -> ImageCall:
    """Return the call with the upstream's own names in it.

    `drawer` is its image model, None where the call has no image tool. With a `header` that
    carries it, the tool itself names none.
    """
    fields = {**call.extra[BODY], "model": upstream_model}
    tool = image_tool(fields)
    headers = {}
    if tool is not None and drawer is not None:
        named = {name: value for name, value in tool.items() if name != "model"}
        named |= {} if header else {"model": drawer}
        headers = {header: drawer} if header else {}
        fields["tools"] = [named if one is tool else one for one in fields["tools"]]
    return msgspec.structs.replace(call, extra={**call.extra, BODY: fields, HEADERS: headers})


def build_request(call: ImageCall, url: str, headers: Mapping[str, str]) -> UpstreamRequest:
    """Return the request; images that were lifted out of it are streamed back into it."""
    own = call.extra.get(HEADERS, {})
    kinds = {"content-type": "application/json", **headers, **own}
    return UpstreamRequest("POST", url, build_body(call), kinds, events=call.stream)


def build_body(call: ImageCall) -> Body:
    """Return the JSON of a call."""
    blobs = tuple(blob for blob in call.images if not isinstance(blob, FileId))
    return build_json(
        _filled(call.extra.get(BODY, {}), Lifted(b"", blobs, call.extra.get(TAG, "")))
    )


def exchange(
    request: UpstreamRequest, read_error: Callable[[UpstreamResponse], ImageError]
) -> Exchange:
    """Send the request; emit how far an event stream has come; return images and tokens."""
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    if response.is_event_stream:
        return (yield from _follow())
    value = response.json()
    if not isinstance(value, dict):
        raise UpstreamFailedError(
            "The upstream answered with success and without JSON. It may have been billed.",
            upstream=read_words(response),
        )
    result = _result(value, _images(value, response.body))
    whole = {ANSWER: _filled(value, response.body)}
    return msgspec.structs.replace(result, extra={**result.extra, **whole})


def _follow() -> Generator[Command, Answer, ImageResult]:
    images: list[Image] = []
    items: list[Json] = []
    final: Json = None
    has_begun = False
    while (event := (yield from next_event())) is not None:
        value = event.data.json()
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "error":
            raise _refusal(event, value, has_begun=has_begun)
        has_begun = True
        yield from emit(_progress(event))
        if kind == _ITEM_DONE:
            items.append(value.get("item"))
            images += _item_images(value.get("item"), event.data)
        elif kind in _ENDS:
            final = value.get("response")
            images = images or _images(final, event.data)
    if final is None:
        raise UpstreamFailedError(
            "The upstream's event stream ended before the response did. It may have been billed."
        )
    return _result(final, images, items)


def _refusal(event: Event, fields: Mapping[str, Json], *, has_begun: bool) -> ImageError:
    """Return what an `error` event means; of work that had begun a part may have been billed."""
    error = map_refusal(*refusal_of(event, fields))
    if has_begun and error.fault != "call":
        return UpstreamFailedError(error.message, upstream=error.upstream)
    return error


def _progress(event: Event) -> PartialImage:
    """Return how much of the stream is there to be passed on."""
    return PartialImage(Blob(event.source, 0, event.end), 0)


def _result(value: Json, images: list[Image], items: Sequence[Json] = ()) -> ImageResult:
    """Return what an answer holds; `items` came before it, in events of their own."""
    told = value if isinstance(value, dict) else {}
    tools = told.get("tool_usage")
    raw = tools.get("image_gen") if isinstance(tools, dict) else None
    text = told.get("usage")
    return ImageResult(
        images=tuple(images),
        usage=parse_usage(raw),
        raw_usage={"usage": text, "tool_usage": tools} if text or tools else None,
        extra={
            TEXT_USAGE: text if isinstance(text, dict) else None,
            TEXTS: dict(_words([*items, *_output(value)], "output")),
        },
    )


def _images(value: Json, data: Lifted) -> list[Image]:
    return [image for item in _output(value) for image in _item_images(item, data)]


def _output(value: Json) -> list[Json]:
    items = value.get("output") if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _words(value: Json, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what a reader may see of an answer: each text with its path."""
    if depth > _DEPTH_MAX:
        return
    named = value if isinstance(value, dict) else {}
    listed = dict(enumerate(value)) if isinstance(value, list) else {}
    for name, item in (named | listed).items():
        if isinstance(item, str) and name in _WORDS:
            yield f"{path}.{name}", item
        yield from _words(item, f"{path}.{name}", depth + 1)


def _item_images(item: Json, data: Lifted) -> list[Image]:
    if not isinstance(item, dict) or item.get("type") != ITEM:
        return []
    text = item.get("result")
    blob = data.blob(text) if isinstance(text, str) else None
    prompt = item.get("revised_prompt")
    return [Image(blob, None, prompt if isinstance(prompt, str) else None)] if blob else []


def _filled(value: Json, lifted: Lifted, depth: int = 0) -> Json:
    """Return `value` with each placeholder as what it stands for, to be streamed into JSON."""
    if isinstance(value, str):
        blob = lifted.blob(value)
        if blob is None:
            return value
        return DataUrl(blob) if blob.media_type else Base64(blob)
    if depth > _DEPTH_MAX:
        return value
    if isinstance(value, dict):
        return {name: _filled(item, lifted, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, lifted, depth + 1) for item in value]
    return value

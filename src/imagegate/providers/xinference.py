"""Xinference, a server of one's own: https://inference.readthedocs.io/en/latest/models/image.html.

Pipeline arguments travel as JSON within a string (`kwargs`), sizes as `1024*1024`. Images are
always asked for as bytes: a "url" of Xinference is a path on its own disk. An edit is a form, and
its stream has events of its own, which bring no partial images.
"""

import msgspec

from imagegate.errors import (
    BadRequestError,
    ImageError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamWords,
)
from imagegate.types import ImageCall, ImageResult, Json
from imagegate.wire import openai_dialect, openai_errors, openai_images
from imagegate.wire.exchange import (
    Event,
    Exchange,
    UpstreamRequest,
    UpstreamResponse,
    next_event,
    send,
)
from imagegate.wire.lift import Lifted
from imagegate.wire.openai_dialect import Dialect, named
from imagegate.wire.probes import Probes, ask_model, ask_models, ask_no_images
from imagegate.wire.provider import Provider, Target

KWARGS = "kwargs"
DIALECT = Dialect(
    name="Xinference",
    fields=named("n"),
    bytes_word="b64_json",
    edits="form",
    images_part="image",  # repeated; the first image is the one that is edited
)


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images."""
    return _ask(build_generate(call, target))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the inputs; its answer holds the images, at once or after events."""
    return _ask(build_edit(call, target))


def _ask(request: UpstreamRequest) -> Exchange:
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    if not response.is_event_stream:
        return parse_answer(response)
    while (event := (yield from next_event())) is not None:
        result = parse_event(event)
        if result is not None:
            return result
    raise UpstreamFailedError(
        "Xinference's event stream ended before an image was complete; look at the server's log."
    )


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON. Raises `BadRequestError` where `kwargs` is no object."""
    arguments = build_arguments(call)
    extra = {KWARGS: msgspec.json.encode(arguments).decode()} if arguments else {}
    size = call.size.replace("x", "*") if call.size else None
    call = msgspec.structs.replace(call, size=size, extra=extra)
    return openai_dialect.build_generate(call, target, DIALECT)


def build_arguments(call: ImageCall) -> dict[str, Json]:
    """Return the arguments of the pipeline: the caller's own `kwargs`, then what has a name."""
    arguments = {name: value for name, value in call.extra.items() if name != KWARGS}
    given = {"seed": call.seed, "negative_prompt": call.negative_prompt}
    arguments |= {name: value for name, value in given.items() if value is not None}
    return _read_kwargs(call.extra.get(KWARGS, {})) | arguments


def _read_kwargs(value: Json) -> dict[str, Json]:
    try:
        found = msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict):
        raise BadRequestError("kwargs must be a JSON object, or one as text.", param=KWARGS)
    return found


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the edit as a form; it takes no arguments of the pipeline."""
    extra = {"stream": True} if call.stream else {}
    call = msgspec.structs.replace(call, extra=extra)
    request = openai_dialect.build_edit(call, target, DIALECT)
    return msgspec.structs.replace(request, events=call.stream)


def parse_answer(response: UpstreamResponse) -> ImageResult:
    """Return the result of a 2xx answer.

    Raises `UpstreamEmptyError` where there is no image in it, or one that is only a path.
    """
    result = openai_images.parse_answer(response)
    if any(image.blob is None for image in result.images):
        raise UpstreamEmptyError(
            "Xinference named a file on its own disk instead of sending the image, although bytes "
            "were asked for. Look at the server's version.",
            upstream=openai_errors.read_words(response),
        )
    return result


def parse_event(event: Event) -> ImageResult | None:
    """Return the result of the last event, None for one that says how far it got.

    Raises what an `error` event says: the work had begun.
    """
    fields = event.data.json()
    if event.name == "complete":
        return parse_answer(UpstreamResponse(200, {}, event.data))
    if not isinstance(fields, dict) or "error" not in (event.name, *fields):
        return None
    said = openai_errors.scrub(str(fields.get("error") or fields))
    raise UpstreamFailedError(
        f"Xinference failed while it worked on the image: {said}", upstream=_words(event.data)
    )


def _words(data: Lifted) -> UpstreamWords:
    return UpstreamWords(200, openai_errors.scrub(data.text()))


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; the body is `{"detail": text or list}`."""
    return openai_dialect.read_error(response, dialect=DIALECT)


PROVIDER = Provider(
    name="xinference",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("XINFERENCE_API_KEY",),
    base_url_env=("XINFERENCE_API_BASE", "XINFERENCE_ENDPOINT"),
    base_path="/v1",
    needs_credential=False,
    probes=Probes(models=ask_models, model=ask_model, invalid=ask_no_images),
)

"""The ways to answer, by name. Each takes what was asked and returns the answer to send."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from tests.upstream.answers import (
    Answer,
    Kitchen,
    base64_item,
    completed_frame,
    document,
    frame,
    from_document,
    good,
    json_answer,
    kitchen_url,
    partial_frame,
    refused,
)
from tests.upstream.refusals import refusal

Mode: TypeAlias = Callable[[Kitchen], Answer]


def answer_in(mode: str, kitchen: Kitchen) -> Answer:
    """Return the answer that `mode` gives. Raises KeyError on a mode that is not there.

    Options that any mode takes: `delay` (s), `hold_at` (offset in the body, or `head`), `cut_at`,
    `chunk` (bytes), `billed` (`true` or `false`).
    """
    name, _, detail = mode.partition(":")
    answer = refused(refusal(detail)) if name == "status" else MODES[name](kitchen)
    return _with_options(answer, kitchen)


def _with_options(answer: Answer, kitchen: Kitchen) -> Answer:
    options = kitchen.options
    changes: dict[str, Any] = {"delay_s": kitchen.number("delay", answer.delay_s)}
    if "hold_at" in options:
        held = options["hold_at"]
        changes["hold_at"] = -1 if held == "head" else int(held)
    if "cut_at" in options:
        changes["cut_at"] = int(options["cut_at"])
    if "chunk" in options:
        changes["chunk_bytes"] = int(options["chunk"])
    if "billed" in options:
        billed = options["billed"] == "true"
        changes |= {"billed": billed, "images_billed": answer.images_billed if billed else 0}
    return replace(answer, **changes)


def _hold(kitchen: Kitchen) -> Answer:
    return replace(good(kitchen), hold_at=-1)


def _hold_body(kitchen: Kitchen) -> Answer:
    answer = good(kitchen)
    return replace(answer, hold_at=len(answer.body) // 2)


def _hold_stream(kitchen: Kitchen) -> Answer:
    """Return a stream that waits before its last completed event."""
    answer = good(kitchen)
    return replace(answer, hold_at=answer.body.rindex(b"event: "))


def _hang(kitchen: Kitchen) -> Answer:
    return replace(good(kitchen), hang=True)


def _drop(kitchen: Kitchen) -> Answer:
    return replace(good(kitchen), drop=True)


def _half_body(kitchen: Kitchen) -> Answer:
    answer = good(kitchen)
    return replace(answer, cut_at=len(answer.body) // 2)


def _half_body_closed(kitchen: Kitchen) -> Answer:
    """Return half a body with an orderly end of the connection instead of a reset."""
    return replace(_half_body(kitchen), reset=False)


def _cut_stream(kitchen: Kitchen) -> Answer:
    """Return a stream cut in the middle of its last event, closed in good order."""
    answer = good(kitchen)
    last = answer.body.rindex(b"event: ")
    return replace(answer, cut_at=(last + len(answer.body)) // 2, reset=False)


def _stream_without_end(kitchen: Kitchen) -> Answer:
    """Return a stream that ends in good order before its completed event."""
    answer = good(kitchen)
    return replace(answer, body=answer.body[: answer.body.rindex(b"event: ")], images=())


def _stream_error(kitchen: Kitchen) -> Answer:
    error = {
        "message": "Your request was rejected by the safety system.",
        "type": "image_generation_user_error",
        "param": None,
        "code": kitchen.options.get("code", "moderation_blocked"),
    }
    first = partial_frame(kitchen, 0, 0) if kitchen.ask.partials else b""
    body = first + frame("error", {"type": "error", "error": error})
    stream = "text/event-stream; charset=utf-8"
    return Answer(body=body, content_type=stream, chunk_bytes=16384, billed=False)


def _keepalive_stream(kitchen: Kitchen) -> Answer:
    """Return a stream with comments, CRLF line ends and the `[DONE]` of other APIs."""
    answer = good(kitchen)
    body = b": keepalive\n\n" + answer.body + b": keepalive\n\ndata: [DONE]\n\n"
    return replace(answer, body=body.replace(b"\n", b"\r\n"))


def _json_for_stream(kitchen: Kitchen) -> Answer:
    return json_answer(kitchen)


def _data(build: Callable[[Kitchen], list[Any]]) -> Mode:
    """Return a mode whose `data` is what `build` returns."""

    def mode(kitchen: Kitchen) -> Answer:
        images = (kitchen.picture(0),)
        body = document(kitchen, images) | {"data": build(kitchen)}
        return from_document(body, images)

    return mode


def _no_data(kitchen: Kitchen) -> Answer:
    images = (kitchen.picture(0),)
    body = document(kitchen, images)
    del body["data"]
    return from_document(body, images)


def _image_file(spoil: Callable[[bytes], bytes]) -> Mode:
    def build(kitchen: Kitchen) -> list[Any]:
        return [base64_item(spoil(kitchen.picture(0)))]

    return _data(build)


def _wrong_base64(kitchen: Kitchen) -> list[Any]:
    text = base64_item(kitchen.picture(0))["b64_json"]
    return [{"b64_json": text[:40] + "*!" + text[42:]}]


def _data_prefix(kitchen: Kitchen) -> list[Any]:
    text = base64_item(kitchen.picture(0))["b64_json"]
    return [{"b64_json": f"data:image/{kitchen.ask.media};base64,{text}"}]


def _with_nulls(kitchen: Kitchen) -> list[Any]:
    nulls = {"url": None, "revised_prompt": None, "provider_specific_fields": None}
    return [base64_item(kitchen.picture(0)) | nulls]


def _fewer_images(kitchen: Kitchen) -> Answer:
    images = tuple(kitchen.picture(index) for index in range(max(1, kitchen.ask.n - 1)))
    return from_document(document(kitchen, images), images)


def _url(kitchen: Kitchen) -> Answer:
    images = tuple(kitchen.picture(index) for index in range(kitchen.ask.n))
    item = kitchen_url(kitchen)
    body = document(kitchen, images) | {"data": [item(image) for image in images]}
    return from_document(body, images)


def _escaped(kitchen: Kitchen) -> Answer:
    answer = good(kitchen)
    return replace(answer, body=answer.body.replace(b"/", b"\\/"))


def _pretty(kitchen: Kitchen) -> Answer:
    """Return JSON with spaces and line breaks, as many servers write it."""
    answer = json_answer(kitchen)
    body = answer.body.replace(b'":', b'" : ').replace(b",", b",\n  ")
    return replace(answer, body=body)


def _gzip(kitchen: Kitchen) -> Answer:
    answer = good(kitchen)
    body = gzip.compress(answer.body, 1, mtime=0)
    return replace(answer, body=body, headers={"content-encoding": "gzip"})


def _gzip_bomb(kitchen: Kitchen) -> Answer:
    decoded_bytes = int(kitchen.number("bytes", 400 * 1024 * 1024))
    return Answer(body=_bomb(decoded_bytes), headers={"content-encoding": "gzip"})


@lru_cache(maxsize=2)
def _bomb(decoded_bytes: int) -> bytes:
    """Return a gzip body that inflates to `decoded_bytes` of base64, about 1000 times as much."""
    squeeze = zlib.compressobj(6, wbits=31)
    parts = [squeeze.compress(b'{"created":1,"data":[{"b64_json":"')]
    parts += [squeeze.compress(b"A" * 1_048_576) for _ in range(decoded_bytes // 1_048_576)]
    parts += [squeeze.compress(b'"}]}'), squeeze.flush()]
    return b"".join(parts)


def _redirect(kitchen: Kitchen) -> Answer:
    target = kitchen.options.get("to", "/redirected/images/generations")
    return Answer(status=307, headers={"location": target}, billed=False)


def _huge_header(kitchen: Kitchen) -> Answer:
    padding = "x" * int(kitchen.number("bytes", 1024 * 1024))
    return replace(good(kitchen), headers={"x-padding": padding})


def _chunked(kitchen: Kitchen) -> Answer:
    return replace(good(kitchen), chunk_bytes=4099)


def _interim(kitchen: Kitchen) -> Answer:
    return replace(good(kitchen), interim=True)


def _html_200(kitchen: Kitchen) -> Answer:
    return Answer(body=b"<html><body>Sign in</body></html>", content_type="text/html", billed=False)


def _not_json(kitchen: Kitchen) -> Answer:
    return Answer(body=b'{"created": 1, "data": [', images_billed=1)


def _two_completed(kitchen: Kitchen) -> Answer:
    """Return one completed event more than was asked for."""
    answer = good(kitchen)
    return replace(answer, body=answer.body + completed_frame(kitchen, kitchen.picture(9)))


MODES: dict[str, Mode] = {
    "ok": good,
    "slow": lambda kitchen: replace(good(kitchen), delay_s=1.0),
    "hold": _hold,
    "hold_body": _hold_body,
    "hold_stream": _hold_stream,
    "hang": _hang,
    "drop": _drop,
    "half_body": _half_body,
    "half_body_closed": _half_body_closed,
    "cut_stream": _cut_stream,
    "stream_without_end": _stream_without_end,
    "stream_error": _stream_error,
    "keepalive_stream": _keepalive_stream,
    "json_for_stream": _json_for_stream,
    "two_completed": _two_completed,
    "empty_data": _data(lambda kitchen: []),
    "null_image": _data(lambda kitchen: [{"b64_json": None, "url": None}]),
    "no_data": _no_data,
    "wrong_base64": _data(_wrong_base64),
    "data_prefix": _data(_data_prefix),
    "nulls": _data(_with_nulls),
    "truncated_image": _image_file(lambda image: image[: len(image) * 3 // 5]),
    "not_an_image": _image_file(lambda image: b"this is no picture at all, sorry " * 8),
    "svg_image": _image_file(lambda image: b'<svg xmlns="http://www.w3.org/2000/svg"/>' * 4),
    "fewer_images": _fewer_images,
    "url": _url,
    "escaped": _escaped,
    "pretty": _pretty,
    "gzip": _gzip,
    "gzip_bomb": _gzip_bomb,
    "redirect": _redirect,
    "huge_header": _huge_header,
    "chunked": _chunked,
    "interim": _interim,
    "html_200": _html_200,
    "not_json": _not_json,
}
"""Also `status:<name>` of `refusals.py`, or `status:<number>`."""

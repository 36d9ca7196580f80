"""The upstream's side: requests as OpenAI's client sends them, answers and refusals as it gets."""

import io
import json

import multipart
import pytest

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    RequestTooLargeError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
)
from imagegate.types import UNSET, Blob, FileId, ImageCall, TokenDetails
from imagegate.wire.exchange import UpstreamRequest
from imagegate.wire.openai_images import (
    build_edit_form,
    build_edit_json,
    build_generation,
    build_variation_form,
    exchange,
    parse_usage,
    read_error,
)
from imagegate.wire.provider import Target
from tests.wire.bodies import PNG, PNG64, Played, answer, joined, png, stream_answer, texts

TARGET = Target("https://api.openai.com/v1", "gpt-image-2.6-flare")
REQUEST = UpstreamRequest("POST", "https://api.openai.com/v1/images/generations", events=True)


def call(**fields: object) -> ImageCall:
    given = {"id": "call_1", "operation": "generate", "model": "group", "prompt": "p"} | fields
    return ImageCall(**given)  # type: ignore[arg-type]


class TestRequests:
    def test_only_what_was_given(self) -> None:
        body = joined(build_generation(call(), TARGET, model_in_body=True))
        assert body == b'{"model":"gpt-image-2.6-flare","prompt":"p"}'
        assert joined(build_generation(call(), TARGET, model_in_body=False)) == b'{"prompt":"p"}'

    def test_the_order_of_openai_python(self) -> None:
        asked = call(
            n=2,
            background="transparent",
            complexity="low",
            moderation="low",
            output_compression=80,
            output_format="webp",
            quality="max",
            safety_identifier="s",
            size="1536x864",
            user="u",
            extra={"x_foo": 1},
        )
        captured = (
            '{"model": "gpt-image-2.6-flare", "prompt": "p", "background": "transparent", '
            '"complexity": "low", "moderation": "low", "n": 2, "output_compression": 80, '
            '"output_format": "webp", "quality": "max", "safety_identifier": "s", '
            '"size": "1536x864", "user": "u", "x_foo": 1}'
        )
        body = json.loads(joined(build_generation(asked, TARGET, model_in_body=True)))
        assert json.dumps(body) == captured

    def test_stream_and_zero_are_given(self) -> None:
        asked = call(stream=True, partial_images=0, output_compression=0)
        body = json.loads(joined(build_generation(asked, TARGET, model_in_body=False)))
        assert body == {
            "prompt": "p",
            "output_compression": 0,
            "partial_images": 0,
            "stream": True,
        }

    def test_extra_never_replaces_a_field(self) -> None:
        body = build_generation(call(extra={"model": "x"}), TARGET, model_in_body=True)
        assert json.loads(joined(body))["model"] == "gpt-image-2.6-flare"

    def test_form_of_one_image(self) -> None:
        asked = call(operation="edit", images=(png(),), mask=png(), stream=False)
        parts = read_form(*build_edit_form(asked, TARGET, model_in_body=True))
        assert parts == [
            ("model", "", "gpt-image-2.6-flare"),
            ("prompt", "", "p"),
            ("image", "image.png image/png", PNG),
            ("mask", "mask.png image/png", PNG),
        ]

    def test_form_of_many(self) -> None:
        jpeg = Blob(PNG, 0, len(PNG), media_type="image/jpeg")
        asked = call(
            operation="edit",
            images=(png(), jpeg),
            markup=png(),
            n=2,
            stream=True,
            svg={"model": "gpt-5.6", "reasoning": {"effort": "low"}},
            extra={"flag": True, "nothing": None, "tags": ["a", {"b": 1}]},
        )
        parts = read_form(*build_edit_form(asked, TARGET, model_in_body=False))
        assert parts == [
            ("prompt", "", "p"),
            ("n", "", "2"),
            ("stream", "", "true"),
            ("svg[model]", "", "gpt-5.6"),
            ("svg[reasoning][effort]", "", "low"),
            ("flag", "", "true"),
            ("tags[]", "", "a"),
            ("tags[][b]", "", "1"),
            ("image[]", "image.png image/png", PNG),
            ("image[]", "image.jpg image/jpeg", PNG),
            ("markup", "markup.png image/png", PNG),
        ]

    def test_same_call_same_bytes(self) -> None:
        asked = call(operation="edit", images=(png(),))
        one, other = (build_edit_form(asked, TARGET, model_in_body=True) for _ in range(2))
        assert (joined(one[0]), one[1]) == (joined(other[0]), other[1])
        asked = call(operation="edit", images=(png(),), id="call_2")
        assert build_edit_form(asked, TARGET, model_in_body=True)[1] != one[1]

    def test_variation_has_no_prompt(self) -> None:
        asked = call(operation="variation", images=(png(),), prompt="", n=3)
        parts = read_form(*build_variation_form(asked, TARGET, model_in_body=False))
        assert [part[0] for part in parts] == ["n", "image"]

    def test_json_edit(self) -> None:
        asked = call(operation="edit", images=(FileId("file-1"), png()), mask=FileId("file-2"))
        body = json.loads(joined(build_edit_json(asked, TARGET, model_in_body=False)))
        assert body == {
            "prompt": "p",
            "images": [{"file_id": "file-1"}, {"image_url": f"data:image/png;base64,{PNG64}"}],
            "mask": {"file_id": "file-2"},
        }

    def test_no_words_can_stand_for_an_image(self) -> None:
        asked = call(operation="edit", images=(png(),), prompt='\0"\\u0000')
        body = json.loads(joined(build_edit_json(asked, TARGET, model_in_body=False)))
        assert body["prompt"] == '\0"\\u0000'


def read_form(body: tuple[object, ...], content_type: str) -> list[tuple[str, str, object]]:
    boundary = multipart.parse_options_header(content_type)[1]["boundary"]
    parser = multipart.MultipartParser(io.BytesIO(joined(body)), boundary)  # type: ignore[arg-type]
    return [
        (part.name, f"{part.filename} {part.content_type}", part.raw)
        if part.filename
        else (part.name, "", part.value)
        for part in parser
    ]


FULL = {
    "created": 1795160100,
    "background": "transparent",
    "output_format": "webp",
    "quality": "xhigh",
    "size": "1536x1024",
    "safety_identifier": "u",
    "data": [{"b64_json": PNG64}, {"b64_json": PNG64, "revised_prompt": "r"}],
    "usage": {
        "input_tokens": 14,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 14},
        "output_tokens": 4918,
        "output_tokens_details": {"image_tokens": 4918, "text_tokens": 0},
        "total_tokens": 4932,
        "new": 1,
    },
}


class TestAnswers:
    def test_full(self) -> None:
        played = Played(exchange(REQUEST), answer(json.dumps(FULL).encode()))
        result = played.result
        assert played.requests == [REQUEST]
        assert texts([image.blob for image in result.images]) == [PNG64, PNG64]
        assert [image.revised_prompt for image in result.images] == [None, "r"]
        assert (result.created, result.size, result.quality) == (1795160100, "1536x1024", "xhigh")
        assert result.usage is not None
        assert result.usage.input_tokens_details == TokenDetails(14, 0)
        assert result.usage.output_tokens_details == TokenDetails(0, 4918)
        assert result.raw_usage == FULL["usage"]
        assert result.extra == {"safety_identifier": "u"}

    def test_least(self) -> None:
        body = f'{{"data":[{{"b64_json":"data:image/png;base64,{PNG64}","url":null}}]}}'
        result = Played(exchange(REQUEST), answer(body.encode())).result
        assert (result.created, result.usage, result.raw_usage) == (0, None, None)
        assert texts([result.images[0].blob]) == [PNG64]
        assert result.images[0].url is None

    def test_url(self) -> None:
        body = b'{"created":1.5,"data":[{"url":"https://x/y.png"}],"usage":{"cost_ticks":1}}'
        result = Played(exchange(REQUEST), answer(body)).result
        assert (result.images[0].url, result.images[0].blob) == ("https://x/y.png", None)
        assert (result.created, result.usage, result.raw_usage) == (1, None, {"cost_ticks": 1})

    @pytest.mark.parametrize(
        "body",
        ['{"data":[]}', '{"data":null}', "{}", '{"data":[{}]}', '{"data":[{"b64_json":""}]}'],
    )
    def test_no_image(self, body: str) -> None:
        with pytest.raises(UpstreamEmptyError) as caught:
            Played(exchange(REQUEST), answer(body.encode()))
        assert caught.value.code == "upstream_no_image"
        assert caught.value.upstream is not None
        assert caught.value.upstream.text == body

    @pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"data":[{"b64_json":1}]}', b""])
    def test_not_the_shape(self, body: bytes) -> None:
        with pytest.raises(UpstreamEmptyError) as caught:
            Played(exchange(REQUEST), answer(body))
        assert caught.value.code == "upstream_invalid_image"
        assert caught.value.upstream is not None

    def test_some_items_are_errors(self) -> None:
        refused = {"error": {"code": "moderation_blocked", "message": "no"}}
        both = json.dumps({"data": [refused, {"b64_json": PNG64}]}).encode()
        assert len(Played(exchange(REQUEST), answer(both)).result.images) == 1
        with pytest.raises(ContentPolicyViolationError):
            Played(exchange(REQUEST), answer(json.dumps({"data": [refused]}).encode()))

    def test_other_names_of_usage(self) -> None:
        usage = parse_usage({"prompt_tokens": 9, "completion_tokens": 196, "cost": 0.006})
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (9, 196, 205)
        assert usage.output_tokens_details is UNSET

    def test_other_readers_of_errors(self) -> None:
        class OwnError(ImageError):
            pass

        with pytest.raises(OwnError):
            Played(exchange(REQUEST, lambda response: OwnError("x")), answer(b"", 400))


def frame(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


PARTIAL = frame(
    "image_generation.partial_image",
    b64_json=PNG64,
    partial_image_index=1,
    created_at=7,
    size="1024x1024",
    quality="low",
    background="opaque",
    output_format="png",
)
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"text_tokens": 9, "image_tokens": 0},
    "output_tokens": 296,
    "total_tokens": 305,
}
COMPLETED = frame(
    "image_generation.completed", b64_json=PNG64, created_at=8, size="1024x1024", usage=USAGE
)
MODERATED = frame("error", error={"message": "no", "type": "x", "code": "moderation_blocked"})
BROKEN = frame("error", error={"message": "oops", "type": "server_error", "code": None})
BUSY = frame("error", error={"message": "slow", "type": "requests", "code": "rate_limit_exceeded"})
FLAT = frame("error", message="no", code="moderation_blocked")


def play(stream: bytes) -> Played:
    return Played(exchange(REQUEST), stream_answer(), stream)


class TestStreams:
    def test_partials_then_one(self) -> None:
        played = play(b": keepalive\n\n" + PARTIAL + COMPLETED + b"data: [DONE]\n\n")
        (partial,) = played.partials
        assert (partial.index, partial.created, partial.size) == (1, 7, "1024x1024")
        assert texts([partial.blob]) == [PNG64]
        result = played.result
        assert (result.created, result.size, len(result.images)) == (8, "1024x1024", 1)
        assert result.raw_usage == USAGE

    def test_each_image_has_its_event(self) -> None:
        result = play(COMPLETED + COMPLETED).result
        assert len(result.images) == 2
        assert result.usage is not None
        assert result.usage.total_tokens == 610
        assert result.usage.input_tokens_details.text_tokens == 18
        assert result.raw_usage == {
            "input_tokens": 18,
            "input_tokens_details": {"text_tokens": 18, "image_tokens": 0},
            "output_tokens": 592,
            "total_tokens": 610,
        }

    def test_frames_of_relatives(self) -> None:
        bare = f'data: {{"type":"image_generation.completed","b64_json":"{PNG64}","created":3}}\n\n'
        text = b'data: {"type":"image_generation.text_chunk","text":"<svg"}\n\ndata: ping\n\n'
        assert play(text + bare.encode()).result.created == 3

    @pytest.mark.parametrize("stream", [b"", PARTIAL, COMPLETED[:-40], PARTIAL + b"data: {"])
    def test_end_without_an_image(self, stream: bytes) -> None:
        with pytest.raises(UpstreamFailedError):
            play(stream)

    @pytest.mark.parametrize("frame_", [MODERATED, FLAT])
    def test_refusal(self, frame_: bytes) -> None:
        with pytest.raises(ContentPolicyViolationError):
            play(frame_)
        with pytest.raises(ContentPolicyViolationError):
            play(PARTIAL + frame_)

    def test_failure(self) -> None:
        with pytest.raises(UpstreamFailedError):
            play(BROKEN)

    def test_a_pause_is_only_free_before_the_work_began(self) -> None:
        with pytest.raises(RateLimitError):
            play(BUSY)
        with pytest.raises(UpstreamFailedError):
            play(PARTIAL + BUSY)

    def test_what_was_paid_for_is_delivered(self) -> None:
        assert len(play(COMPLETED + BROKEN).result.images) == 1


def error(message: str, kind: str, param: str | None, code: str | None, **more: object) -> bytes:
    body = {"message": message, "type": kind, "param": param, "code": code, **more}
    return json.dumps({"error": body}).encode()


BAD, USER = "invalid_request_error", "image_generation_user_error"
VERIFY = "Your organization must be verified to use the model `gpt-image-2`. Please go to: ..."
RATE = "Rate limit reached for gpt-image-2 ... Limit 5, Used 5, Requested 1. Try again in 12s."
NEVER = "Rate limit reached for gpt-image-2 ... Limit 5, Used 0, Requested 7. Try again in 12s."
RETIRED = "The model 'dall-e-3' does not exist."
XHIGH = "The model 'gpt-image-2' does not support quality 'xhigh'"

REFUSALS = [
    (400, error("Missing", BAD, "prompt", "missing_required_parameter"), BadRequestError),
    (400, error("Unknown parameter: 'style'.", BAD, "style", "unknown_parameter"), BadRequestError),
    (400, error(XHIGH, USER, "quality", "invalid_value"), BadRequestError),
    (400, error("mimetype", BAD, "image", "unsupported_file_mimetype"), BadRequestError),
    (422, b'{"detail":[{"loc":["body","n"],"msg":"too many"}]}', BadRequestError),
    (400, error("safety", USER, None, "moderation_blocked"), ContentPolicyViolationError),
    (400, error("safety", BAD, None, "content_policy_violation"), ContentPolicyViolationError),
    (400, error("x", BAD, None, "billing_hard_limit_reached"), UpstreamCredentialError),
    (400, error("x", "billing_limit_user_error", None, None), UpstreamCredentialError),
    (401, error("Incorrect API key", BAD, None, "invalid_api_key"), UpstreamCredentialError),
    (401, b"<html>", UpstreamCredentialError),
    (402, b'{"error":"pay"}', UpstreamCredentialError),
    (403, error(VERIFY, BAD, None, None), UpstreamCredentialError),
    (403, error("x", "request_forbidden", None, "unsupported_country_region_territory"),
     UpstreamCredentialError),
    (403, error("no access to model", BAD, None, "model_not_found"), UpstreamModelNotFoundError),
    (404, error("x", BAD, None, "model_not_found"), UpstreamModelNotFoundError),
    (404, b"<html>nginx", UpstreamModelNotFoundError),
    (400, error(RETIRED, USER, "model", "invalid_value"), UpstreamModelNotFoundError),
    (400, error("Unknown model: gpt-image-2", BAD, None, None), UpstreamModelNotFoundError),
    (413, b"", RequestTooLargeError),
    (429, error(RATE, "input-images", None, "rate_limit_exceeded"), RateLimitError),
    (429, b'{"detail":"Rate limit reached"}', RateLimitError),
    (429, error(NEVER, "input-images", None, "rate_limit_exceeded"), UpstreamCredentialError),
    (429, error("x", "insufficient_quota", None, "insufficient_quota"), UpstreamCredentialError),
    (429, error("x", "", None, "project_spend_limit_exceeded"), UpstreamCredentialError),
    (429, b"<html>slow down", UpstreamFailedError),
    (429, b"", UpstreamFailedError),
    (400, b"<html>bad request", UpstreamFailedError),
    (408, b"", UpstreamTimeoutError),
    (504, b"<html>", UpstreamTimeoutError),
    (524, b"", UpstreamTimeoutError),
    (500, error("The server had an error", "server_error", None, None), UpstreamFailedError),
    (502, b"<html>Bad gateway", UpstreamFailedError),
    (503, error("overloaded", "server_error", None, None), UpstreamFailedError),
    (520, b"", UpstreamFailedError),
    (529, b"", UpstreamFailedError),
    (307, b"", UpstreamCredentialError),
]  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(("status", "body", "expected"), REFUSALS)
    def test_kind(self, status: int, body: bytes, expected: type[ImageError]) -> None:
        with pytest.raises(expected) as caught:
            Played(exchange(REQUEST), answer(body, status, {"x-request-id": "req_1"}))
        assert type(caught.value) is expected
        assert caught.value.upstream is not None
        assert caught.value.upstream.status == status
        assert caught.value.upstream.text == body.decode()
        assert caught.value.request_id == "req_1"

    def test_bad_request_keeps_param_and_code(self) -> None:
        found = read_error(answer(REFUSALS[1][1], 400))
        assert (found.param, found.code) == ("style", "unknown_parameter")
        assert "Unknown parameter: 'style'." in found.message

    def test_moderation_names_what_was_found(self) -> None:
        details = {"moderation_stage": "output", "categories": ["sexual"]}
        body = error("Rejected.", USER, None, "moderation_blocked", moderation_details=details)
        found = read_error(answer(body, 400))
        assert "Rejected." in found.message
        assert "sexual" in found.message
        assert "output" in found.message

    @pytest.mark.parametrize(
        ("headers", "message", "wait_s"),
        [
            ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
            ({"retry-after": "2.5"}, "", 2.5),
            ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "try again in 12s.", 12.0),
            ({"retry-after": "nan"}, "try again in 350ms.", 0.35),
            ({}, "Please try again in 1m2.5s.", 62.5),
            ({}, "Please try again in 3m.", 180.0),
            ({}, "Please try again in a while.", None),
            ({}, "Please try again in 1.2.3s.", 0.0),
        ],
    )
    def test_pause(self, headers: dict[str, str], message: str, wait_s: float | None) -> None:
        body = error(message, "requests", None, "rate_limit_exceeded")
        assert read_error(answer(body, 429, headers)).retry_after_s == wait_s

    def test_secrets_are_not_kept(self) -> None:
        body = error(
            "Incorrect API key provided: sk-proj-abc***xyz. Bearer abc.def", BAD, None, "x"
        )
        found = read_error(answer(body, 400))
        assert found.upstream is not None
        for text in (found.message, found.upstream.text):
            assert "abc" not in text
            assert "sk-***" in text

    def test_words_are_bounded(self) -> None:
        found = read_error(answer(b"\xc3\xa4" * 10_000, 500))
        assert found.upstream is not None
        assert len(found.upstream.text.encode()) <= 8192

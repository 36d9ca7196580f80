"""The caller's side: what is taken, what is refused and how, and what goes back."""

import base64
import json
from collections.abc import Mapping

import pytest
from openai.types import ImageEditStreamEvent, ImageGenStreamEvent, ImagesResponse
from pydantic import TypeAdapter

from imagegate.errors import AttemptReport, BadRequestError, RateLimitError, UpstreamWords
from imagegate.types import (
    Blob,
    FileId,
    Image,
    ImageCall,
    ImageResult,
    Json,
    Operation,
    PartialImage,
    TokenDetails,
    Usage,
)
from imagegate.wire.openai_calls import (
    KEEPALIVE,
    ParsedCall,
    UrlRef,
    build_answer,
    build_completed_events,
    build_error_event,
    build_partial_event,
    error_body,
    parse_form_call,
    parse_json_call,
)
from tests.wire.bodies import PNG, PNG64, joined, lifted, png, texts

LONG64 = base64.b64encode(PNG * 100).decode()


def parse_body(body: bytes | str, operation: Operation = "generate") -> ParsedCall:
    raw = body.encode() if isinstance(body, str) else body
    return parse_json_call(operation, lifted(raw), "call_1")


def parse(fields: Mapping[str, Json], operation: Operation = "generate") -> ParsedCall:
    return parse_body(json.dumps(fields), operation)


def refused(body: bytes | str, operation: Operation = "generate") -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        parse_body(body, operation)
    assert caught.value.http_status == 400
    assert caught.value.fault == "call"
    return caught.value


class TestJson:
    def test_least(self) -> None:
        expected = ImageCall(id="call_1", operation="generate", model="", prompt="p")
        assert parse({"prompt": "p"}).call == expected
        assert parse({"prompt": "p", "n": None, "size": None, "x": None}).call == expected

    def test_full(self) -> None:
        fields = {
            "prompt": "b64_json \u2603",
            "model": "openai/gpt-image-2",
            "n": 10,
            "size": "1536x864",
            "quality": "max",
            "background": "opaque",
            "output_format": "webp",
            "output_compression": 0,
            "moderation": "low",
            "style": "vivid",
            "response_format": "url",
            "input_fidelity": "high",
            "complexity": "low",
            "frame_count": 2,
            "frame_duration_ms": 10,
            "svg": {"model": "m"},
            "user": "u",
            "safety_identifier": "s",
            "stream": True,
            "partial_images": 3,
        }
        call = parse({**fields, "seed": 7, "loras": [{"a": 1}]}).call
        assert {name: getattr(call, name) for name in fields} == fields
        assert call.extra == {"seed": 7, "loras": [{"a": 1}]}

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("n", 0, "integer_below_min_value"),
            ("n", -1, "integer_below_min_value"),
            ("n", 11, "integer_above_max_value"),
            ("n", 1.5, "invalid_type"),
            ("n", 1.0, "invalid_type"),
            ("n", True, "invalid_type"),
            ("n", "2", "invalid_type"),
            ("n", [1], "invalid_type"),
            ("stream", "true", "invalid_type"),
            ("stream", 1, "invalid_type"),
            ("partial_images", 4, "integer_above_max_value"),
            ("partial_images", -1, "integer_below_min_value"),
            ("output_compression", 101, "integer_above_max_value"),
            ("output_compression", -1, "integer_below_min_value"),
            ("prompt", "", "string_below_min_length"),
            ("prompt", " \n", "string_below_min_length"),
            ("prompt", "x" * 32_001, "string_above_max_length"),
            ("prompt", ["p"], "invalid_type"),
            ("prompt", None, "missing_required_parameter"),
            ("size", 1024, "invalid_type"),
            ("user", "u" * 2000, "string_above_max_length"),
            ("user", LONG64, "string_above_max_length"),
            ("response_format", "base64", "invalid_value"),
            ("svg", "gpt", "invalid_type"),
            ("control_image", LONG64, "invalid_value"),
            ("image", "x", "unknown_parameter"),
            ("mask", {"file_id": "x"}, "unknown_parameter"),
        ],
    )
    def test_bad_fields(self, field: str, value: Json, code: str) -> None:
        found = refused(json.dumps({"prompt": "p", "padding": [0] * 2000} | {field: value}))
        assert (found.param, found.code) == (field, code)

    @pytest.mark.parametrize(
        "field",
        [
            "api_base",
            "base_url",
            "api_key",
            "api_version",
            "api_type",
            "azure_ad_token",
            "organization",
            "project",
            "custom_llm_provider",
            "extra_headers",
            "extra_query",
            "proxy",
            "aws_region_name",
            "vertex_project",
            "model_info",
        ],
    )
    def test_hosts_and_credentials_are_not_chosen_by_a_body(self, field: str) -> None:
        found = refused(json.dumps({"prompt": "p", field: None}))
        assert (found.param, found.code) == (field, "unknown_parameter")
        assert "SDK" in found.message

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b'"prompt"',
            b"null",
            b'{"prompt":"p"} x',
            b'{"prompt":"p","n":NaN}',
            b'{"prompt":"p","x":-Infinity}',
            b'{"prompt":"p","x":[1e999]}',
            b'{"prompt":"p","x":{"n":1,"n":1}}',
            b'{"prompt":"p","prompt":"p"}',
            b'{"prompt":"\xff"}',
            b'{"prompt":"\\ud83d"}',
            b'{"prompt":"p","n":' + b"9" * 5000 + b"}",
            b"prompt=p",
        ],
    )
    def test_broken(self, body: bytes) -> None:
        assert refused(body).code == "invalid_json"

    def test_a_prompt_of_base64_is_a_prompt(self) -> None:
        assert parse({"prompt": "x" * 32_000}).call.prompt == "x" * 32_000
        # The scanner does not see through an escaped key; then it is refused, not misread.
        body = '{"pro\\u006dpt":"' + "x" * 30_000 + '"}'
        assert refused(body).param == "prompt"

    def test_variation(self) -> None:
        with pytest.raises(BadRequestError) as caught:
            parse({"prompt": "p"}, "variation")
        assert caught.value.http_status == 415


class TestJsonEdit:
    def test_codex(self) -> None:
        body = {
            "images": [{"image_url": f"data:image/png;base64,{PNG64}"}],
            "prompt": "make it blue",
            "background": "opaque",
            "model": "gpt-image-2",
            "quality": "auto",
            "size": "auto",
        }
        parsed = parse(body, "edit")
        assert parsed.urls() == ()
        call = parsed.with_fetched({})
        (image,) = call.images
        assert isinstance(image, Blob)
        assert (texts([image]), image.media_type) == ([PNG64], "image/png")

    def test_mixed(self) -> None:
        url = "https://example.com/ref.png"
        images = [
            {"file_id": "file-1"},
            {"image_url": url},
            {"image_url": f"data:image/png;base64,{LONG64}"},
            {"image_url": url},
        ]
        parsed = parse({"prompt": "p", "images": images, "mask": {"image_url": url + "?m"}}, "edit")
        assert parsed.urls() == (url, url + "?m")
        assert parsed.images[1] == UrlRef(url)
        fetched, mask = png(), png()
        call = parsed.with_fetched({url: fetched, url + "?m": mask})
        assert call.images[0] == FileId("file-1")
        assert call.images[1] is call.images[3] is fetched
        assert call.mask is mask
        assert isinstance(call.images[2], Blob)
        assert texts([call.images[2]]) == [LONG64]

    def test_markup(self) -> None:
        reference = {"image_url": f"data:image/png;base64,{LONG64}"}
        parsed = parse({"prompt": "p", "images": [reference], "markup": reference}, "edit")
        assert parsed.with_fetched({}).markup is not None

    GOOD = ({"image_url": "https://e.com/a.png"},)

    @pytest.mark.parametrize(
        ("fields", "param", "code"),
        [
            ({}, "images", "missing_required_parameter"),
            ({"images": []}, "images", "missing_required_parameter"),
            ({"images": GOOD * 17}, "images", "array_above_max_length"),
            ({"images": "x"}, "images", "invalid_type"),
            ({"images": ["x"]}, "images[0]", "invalid_type"),
            ({"images": [{}]}, "images[0]", "invalid_value"),
            ({"images": [{"file_id": "a", "image_url": "b"}]}, "images[0]", "invalid_value"),
            ({"images": [{"url": "x"}]}, "images[0]", "invalid_value"),
            ({"images": [{"file_id": 1}]}, "images[0].file_id", "invalid_type"),
            ({"images": [{"file_id": ""}]}, "images[0].file_id", "invalid_type"),
            ({"images": [{"file_id": LONG64}]}, "images[0].file_id", "invalid_value"),
            ({"images": [*GOOD, {"image_url": "x"}]}, "images[1].image_url", "invalid_value"),
            ({"images": [{"image_url": "file:///etc"}]}, "images[0].image_url", "invalid_value"),
            ({"images": [{"image_url": "http://e.com"}]}, "images[0].image_url", "invalid_value"),
            ({"images": [{"image_url": "data:text/plain,x"}]}, "images[0].image_url",
             "invalid_value"),
            ({"image": GOOD[0], "images": GOOD}, "image", "unknown_parameter"),
            ({"images": GOOD, "mask": "x"}, "mask", "invalid_type"),
            ({"images": GOOD, "mask": GOOD[0], "markup": GOOD[0]}, "markup", "invalid_value"),
            ({"images": GOOD, "markup": {"file_id": "f"}}, "markup.file_id", "invalid_value"),
        ],
    )  # fmt: skip
    def test_bad(self, fields: Mapping[str, Json], param: str, code: str) -> None:
        found = refused(json.dumps({"prompt": "p", "padding": [0] * 2000, **fields}), "edit")
        assert (found.param, found.code) == (param, code)


class TestForms:
    def test_edit(self) -> None:
        first, second, mask = png(), png(), png()
        call = parse_form_call(
            "edit",
            [
                ("model", "gpt-image-2.6-flare"),
                ("prompt", "\u2603"),
                ("n", "2"),
                ("stream", "true"),
                ("output_compression", "80"),
                ("user", ""),
                ("user", ""),
                ("svg[model]", "gpt-5.6"),
                ("svg[reasoning][effort]", "low"),
                ("seed", "7"),
                ("tags[]", "a"),
                ("tags[]", "b"),
            ],
            [("mask", mask), ("image[]", first), ("image[]", second)],
            "call_1",
        )
        assert (call.model, call.prompt, call.n, call.stream) == (
            "gpt-image-2.6-flare",
            "\u2603",
            2,
            True,
        )
        assert call.output_compression == 80
        assert call.user is None
        assert call.svg == {"model": "gpt-5.6", "reasoning": {"effort": "low"}}
        assert call.extra == {"seed": "7", "tags": ["a", "b"]}
        assert call.images[0] is first
        assert call.images[1] is second
        assert call.mask is mask

    @pytest.mark.parametrize("name", ["image", "image[]", "images", "images[]", "image[0]"])
    def test_names_of_images(self, name: str) -> None:
        files = [(name, png()), (name, png())]
        assert len(parse_form_call("edit", [("prompt", "p")], files, "c").images) == 2

    def test_variation_needs_no_prompt(self) -> None:
        call = parse_form_call("variation", [("n", "2")], [("image", png())], "c")
        assert (call.operation, call.prompt, call.n) == ("variation", "", 2)

    @pytest.mark.parametrize(
        ("fields", "files", "param", "code"),
        [
            ([("prompt", "p")], [], "image", "missing_required_parameter"),
            ([], ["image"], "prompt", "missing_required_parameter"),
            ([("prompt", "")], ["image"], "prompt", "string_below_min_length"),
            ([("prompt", "p")], ["image[]"] * 17, "image", "array_above_max_length"),
            ([("prompt", "p")], ["image", "photo"], "photo", "unknown_parameter"),
            ([("prompt", "p")], ["image", "mask", "mask[]"], "mask", "invalid_value"),
            ([("prompt", "p")], ["image", "mask", "markup"], "markup", "invalid_value"),
            ([("prompt", "p"), ("image", "x")], ["image"], "image", "invalid_type"),
            ([("prompt", "p"), ("prompt", "q")], ["image"], "prompt", "invalid_value"),
            ([("prompt", "p"), ("n", "0")], ["image"], "n", "integer_below_min_value"),
            ([("prompt", "p"), ("n", "1.5")], ["image"], "n", "invalid_type"),
            ([("prompt", "p"), ("stream", "True")], ["image"], "stream", "invalid_type"),
            ([("prompt", "p"), ("svg", "x"), ("svg[a]", "y")], ["image"], "svg[a]",
             "invalid_value"),
            ([("prompt", "p"), ("a", "x"), ("a[]", "y")], ["image"], "a", "invalid_value"),
            ([("prompt", "p"), ("svg[a]", "y"), ("svg[]", "y")], ["image"], "svg",
             "invalid_value"),
            ([("prompt", "p"), ("api_key", "x")], ["image"], "api_key", "unknown_parameter"),
            ([("prompt", "p"), ("extra_headers[a]", "x")], ["image"], "extra_headers",
             "unknown_parameter"),
        ],
    )  # fmt: skip
    def test_bad(
        self, fields: list[tuple[str, str]], files: list[str], param: str, code: str
    ) -> None:
        with pytest.raises(BadRequestError) as caught:
            parse_form_call("edit", fields, [(name, png()) for name in files], "c")
        assert (caught.value.param, caught.value.code) == (param, code)

    def test_an_empty_file(self) -> None:
        with pytest.raises(BadRequestError) as caught:
            parse_form_call("edit", [("prompt", "p")], [("image", Blob(b"", 0, 0))], "c")
        assert caught.value.code == "invalid_image_file"

    def test_files_of_a_generation(self) -> None:
        with pytest.raises(BadRequestError) as caught:
            parse_form_call("generate", [("prompt", "p")], [("image", png())], "c")
        assert caught.value.code == "unknown_parameter"


USAGE = Usage(9, 297, 306, TokenDetails(9, 0), TokenDetails(0, 297))
RESULT = ImageResult(
    images=(Image(png()), Image(png(), revised_prompt="r")),
    created=1795160000,
    size="1024x1024",
    quality="high",
    background="opaque",
    output_format="png",
    usage=USAGE,
    raw_usage={"output_tokens": 297, "new": 1},
    extra={"safety_identifier": "u"},
)


class TestAnswers:
    def test_openai_reads_it(self) -> None:
        body = joined(build_answer(RESULT, extra={"imagegate": {"call_id": "c"}}))
        parsed = ImagesResponse.model_validate_json(body, strict=True)
        assert parsed.created == 1795160000
        assert parsed.data is not None
        assert [item.b64_json for item in parsed.data] == [PNG64, PNG64]
        assert parsed.data[1].revised_prompt == "r"
        assert parsed.usage is not None
        assert parsed.usage.total_tokens == 306
        assert (parsed.quality, parsed.safety_identifier) == ("high", "u")
        assert json.loads(body)["imagegate"] == {"call_id": "c"}
        assert json.loads(body)["usage"]["new"] == 1

    def test_nothing_is_invented(self) -> None:
        result = ImageResult(images=(Image(png()),), raw_usage={"ticks": 1})
        body = json.loads(joined(build_answer(result, created=5)))
        assert body == {"created": 5, "data": [{"b64_json": PNG64}]}

    def test_stored_base64_goes_out_as_it_came(self) -> None:
        blob = Blob(PNG64.encode(), 0, len(PNG64), encoding="base64")
        body = joined(build_answer(ImageResult(images=(Image(blob),)), created=1))
        assert json.loads(body)["data"] == [{"b64_json": PNG64}]

    def test_url(self) -> None:
        result = ImageResult(images=(Image(url="https://x/y"),))
        assert json.loads(joined(build_answer(result)))["data"] == [{"url": "https://x/y"}]

    @pytest.mark.parametrize(("quality", "shown"), [("xhigh", None), ("low", "low"), (None, None)])
    def test_qualities_that_old_clients_cannot_read(self, quality: str, shown: str) -> None:
        result = ImageResult(images=(), quality=quality)
        body = json.loads(joined(build_answer(result, echo_quality=False)))
        assert body.get("quality") == shown


def call(operation: Operation = "generate", **fields: str) -> ImageCall:
    return ImageCall(id="c", operation=operation, model="m", prompt="p", **fields)  # type: ignore[arg-type]


def frame(body: bytes) -> tuple[str, bytes]:
    name, data, *rest = body.split(b"\n")
    assert rest == [b"", b""]
    return name.decode().removeprefix("event: "), data.removeprefix(b"data: ")


STREAM_EVENTS: Mapping[str, TypeAdapter[Json]] = {
    "generate": TypeAdapter(ImageGenStreamEvent),
    "edit": TypeAdapter(ImageEditStreamEvent),
}


class TestEvents:
    @pytest.mark.parametrize("operation", ["generate", "edit"])
    def test_partial(self, operation: Operation) -> None:
        partial = PartialImage(png(), 1, 7, "1024x1024", "low", "opaque", "png")
        name, data = frame(joined(build_partial_event(call(operation), partial, created=9)))
        event = STREAM_EVENTS[operation].validate_json(data, strict=True)
        assert event.type == name
        assert (event.partial_image_index, event.created_at, event.b64_json) == (1, 7, PNG64)

    def test_partial_of_a_server_that_tells_little(self) -> None:
        asked = call(size="1536x864", output_format="webp")
        _, data = frame(joined(build_partial_event(asked, PartialImage(png(), 0), created=9)))
        event = STREAM_EVENTS["generate"].validate_json(data, strict=True)
        assert (event.created_at, event.size, event.quality) == (9, "1536x864", "auto")
        assert event.output_format == "png"

    @pytest.mark.parametrize("operation", ["generate", "edit"])
    def test_completed(self, operation: Operation) -> None:
        extra = {"imagegate": {"cost_usd": "0.01"}}
        frames = build_completed_events(call(operation), RESULT, created=9, extra=extra)
        named = [frame(joined(body)) for body in frames]
        events = [STREAM_EVENTS[operation].validate_json(data, strict=True) for _, data in named]
        assert [event.type for event in events] == [name for name, _ in named]
        assert [event.b64_json for event in events] == [PNG64, PNG64]
        assert sum(event.usage.total_tokens for event in events) == 306
        assert sum(event.usage.input_tokens_details.text_tokens for event in events) == 9
        assert json.loads(named[0][1])["imagegate"] == extra["imagegate"]

    def test_completed_without_usage(self) -> None:
        (body,) = build_completed_events(
            call(),
            ImageResult(images=(Image(png()),), quality="max"),
            created=9,
            echo_quality=False,
        )
        fields = json.loads(frame(joined(body))[1])
        assert "usage" not in fields
        assert (fields["quality"], fields["created_at"]) == ("auto", 9)

    def test_error(self) -> None:
        name, data = frame(build_error_event(RateLimitError("slow")))
        fields = json.loads(data)
        assert (name, fields["type"]) == ("error", "error")
        assert fields["error"]["message"] == "slow"

    def test_keepalive_is_a_comment(self) -> None:
        assert KEEPALIVE == b": keepalive\n\n"


def test_error_body() -> None:
    error = RateLimitError("slow", retry_after_s=3)
    error.call_id = "call_1"
    words = UpstreamWords(429, "slow down", "req_1")
    error.attempts = (AttemptReport("d1", "refused", "rate_limit_exceeded", "slow", words),)
    assert json.loads(error_body(error)) == {
        "error": {
            "message": "slow",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
            "imagegate": {
                "call_id": "call_1",
                "fault": "moment",
                "owner": "operator",
                "attempts": [
                    {
                        "deployment": "d1",
                        "state": "refused",
                        "code": "rate_limit_exceeded",
                        "message": "slow",
                        "upstream": {"status": 429, "text": "slow down", "request_id": "req_1"},
                        "provider": "",
                        "model": "",
                    }
                ],
            },
        }
    }

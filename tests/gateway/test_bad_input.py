"""Every wrong request gets the right status, code and param, and nothing is sent upstream."""

import base64
import json
from typing import Any

import pytest

from tests.gateway import pictures
from tests.gateway.conftest import Start
from tests.gateway.running import Answer, Part, RunningGateway
from tests.upstream.fake import FakeUpstream

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
PNG = pictures.picture()


def check_refused(answer: Answer, status: int, code: str | None, param: str | None) -> None:
    """Check the shape and the facts of a refusal."""
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param), (
        answer.body
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert set(answer.error) >= {"message", "type", "param", "code"}
    assert answer.error["message"]


def call(**fields: Any) -> bytes:
    return json.dumps({"model": "img", "prompt": "a fox"} | fields).encode()


def without(name: str) -> bytes:
    fields = json.loads(call())
    del fields[name]
    return json.dumps(fields).encode()


JSON_CASES: dict[str, tuple[bytes, int, str, str | None]] = {
    "empty body": (b"", 400, "invalid_json", None),
    "broken": (b'{"model": "img", "prompt": ', 400, "invalid_json", None),
    "no object": (b'["img"]', 400, "invalid_json", None),
    "not utf-8": (b'{"model": "img", "prompt": "\xff"}', 400, "invalid_json", None),
    "duplicate key": (
        b'{"model": "img", "prompt": "a", "prompt": "b"}',
        400,
        "invalid_json",
        "prompt",
    ),
    "a number of a hundred digits": (
        b'{"model": "img", "prompt": "a", "foo": 1%s}' % (b"0" * 99),
        400,
        "invalid_json",
        None,
    ),
    "NaN": (b'{"model": "img", "prompt": "a", "n": NaN}', 400, "invalid_json", None),
    "depth": (
        b'{"model": "img", "prompt": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        400,
        "invalid_json",
        None,
    ),
    "n of 0": (call(n=0), 400, "integer_below_min_value", "n"),
    "n of 11": (call(n=11), 400, "integer_above_max_value", "n"),
    "n of 1.5": (call(n=1.5), 400, "invalid_type", "n"),
    "n true": (call(n=True), 400, "invalid_type", "n"),
    "n as text": (call(n="2"), 400, "invalid_type", "n"),
    "size with a capital X": (call(size="1024X1024"), 400, "invalid_value", "size"),
    "size that nobody takes": (call(size="1000x1000"), 400, "invalid_value", "size"),
    "size out of bounds": (call(size="99999x1"), 400, "invalid_value", "size"),
    "no prompt": (without("prompt"), 400, "missing_required_parameter", "prompt"),
    "empty prompt": (call(prompt=""), 400, "string_below_min_length", "prompt"),
    "blank prompt": (call(prompt="  \n"), 400, "string_below_min_length", "prompt"),
    "prompt too long": (
        call(prompt="x" * 32_001),
        400,
        "string_above_max_length",
        "prompt",
    ),
    "unknown model": (call(model="imgg"), 404, "model_not_found", "model"),
    "transparent jpeg": (
        call(background="transparent", output_format="jpeg"),
        400,
        "invalid_value",
        "background",
    ),
    "unknown quality": (call(quality="best"), 400, "invalid_value", "quality"),
}

FORBIDDEN = (
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
    "aws_access_key_id",
    "vertex_project",
    "model_info",
)


@pytest.mark.parametrize("case", JSON_CASES)
def test_a_wrong_body_is_refused(
    case: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    body, status, code, param = JSON_CASES[case]
    check_refused(gateway.post(GENERATIONS, body), status, code, param)
    assert upstream.bill == []


def test_bodies_may_not_choose_hosts_or_credentials(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    for name in FORBIDDEN:
        answer = gateway.generate(**{name: "http://evil.example"})
        assert (answer.status, answer.error["param"]) == (400, name)
        form = gateway.edit(
            Part("model", "img"),
            Part("prompt", "a"),
            Part("image", PNG, "a.png"),
            Part(name, "http://evil.example"),
        )
        assert (form.status, form.error["param"]) == (400, name)
    assert upstream.bill == []


def test_an_unknown_model_is_told_what_there_is(gateway: RunningGateway) -> None:
    message = gateway.generate(model="imgg").error["message"]
    assert "imgg" in message
    assert "img" in message.replace("imgg", "")


def edit_parts(*images: bytes, **others: bytes | str) -> list[Part]:
    name = "image" if len(images) == 1 else "image[]"
    parts = [Part("model", "img"), Part("prompt", "a hat")]
    parts += [Part(name, image, "upload") for image in images]
    for field, value in others.items():
        parts.append(Part(field, value, "upload" if isinstance(value, bytes) else None))
    return parts


MASK = pictures.picture(mode="RGBA")
FORM_CASES: dict[str, tuple[list[Part], int, str, str]] = {
    "text": (edit_parts(pictures.TEXT), 400, "unsupported_file_mimetype", "image"),
    "SVG": (edit_parts(pictures.SVG), 400, "unsupported_file_mimetype", "image"),
    "PDF": (edit_parts(pictures.PDF), 400, "unsupported_file_mimetype", "image"),
    "TIFF": (edit_parts(pictures.picture("TIFF")), 400, "unsupported_file_mimetype", "image"),
    "empty": (edit_parts(b""), 400, "invalid_image_file", "image"),
    "truncated PNG": (edit_parts(PNG[:-40]), 400, "invalid_image_file", "image"),
    "truncated JPEG": (
        edit_parts(pictures.picture("JPEG")[:-40]),
        400,
        "invalid_image_file",
        "image",
    ),
    "second of two": (edit_parts(PNG, PNG[:-40]), 400, "invalid_image_file", "image[1]"),
    "17 images": (edit_parts(*[PNG] * 17), 400, "array_above_max_length", "image"),
    "30 images": (edit_parts(*[PNG] * 30), 400, "array_above_max_length", "image"),
    "no image": (edit_parts(), 400, "missing_required_parameter", "image"),
    "pixel bomb": (edit_parts(pictures.bomb()), 400, "image_too_large", "image"),
    "mask without alpha": (edit_parts(PNG, mask=PNG), 400, "invalid_value", "mask"),
    "mask of another size": (
        edit_parts(PNG, mask=pictures.picture(size=(32, 64), mode="RGBA")),
        400,
        "invalid_value",
        "mask",
    ),
    "mask that is no PNG": (
        edit_parts(PNG, mask=pictures.picture("WEBP", mode="RGBA")),
        400,
        "invalid_value",
        "mask",
    ),
    "n of 0": (edit_parts(PNG, n="0"), 400, "integer_below_min_value", "n"),
    "n is a word": (edit_parts(PNG, n="two"), 400, "invalid_type", "n"),
}


@pytest.mark.parametrize("case", FORM_CASES)
def test_a_wrong_form_is_refused(
    case: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    parts, status, code, param = FORM_CASES[case]
    check_refused(gateway.edit(*parts), status, code, param)
    assert upstream.bill == []


def test_a_wrong_file_is_named_for_what_it_is(gateway: RunningGateway) -> None:
    for file, name in ((pictures.PDF, "PDF"), (pictures.SVG, "SVG"), (pictures.TEXT, "text")):
        assert name in gateway.edit(*edit_parts(file)).error["message"]


def test_data_urls_are_checked_as_files_are(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    urls = {
        "unsupported_file_mimetype": base64.b64encode(pictures.PDF * 40).decode(),
        "invalid_image_file": base64.b64encode(PNG[:-40]).decode(),
    }
    for code, data in urls.items():
        images = [{"image_url": f"data:image/png;base64,{data}"}]
        answer = gateway.post(EDITS, call(images=images))
        check_refused(answer, 400, code, "image")
    broken = [{"image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()[:-3] + "!!"}]
    assert gateway.post(EDITS, call(images=broken)).status == 400
    assert upstream.bill == []


def test_urls_that_are_not_public_https_are_refused(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    for url in (f"{upstream.url}/a.png", "https://127.0.0.1/a.png", "file:///etc/passwd"):
        answer = gateway.post(EDITS, call(images=[{"image_url": url}]))
        assert answer.status == 400, answer.body
        assert answer.headers["x-should-retry"] == "false"
    assert upstream.bill == []


def test_files_and_bodies_have_a_limit(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(server="json_bytes_max: 2000, form_bytes_max: 100000, file_bytes_max: 20000")
    large = pictures.picture(size=(100, 100))
    assert len(large) > 20000
    check_refused(gateway.edit(*edit_parts(large)), 413, "request_too_large", "image")
    check_refused(gateway.edit(*edit_parts(*[PNG] * 16)), 413, "request_too_large", None)
    check_refused(
        gateway.post(GENERATIONS, call(prompt="x" * 3000)), 413, "request_too_large", None
    )
    assert upstream.bill == []


def test_only_json_and_forms_are_read(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "image/png"):
        answer = gateway.post(GENERATIONS, call(), content_type=content_type)
        check_refused(answer, 415, "unsupported_media_type", None)
    zipped = gateway.post(GENERATIONS, call(), content_encoding="gzip")
    check_refused(zipped, 415, "unsupported_media_type", None)
    assert upstream.bill == []


def test_a_form_that_is_none_is_refused(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    bodies = {
        "multipart/form-data": b"--x\r\n",
        "multipart/form-data; boundary=x": b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n",
        "multipart/form-data; boundary=y": b"no boundary in here",
        f"multipart/form-data; boundary={'b' * 5000}": b"--b",
    }
    for content_type, body in bodies.items():
        answer = gateway.request("POST", EDITS, body, {"content-type": content_type})
        check_refused(answer, 400, "invalid_form", None)
    assert upstream.bill == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-imagegate-adjust", "maybe"),
        ("x-imagegate-max-cost", "-1"),
        ("x-imagegate-max-cost", "NaN"),
        ("x-imagegate-max-cost", "1e9"),
        ("x-imagegate-timeout", "0"),
        ("x-imagegate-timeout", "inf"),
        ("x-imagegate-timeout", "soon"),
        ("x-imagegate-end-user", "u" * 300),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    header: str, value: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    answer = gateway.post(GENERATIONS, call(), **{header.replace("-", "_"): value})
    check_refused(answer, 400, "invalid_value", header)
    assert upstream.bill == []


def test_variations_are_gone(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    answer = gateway.request(
        "POST",
        "/v1/images/variations",
        *_form_request(Part("model", "img"), Part("image", PNG, "a.png")),
    )
    assert answer.status == 410
    assert "edit" in answer.error["message"]
    assert upstream.bill == []


def _form_request(*parts: Part) -> tuple[bytes, dict[str, str]]:
    from tests.gateway.running import form

    body, content_type = form(*parts)
    return body, {"content-type": content_type}

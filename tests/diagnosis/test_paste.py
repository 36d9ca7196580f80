"""What is read out of what people paste."""

import pytest

from imagegate.diagnosis.paste import parse_paste
from tests.diagnosis.texts import TODAY

VERBOSE = """\
* Host api.openai.com:443 was resolved.
> POST /v1/images/generations HTTP/2
> Host: api.openai.com
> user-agent: curl/8.16.0
> authorization: Bearer sk-or-v1-abcdefghijkl
>
} [91 bytes data]
< HTTP/2 401
< content-type: application/json
< x-request-id: req_1
<
{ [312 bytes data]
{"error": {"message": "no"}}
* Connection #0 to host api.openai.com left intact
"""


def test_a_verbose_transcript() -> None:
    seen = parse_paste(VERBOSE, TODAY)
    assert seen.status == 401
    assert seen.headers["x-request-id"] == "req_1"
    assert seen.url == "https://api.openai.com/v1/images/generations"
    assert seen.body == '{"error": {"message": "no"}}'
    assert seen.key_prefix == "sk-or-v1"
    assert seen.client == "curl/8.16.0"


def test_the_last_head_counts() -> None:
    text = "HTTP/1.1 200 Connection established\n\nHTTP/1.1 404 Not Found\nServer: a\n\n{}"
    seen = parse_paste(text, TODAY)
    assert (seen.status, dict(seen.headers), seen.body) == (404, {"server": "a"}, "{}")


def test_a_command_tells_what_was_sent_but_no_prompt() -> None:
    text = (
        "$ curl -i https://api.openai.com/v1/responses -H 'Authorization: Bearer $KEY' -d "
        '\'{"model":"gpt-image-2","input":"a secret","tools":[{"type":"image_generation"}]}\'\n'
        "HTTP/2 400\n\n{}"
    )
    seen = parse_paste(text, TODAY)
    assert seen.url == "https://api.openai.com/v1/responses"
    assert seen.sent == {
        "model": "gpt-image-2",
        "input": None,
        "tools": [{"type": "image_generation"}],
    }
    assert seen.key_prefix == ""


@pytest.mark.parametrize(
    ("text", "status", "exception"),
    [
        ("openai.NotFoundError: Error code: 404 - {'error': 'x'}", 404, "openai.NotFoundError"),
        ("NotFoundError: 404 The model", 404, "NotFoundError"),
        ("unexpected status 400 Bad Request: {}", 400, ""),
        ("Image generation failed with HTTP 404: {}", 404, ""),
        ("got status: 400 Bad Request. {}", 400, ""),
        ("curl: (7) Failed to connect to localhost port 80", 0, "curl 7"),
        ("openai.APITimeoutError: Request timed out.", 0, "openai.APITimeoutError"),
        ("images take 300 s and 404 people know it", 0, ""),
    ],
)
def test_what_programs_print(text: str, status: int, exception: str) -> None:
    seen = parse_paste(text, TODAY)
    assert (seen.status, seen.exception) == (status, exception)


def test_pages_about_the_error_are_not_its_address() -> None:
    said = "See https://platform.openai.com/docs/api/v1/errors, https://docs.litellm.ai/v1/x"
    assert parse_paste(said, TODAY).url == ""
    said += " url: https://chatgpt.com/backend-api/codex/responses, cf-ray: 1"
    assert parse_paste(said, TODAY).url == "https://chatgpt.com/backend-api/codex/responses"


def test_images_are_left_out() -> None:
    seen = parse_paste('{"b64_json": "' + "A" * 100_000 + '"}', TODAY)
    assert len(seen.body) < 100

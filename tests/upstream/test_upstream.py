"""The fake upstream does what its modes say, and its bill tells what was bought."""

import asyncio
import base64
import hashlib
import http.client
import io
import json
import subprocess
import sys
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image

from tests.upstream import FakeUpstream, picture
from tests.upstream.modes import MODES
from tests.upstream.refusals import REFUSALS

KEY = {"authorization": "Bearer sk-test-1"}
ASK = {"model": "gpt-image-2.5-flare", "prompt": "a red square", "quality": "high"}


@pytest.fixture
def client(upstream: FakeUpstream):
    with openai.OpenAI(base_url=upstream.v1, api_key="sk-test-1", max_retries=0) as running:
        yield running


def post(
    upstream: FakeUpstream, path: str, body: dict[str, Any], headers: dict[str, str] = KEY
) -> tuple[int, dict[str, str], bytes]:
    """Send JSON and return status, headers and body."""
    connection = http.client.HTTPConnection(upstream.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(
            "POST", path, json.dumps(body), {"content-type": "application/json", **headers}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def generate(upstream: FakeUpstream, **fields: Any) -> tuple[int, dict[str, str], bytes]:
    return post(upstream, "/v1/images/generations", ASK | fields)


def test_generates_what_openais_client_reads(upstream, client):
    answer = client.images.generate(**ASK, n=2)
    files = [base64.b64decode(item.b64_json) for item in answer.data]
    assert files == [picture("a red square", 0), picture("a red square", 1)]
    assert answer.usage.output_tokens == 2 * 1756
    assert answer.size == "1024x1024"
    (record,) = upstream.wait_finished()
    assert (record.path, record.billed, record.images_billed) == ("/v1/images/generations", True, 2)
    assert record.answered_sha256 == [hashlib.sha256(file).hexdigest() for file in files]
    assert record.json == {**ASK, "n": 2}


def test_edits_a_form_and_notes_each_file(upstream, client):
    image, mask = picture("in"), picture("mask", transparent=True)
    client.images.edit(
        model="gpt-image-2", prompt="blue", image=[("a.png", image, "image/png")], mask=mask
    )
    (record,) = upstream.wait_received()
    assert dict(record.form) == {"model": "gpt-image-2", "prompt": "blue"}
    found = {part.name: part.sha256 for part in record.files}
    assert found == {
        "image[]": hashlib.sha256(image).hexdigest(),
        "mask": hashlib.sha256(mask).hexdigest(),
    }


def test_streams_events(upstream, client):
    stream = client.images.generate(**ASK, stream=True, partial_images=2)
    types = [event.type for event in stream]
    assert types == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert upstream.images_billed == 1


@pytest.mark.parametrize(("kind", "text_bytes"), [("medium", 1_500_000), ("large", 6_000_000)])
def test_pictures_are_real_and_as_long_as_they_say(kind, text_bytes):
    file = picture("noise", kind=kind)
    with Image.open(io.BytesIO(file)) as opened:
        opened.load()
    assert abs(len(base64.b64encode(file)) - text_bytes) < text_bytes // 20
    assert file == picture("noise", kind=kind)


@pytest.mark.parametrize("media", ["png", "jpeg", "webp"])
def test_draws_the_format_and_size_asked_for(upstream, media):
    _, _, body = generate(upstream, output_format=media, size="1536x1024")
    file = base64.b64decode(json.loads(body)["data"][0]["b64_json"])
    with Image.open(io.BytesIO(file)) as opened:
        assert (opened.format, opened.size) == (media.upper(), (1536, 1024))


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/v1/images/generations", ASK, {}, 401, "invalid_api_key"),
        (
            "/v1/images/generations",
            ASK | {"response_format": "b64_json"},
            KEY,
            400,
            "unknown_parameter",
        ),
        (
            "/v1/images/generations",
            {"model": "gpt-image-2"},
            KEY,
            400,
            "missing_required_parameter",
        ),
        (
            "/openai/deployments/d/images/generations?api-version=2025-04-01-preview",
            ASK,
            {"api-key": "k"},
            400,
            "invalid_value",
        ),
        (
            "/openai/deployments/d/images/generations",
            {"prompt": "x"},
            {"api-key": "k"},
            404,
            "404",
        ),
        (
            "/openai/v1/images/generations",
            {"prompt": "x"},
            {"api-key": "k"},
            404,
            "DeploymentNotFound",
        ),
        (
            "/openai/v1/images/generations",
            {"prompt": "x", "model": "d"},
            {"api-key": "k", **KEY},
            401,
            "401",
        ),
    ],
)
def test_refuses_what_the_real_one_refuses(upstream, path, body, headers, status, code):
    got, _, text = post(upstream, path, body, headers)
    assert (got, json.loads(text)["error"]["code"]) == (status, code)
    assert upstream.images_billed == 0


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (
            "/openai/deployments/d/images/generations?api-version=1",
            {"prompt": "x"},
            {"api-key": "k"},
        ),
        ("/openai/v1/images/generations", {"prompt": "x", "model": "d"}, {"api-key": "k"}),
        ("/images/generations", {"prompt": "x", "model": "m", "response_format": "b64_json"}, {}),
    ],
)
def test_takes_the_other_surfaces(upstream, path, body, headers):
    assert post(upstream, path, body, headers)[0] == 200


def test_serves_the_files_that_it_names(upstream):
    upstream.reply("url")
    url = json.loads(generate(upstream)[2])["data"][0]["url"]
    connection = http.client.HTTPConnection(upstream.url.removeprefix("http://"), timeout=10)
    connection.request("GET", url.removeprefix(upstream.url))
    assert connection.getresponse().read() == picture("a red square")
    connection.close()


@pytest.mark.parametrize("name", REFUSALS)
def test_gives_each_ready_refusal(upstream, name):
    status, _, body = generate(upstream, prompt=f"x [mode=status:{name}]")
    assert (status, body) == (REFUSALS[name].status, REFUSALS[name].body)


@pytest.mark.parametrize("mode", ["drop", "half_body", "half_body_closed"])
def test_a_broken_answer_is_billed_and_never_finished(upstream, mode):
    upstream.reply(mode)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        generate(upstream, prompt="[picture=medium]")
    (record,) = upstream.wait_received()
    assert (record.billed, record.finished) == (True, False)


def test_a_cut_stream_ends_inside_its_last_event(upstream):
    upstream.reply("cut_stream")
    with pytest.raises(http.client.IncompleteRead) as caught:
        generate(upstream, stream=True, partial_images=1)
    assert b"image_generation.completed" in caught.value.partial
    assert not caught.value.partial.endswith(b"\n\n")


async def _call(upstream: FakeUpstream, prompt: str) -> bytes:
    async with aiohttp.ClientSession(headers=KEY) as session:
        url = f"{upstream.v1}/images/generations"
        async with session.post(url, json=ASK | {"prompt": prompt}) as answer:
            return await answer.read()


@pytest.mark.parametrize("mode", ["hold", "hold_body"])
def test_holds_an_answer_until_it_is_released(upstream, mode):
    async def scene() -> bytes:
        call = asyncio.create_task(_call(upstream, f"x [mode={mode}]"))
        await asyncio.to_thread(upstream.wait_held)
        assert not upstream.bill[0].finished
        upstream.release()
        return await call

    body = json.loads(asyncio.run(scene()))
    assert base64.b64decode(body["data"][0]["b64_json"]) == picture(f"x [mode={mode}]")


def test_notes_that_the_caller_left(upstream):
    async def scene() -> None:
        call = asyncio.create_task(_call(upstream, "x [mode=hang]"))
        await asyncio.to_thread(upstream.wait_held)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(scene())
    upstream.wait_gone()
    assert upstream.bill[0].left


def test_the_good_disguises_hold_the_same_picture(upstream):
    for mode in ("gzip", "chunked", "escaped", "pretty", "nulls", "data_prefix", "interim"):
        prompt = f"y [mode={mode}]"
        body = json.loads(asyncio.run(_call(upstream, prompt)))
        text = body["data"][0]["b64_json"].rpartition(",")[2]
        assert base64.b64decode(text) == picture(prompt), mode


def test_every_mode_gives_some_answer(upstream):
    silent = {"hold", "hold_body", "hold_stream", "hang", "drop", "gzip_bomb"}
    for mode in sorted(MODES.keys() - silent):
        stream = "stream" in mode or mode == "two_completed"
        upstream.reply(mode, delay=0)
        try:
            generate(upstream, stream=stream)
        except (http.client.HTTPException, ConnectionResetError):
            assert mode in {"half_body", "half_body_closed", "cut_stream", "huge_header"}, mode
    assert len(upstream.bill) == len(MODES) - len(silent)


def test_a_bomb_is_small_on_the_wire(upstream):
    upstream.reply("gzip_bomb", bytes=64 * 1024 * 1024)
    _, headers, body = generate(upstream)
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 100_000


def test_a_mode_that_is_not_there_is_refused(upstream):
    with pytest.raises(ValueError, match="no mode 'half'"):
        upstream.reply("half")


def test_runs_as_a_process_that_is_told_by_http():
    command = [sys.executable, "-m", "tests.upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/_mode", '{"mode": "status:html_502", "times": 1}')
            connection.getresponse().read()
            headers = {"content-type": "application/json", **KEY}
            connection.request("POST", "/v1/images/generations", json.dumps(ASK), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 502
            connection.request("GET", "/_bill")
            (record,) = json.loads(connection.getresponse().read())
            assert (record["mode"], record["billed"]) == ("status:html_502", False)
            connection.close()
        finally:
            process.terminate()
    assert process.returncode == 0

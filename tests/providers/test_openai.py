import json

from imagegate.providers import openai
from imagegate.types import FileId
from imagegate.wire.provider import Target
from tests.providers.talk import SUCCESS, answer, body_of, call, edit_call, request_of, talk

TARGET = Target(openai.BASE_URL, "gpt-image-2", {"organization": "org-1", "project": "proj_1"})


def test_a_generation_names_the_upstreams_model_and_the_account() -> None:
    request, result = talk(openai.generate(call(size="1024x1024"), TARGET), answer(200, SUCCESS))
    assert request.method == "POST"
    assert request.url == "https://api.openai.com/v1/images/generations"
    assert json.loads(body_of(request)) == {
        "model": "gpt-image-2",
        "prompt": "a red circle",
        "size": "1024x1024",
    }
    assert request.headers == {
        "content-type": "application/json",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj_1",
    }
    assert len(result.images) == 1


def test_an_edit_is_a_form_with_the_model_in_it() -> None:
    request = request_of(openai.edit(edit_call(), TARGET))
    assert request.url == "https://api.openai.com/v1/images/edits"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\ngpt-image-2\r\n' in body_of(request)


def test_an_edit_of_files_that_openai_holds_is_json() -> None:
    asked = edit_call(images=(FileId("file-1"),), mask=FileId("file-2"))
    request = request_of(openai.edit(asked, TARGET))
    body = json.loads(body_of(request))
    assert request.headers["content-type"] == "application/json"
    assert body["images"] == [{"file_id": "file-1"}]
    assert body["mask"] == {"file_id": "file-2"}


def test_a_stream_is_announced_and_variations_are_gone() -> None:
    assert request_of(openai.generate(call(stream=True), TARGET)).events
    assert not request_of(openai.generate(call(), TARGET)).events
    assert openai.PROVIDER.adapter("variation") is None

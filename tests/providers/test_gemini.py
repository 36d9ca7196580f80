import json

import pytest

from imagegate.errors import ContentPolicyViolationError, ImageError
from imagegate.providers import gemini, vertex_ai
from imagegate.types import ImageResult, Json
from imagegate.wire.google_images import parse_usage
from imagegate.wire.provider import Target
from tests.exchanges.case import Response, cases_of
from tests.exchanges.play import Played
from tests.providers.talk import answer, body_of, call, edit_call, request_of, talk

TARGET = Target(gemini.BASE_URL, "gemini-nano-banana-2.1")
VERTEX = Target(vertex_ai.BASE_URL, "gemini-3-pro-image", {"vertex_project": "p"})
IMAGE = {"inlineData": {"mimeType": "image/jpeg", "data": "QUJD"}}
EVENTS = {"content-type": "text/event-stream"}


def candidates(*parts: Json, finish: str = "STOP") -> Json:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": finish}]}


def refused(body: Json, status: int = 200) -> ImageError:
    with pytest.raises(ImageError) as caught:
        talk(gemini.generate(call(), TARGET), answer(status, body))
    return caught.value


def streamed(*events: Json) -> Played:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Played(gemini.generate(call(stream=True), TARGET), [Response(200, EVENTS, body)])


# --- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://h", "https://h/v1beta/models/gemini-nano-banana-2.1:generateContent"),
        ("https://h/v1", "https://h/v1/models/gemini-nano-banana-2.1:generateContent"),
        (
            "https://h/p/v1beta1",
            "https://h/p/v1beta1/models/gemini-nano-banana-2.1:generateContent",
        ),
        ("https://h/v1/models/own", "https://h/v1/models/own:generateContent"),
    ],
)
def test_a_base_keeps_the_version_and_the_model_that_it_names(base: str, url: str) -> None:
    assert request_of(gemini.generate(call(), Target(base, TARGET.upstream_model))).url == url


@pytest.mark.parametrize(("name", "path"), [("a/../b?c", "a%2F..%2Fb%3Fc"), ("x@006", "x@006")])
def test_a_name_stays_in_its_place(name: str, path: str) -> None:
    request = request_of(gemini.generate(call(), Target(gemini.BASE_URL, name)))
    assert request.url == f"{gemini.BASE_URL}/v1beta/models/{path}:generateContent"


def test_a_level_of_thinking_goes_before_quality() -> None:
    request = request_of(
        gemini.generate(call(quality="HIGH", extra={"thinking_level": "minimal"}), TARGET)
    )
    config = json.loads(body_of(request))["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingLevel": "MINIMAL"}


def test_what_has_no_place_is_never_sent() -> None:
    asked = call(
        size="1024x1024",
        quality="hd",
        style="vivid",
        background="opaque",
        moderation="low",
        user="u",
        response_format="url",
        output_format="png",
        extra={"labels": {"a": "b"}, "person_generation": "ALLOW_ALL", "unheard_of": 1},
    )
    body = json.loads(body_of(request_of(gemini.generate(asked, TARGET))))
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "a red circle"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"]},
    }


def test_the_images_of_an_edit_follow_the_prompt() -> None:
    body = json.loads(body_of(request_of(gemini.edit(edit_call(), TARGET))))
    (turn,) = body["contents"]
    assert turn["parts"] == [
        {"text": "a red circle"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
    ]


def test_vertex_names_project_and_location_in_the_path() -> None:
    request = request_of(vertex_ai.generate(call(), VERTEX))
    assert request.url == (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/"
        "gemini-3-pro-image:generateContent"
    )


# --- answers -----------------------------------------------------------------------------------


def test_the_eight_ways_of_a_200_without_an_image_are_told_apart() -> None:
    said: dict[str, str] = {}
    for case in cases_of("gemini"):
        if case.operation == "generate" and case.about.startswith("Way ") and ":" in case.about[:6]:
            responses = [turn.response for turn in case.conversation]
            error = Played(gemini.generate(case.build_call(), case.target), responses).error
            assert error
            said[case.about.partition(":")[0]] = error.message
    assert sorted(said) == [f"Way {number}" for number in range(1, 9)]
    assert len(set(said.values())) == len(said)


def test_a_refusal_names_the_categories() -> None:
    ratings = [
        {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"},
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
    ]
    error = refused({"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": ratings}})
    assert isinstance(error, ContentPolicyViolationError)
    assert "(categories: dangerous_content)" in error.message


def test_support_codes_are_categories() -> None:
    body = {
        "candidates": [
            {"finishReason": "IMAGE_SAFETY", "finishMessage": "Support codes: 56562880, 29310472"}
        ]
    }
    assert "(categories: violence, celebrity)" in refused(body).message
    said = "The prompt violates Responsible AI practices. Support codes: 58061214"
    error = refused({"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}, 400)
    assert isinstance(error, ContentPolicyViolationError)
    assert "(categories: child)" in error.message


def test_an_image_beside_a_blocking_reason_is_delivered() -> None:
    _, result = talk(
        gemini.generate(call(), TARGET), answer(200, candidates(IMAGE, finish="IMAGE_SAFETY"))
    )
    assert len(result.images) == 1


def test_an_image_that_came_before_the_stream_broke_is_delivered() -> None:
    whole = candidates(IMAGE, finish="")
    error = {"error": {"code": 503, "message": "The service is unavailable."}}
    for played in (streamed(whole), streamed(whole, error)):
        assert isinstance(played.result, ImageResult)
        assert len(played.result.images) == 1
    assert streamed(error).error


def test_a_credential_in_an_upstreams_words_is_hidden() -> None:
    said = "Key AIzaSyCanary0123456789 and token ya29.canary0123456789 are refused."
    error = refused({"error": {"code": 403, "message": said, "status": "PERMISSION_DENIED"}}, 403)
    assert error.upstream
    for text in (error.message, error.upstream.text):
        assert "anary" not in text


@pytest.mark.parametrize("raw", [None, [], "x", {}, {"promptTokenCount": "many"}])
def test_no_usage_is_none(raw: Json) -> None:
    assert parse_usage(raw) is None


def test_tools_and_thoughts_count_as_text() -> None:
    usage = parse_usage(
        {
            "promptTokenCount": 6,
            "toolUsePromptTokenCount": 100,
            "candidatesTokenCount": 1223,
            "thoughtsTokenCount": 137,
            "totalTokenCount": 1466,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        }
    )
    assert usage
    assert (usage.input_tokens, usage.input_tokens_details.text_tokens) == (106, 106)
    assert (usage.output_tokens, usage.total_tokens) == (1360, 1466)
    assert usage.output_tokens_details
    assert usage.output_tokens_details.text_tokens == 240
    assert usage.output_tokens_details.image_tokens == 1120

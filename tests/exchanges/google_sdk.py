"""The check against google-genai: requests as its client sends them, its types on answers."""

import base64
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from google.genai import Client, errors, types
from google.oauth2.credentials import Credentials

from tests.exchanges.case import Case, Request, Response, Turn

_BESIDE = ("systemInstruction", "safetySettings", "labels")
_IMAGE_PARAMETERS = {
    "sampleCount": "number_of_images",
    "sampleImageSize": "image_size",
    "safetySetting": "safety_filter_level",
    "mimeType": "output_mime_type",
    "compressionQuality": "output_compression_quality",
}


class Recorder:
    """A transport that keeps the one request it gets and answers with what was recorded."""

    def __init__(self, response: Response) -> None:
        self.request: httpx.Request | None = None
        self._response = response

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.request = request
        answer = self._response
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body.encode())


def _studio(request: Request, options: types.HttpOptions) -> Client:
    return Client(api_key="test-key-official", http_options=options)


def _vertex(request: Request, options: types.HttpOptions) -> Client:
    path = urlsplit(request.url).path.split("/")
    return Client(
        vertexai=True,
        project=path[path.index("projects") + 1],
        location=path[path.index("locations") + 1],
        credentials=Credentials(token="test-token-official"),
        http_options=options,
    )


CLIENTS: Mapping[str, Callable[[Request, types.HttpOptions], Client]] = {
    "google_genai": _studio,
    "google_genai_vertex": _vertex,
}


def check_request(case: Case, turn: Turn) -> None:
    """Assert that the official client sends the recorded request for the same call."""
    body = json.loads(turn.request.json or "")
    sent = _send(case, turn, body)
    assert sent.method == turn.request.method
    assert str(sent.url) == turn.request.url
    assert _plain(json.loads(sent.content)) == _plain(body)


def _send(case: Case, turn: Turn, body: dict[str, Any]) -> httpx.Request:
    recorder = Recorder(turn.response)
    with httpx.Client(transport=httpx.MockTransport(recorder)) as http:
        version = urlsplit(turn.request.url).path.split("/")[1]
        options = types.HttpOptions(httpx_client=http, api_version=version)
        client = CLIENTS[str(case.official.client)](turn.request, options)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Imagen is deprecated; unknown words are told so
                _ask(client, case, turn, body)
        except (errors.APIError, ValueError):
            assert case.error, "the official client takes this answer for an error"
    assert recorder.request is not None
    return recorder.request


def _ask(client: Client, case: Case, turn: Turn, body: dict[str, Any]) -> None:
    model = case.target.upstream_model
    if "instances" in body:
        config = types.GenerateImagesConfig.model_validate(_images_config(body))
        prompt = body["instances"][0]["prompt"]
        client.models.generate_images(model=model, prompt=prompt, config=config)
        return
    contents: Any = [types.Content.model_validate(content) for content in body["contents"]]
    beside = {name: body[name] for name in _BESIDE if name in body}
    content_config = types.GenerateContentConfig.model_validate(body["generationConfig"] | beside)
    if "stream" in urlsplit(turn.request.url).path:
        list(
            client.models.generate_content_stream(
                model=model, contents=contents, config=content_config
            )
        )
    else:
        client.models.generate_content(model=model, contents=contents, config=content_config)


def _images_config(body: dict[str, Any]) -> dict[str, Any]:
    parameters = dict(body["parameters"])
    parameters |= parameters.pop("outputOptions", {})
    parameters |= {name: body[name] for name in ("labels",) if name in body}
    return {_IMAGE_PARAMETERS.get(name, name): value for name, value in parameters.items()}


def _plain(value: Any) -> Any:
    """Return `value` as Google understands it, which the client spells in its own ways.

    It writes some names with underscores, base64 in the url's alphabet, and some words of enums
    in capitals only.
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {_camel(name): _plain(item) for name, item in value.items()}
    if isinstance(plain.get("data"), str):
        plain["data"] = base64.urlsafe_b64decode(plain["data"].replace("+", "-").replace("/", "_"))
    for name in ("personGeneration", "safetySetting"):
        if isinstance(plain.get(name), str):
            plain[name] = plain[name].upper()
    return plain


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def check_answer(case: Case, response: Response) -> None:
    """Assert that the official types take the answer and find the same images in it."""
    if response.is_event_stream:
        frames = [frame.partition("data: ")[2] for frame in response.body.split("\r\n\r\n")]
        answers = [types.GenerateContentResponse.model_validate_json(f) for f in frames if f]
    elif "predictions" in response.body:
        return
    else:
        answers = [types.GenerateContentResponse.model_validate_json(response.body)]
    parts = [part for answer in answers for part in answer.parts or ()]
    found = [part.inline_data.data for part in parts if part.inline_data and not part.thought]
    images = (case.result or {})["images"]
    assert found == [base64.b64decode(image["base64"]) for image in images]

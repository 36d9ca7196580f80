"""The check against the `openai` package: requests as its clients send them, its types on answers.

A client is built by a function of `CLIENTS`, by the name that a case gives.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx2
from openai import AzureOpenAI, OpenAI, OpenAIError
from openai.types import (
    ImageEditStreamEvent,
    ImageGenerateParams,
    ImageGenStreamEvent,
    ImagesResponse,
    image_generate_params,
)
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import (
    ResponseCreateParams,
    ResponseStreamEvent,
    response_create_params,
)
from pydantic import TypeAdapter

from tests.exchanges.case import Case, Part, Request, Response, Turn

METHODS = {
    "generations": ("images", "generate"),
    "edits": ("images", "edit"),
    "variations": ("images", "create_variation"),
    "responses": ("responses", "create"),
}


class Params(NamedTuple):
    """What a method takes as JSON: its type, and the names in it."""

    kind: TypeAdapter[Any]
    names: frozenset[str]


_IMAGE_PARAMS = Params(
    TypeAdapter(ImageGenerateParams),
    frozenset(
        image_generate_params.ImageGenerateParamsNonStreaming.__annotations__
        | image_generate_params.ImageGenerateParamsBase.__annotations__
    ),
)
_RESPONSE_PARAMS = Params(
    TypeAdapter(ResponseCreateParams),
    frozenset(
        response_create_params.ResponseCreateParamsStreaming.__annotations__
        | response_create_params.ResponseCreateParamsBase.__annotations__
    ),
)
_EVENTS: dict[str, TypeAdapter[Any]] = {
    "generate": TypeAdapter(ImageGenStreamEvent),
    "edit": TypeAdapter(ImageEditStreamEvent),
    "responses": TypeAdapter(ResponseStreamEvent),
}
_COUNTS = ("n", "partial_images", "output_compression")


class Recorder:
    """A transport that keeps the one request it gets and answers with what was recorded."""

    def __init__(self, response: Response) -> None:
        self.request: httpx2.Request | None = None
        self._response = response

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.request = request
        answer = self._response
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body.encode())


Build = Callable[[Case, Request, httpx2.Client], Any]


def _openai(case: Case, request: Request, http: httpx2.Client) -> OpenAI:
    return OpenAI(
        base_url=re.split("/images/|/responses$", request.url.partition("?")[0])[0],
        default_query=dict(parse_qsl(urlsplit(request.url).query)),
        api_key="sk-test-official",
        organization=request.headers.get("OpenAI-Organization"),
        project=request.headers.get("OpenAI-Project"),
        http_client=http,
        max_retries=0,
    )


def _azure_openai(case: Case, request: Request, http: httpx2.Client) -> AzureOpenAI:
    return AzureOpenAI(
        azure_endpoint=case.target.base_url,
        azure_deployment=case.target.upstream_model,
        api_version=case.target.traits["api_version"],
        api_key="sk-test-official",
        http_client=http,
        max_retries=0,
    )


CLIENTS: Mapping[str, Build] = {"openai": _openai, "azure_openai": _azure_openai}


def check_request(case: Case, turn: Turn) -> None:
    """Assert that the official client sends the recorded request for the same call.

    Order of form parts and names of files are the client's own affair; our Azure requests leave
    out the model that its client repeats in the body.
    """
    assert case.official.client
    fields = _fields(turn.request)
    sent = _send(case, turn, fields)
    assert sent.method == turn.request.method
    assert str(sent.url) == turn.request.url
    for name in ("OpenAI-Organization", "OpenAI-Project"):
        assert sent.headers.get(name) == turn.request.headers.get(name)
    left_out = {"model"} - fields.keys()
    if turn.request.json is not None:
        body = json.loads(sent.content)
        assert {name: body[name] for name in body.keys() - left_out} == fields
    else:
        parts = turn.request.parts or ()
        theirs = [part for part in _read_form(sent) if part[0] not in left_out]
        assert sorted(theirs) == sorted(map(_essence, parts))


def _send(case: Case, turn: Turn, fields: dict[str, Any]) -> httpx2.Request:
    recorder = Recorder(turn.response)
    arguments = dict(fields)
    if turn.request.json is not None:
        params = _RESPONSE_PARAMS if case.operation == "responses" else _IMAGE_PARAMS
        known = {name: value for name, value in fields.items() if name in params.names}
        others = {name: value for name, value in fields.items() if name not in known}
        assert others.keys() <= case.build_call().extra.keys()
        arguments = known | {"extra_body": others}
        params.kind.validate_python(known)
    arguments.setdefault("model", case.target.upstream_model)
    resource, method = METHODS[urlsplit(turn.request.url).path.rpartition("/")[2]]
    with httpx2.Client(transport=httpx2.MockTransport(recorder)) as http, _deprecated_is_fine():
        client = CLIENTS[str(case.official.client)](case, turn.request, http)
        try:
            answer = getattr(getattr(client, resource), method)(**arguments)
            if fields.get("stream"):
                list(answer)
        except (OpenAIError, ValueError):
            assert case.error, "the official client takes this answer for an error"
    assert recorder.request is not None
    return recorder.request


@contextmanager
def _deprecated_is_fine() -> Iterator[None]:
    """Variations ended at OpenAI; other servers have them still."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _fields(request: Request) -> dict[str, Any]:
    """Return the request as arguments of the client."""
    if request.json is not None:
        fields: dict[str, Any] = json.loads(request.json)
        return fields
    arguments: dict[str, Any] = {}
    for part in request.parts or ():
        name = part.name.removesuffix("[]")
        if part.name.endswith("[]"):
            arguments.setdefault(name, []).append(_argument(part))
        else:
            arguments[name] = _argument(part)
    return arguments


def _argument(part: Part) -> Any:
    if part.text is None:
        return (part.filename, part.content, part.media_type)
    if part.name in _COUNTS:
        return int(part.text)
    return part.text == "true" if part.name == "stream" else part.text


def _essence(part: Part) -> tuple[str, str, bytes]:
    return part.name, part.media_type or "", part.content


def _read_form(request: httpx2.Request) -> Iterable[tuple[str, str, bytes]]:
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + request.content)
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        kind = part.get("content-type", "")
        yield str(name), kind, _content(part)


def _content(part: Any) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def check_answer(case: Case, response: Response) -> None:
    """Assert that a good answer is what the official types say it is."""
    if not response.is_event_stream and case.operation == "responses":
        OpenAIResponse.model_validate_json(response.body, extra="allow")
        return
    if not response.is_event_stream:
        ImagesResponse.model_validate_json(response.body, extra="allow")
        return
    for frame in response.body.split("\n\n"):
        data = frame.partition("data: ")[2]
        if data:
            _EVENTS[case.operation].validate_json(data)

"""The check against xinference-client: requests as it sends them, its types on answers."""

import json
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import TypeAdapter
from requests.adapters import BaseAdapter
from xinference_client.client.restful.restful_client import RESTfulImageModelHandle
from xinference_client.types import ImageList

from tests.exchanges.case import Case, Response, Turn

DEFAULTS = {"n": 1, "size": "1024*1024", "kwargs": {}}
"""What the client sends where nothing was asked; the server assumes the same."""

CLIENTS = ("xinference",)
_ANSWER: TypeAdapter[Any] = TypeAdapter(ImageList)


class Recorder(BaseAdapter):
    """A transport that keeps the one request it gets and answers with what was recorded."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.request: requests.PreparedRequest | None = None
        self._response = response

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.request = request
        answer = requests.Response()
        answer.status_code = self._response.status
        answer.headers.update(self._response.headers)
        answer._content = self._response.body.encode()
        return answer

    def close(self) -> None:
        """Nothing is open."""


def check_request(case: Case, turn: Turn) -> None:
    """Assert that the client sends the recorded generation for the same call."""
    fields = json.loads(turn.request.json or "")
    arguments = {name: value for name, value in fields.items() if name not in ("model", "kwargs")}
    arguments |= json.loads(fields.get("kwargs", "{}"))
    recorder = Recorder(turn.response)
    place = urlsplit(turn.request.url)
    handle = RESTfulImageModelHandle(fields["model"], f"{place.scheme}://{place.netloc}", {})
    handle.session.mount("http://", recorder)
    try:
        handle.text_to_image(**arguments)
    except (RuntimeError, ValueError):
        assert case.error, "the client takes this answer for an error"
    finally:
        handle.close()
    sent = recorder.request
    assert sent is not None
    assert (sent.method, sent.url) == (turn.request.method, turn.request.url)
    body = json.loads(sent.body or "")
    assert _plain(body) == DEFAULTS | _plain(fields)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value) if name == "kwargs" else value for name, value in fields.items()
    }


def check_answer(case: Case, response: Response) -> None:
    """Assert that a good answer is what the client's types say it is."""
    _ANSWER.validate_json(response.body)

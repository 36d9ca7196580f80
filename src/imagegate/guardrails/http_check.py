"""`http`: an operator's own service. It gets one JSON request a ruling, and answers with a verdict.

Request, `POST api_base`:

    {"call_id": "call_...", "stage": "input" | "output", "operation": "generate" | "edit" |
     "variation", "model": "...", "end_user": "...", "texts": {"prompt": "..."},
     "images": [{"role": "image" | "mask" | "markup" | "output", "media_type": "image/png",
                 "b64_json": "..."}],
     "params": {...}}                      the `params` of the guardrail's settings, as they are

Answer, status 200: `{"action": "allow" | "mask" | "blur" | "hold" | "deny", "category": "...",
"texts": {"prompt": "..."}}`. `category` is shown to the caller; `texts` are what `mask` changed.
Anything else is a failure of the guardrail.
"""

from typing import Any

import msgspec
from msgspec import Struct

from imagegate.assets.spool import Spool
from imagegate.config.guards import GuardrailSettings
from imagegate.errors import UpstreamFailedError
from imagegate.guardrails.asked import Asked, read_refusal
from imagegate.guardrails.subject import GuardExchange, Ruling, RulingAction, Subject
from imagegate.transport.live import Transport
from imagegate.types import Blob, Body, Encoded
from imagegate.wire.exchange import UpstreamRequest, send

CATEGORY_CHARS_MAX = 64


class VerdictAnswer(Struct):
    """The service's answer."""

    action: RulingAction
    category: str = ""
    texts: dict[str, str] = {}


class HttpCheck:
    """Posts the subject to the operator's url."""

    def __init__(self, settings: GuardrailSettings, transport: Transport, spool: Spool) -> None:
        self.sees_images = settings.images
        self._settings = settings
        self._asked = Asked(settings, transport, spool)

    async def rule(self, subject: Subject) -> Ruling:
        """Return the service's verdict."""
        return await self._asked.ask(self.exchange(subject), subject)

    def exchange(self, subject: Subject) -> GuardExchange:
        """Send one request."""
        body = build_body(subject, self._settings)
        headers = {"content-type": "application/json"}
        request = UpstreamRequest("POST", self._settings.url, body, headers)
        response = yield from send(request)
        if response.status != 200:
            raise read_refusal(response)
        return parse_verdict(response.json())


def build_body(subject: Subject, settings: GuardrailSettings) -> Body:
    """Return the request's body; images are streamed from where they lie."""
    facts: dict[str, Any] = {
        "call_id": subject.call_id,
        "stage": subject.stage,
        "operation": subject.operation,
        "model": subject.model,
        "end_user": subject.end_user,
        "texts": dict(subject.texts),
        "params": dict(settings.params),
    }
    parts: list[bytes | Blob | Encoded] = [msgspec.json.encode(facts)[:-1] + b',"images":[']
    for index, image in enumerate(subject.images if settings.images else ()):
        head = {"role": image.role, "media_type": image.blob.media_type}
        opening = msgspec.json.encode(head)[:-1] + b',"b64_json":"'
        parts += [b"," * bool(index) + opening, Encoded(image.blob), b'"}']
    return (*parts, b"]}")


def parse_verdict(body: object) -> Ruling:
    """Return the ruling. Raises `UpstreamFailedError` where the answer is no verdict."""
    try:
        found = msgspec.convert(body, VerdictAnswer)
    except msgspec.ValidationError as error:
        raise UpstreamFailedError("the guardrail's service answered with no verdict") from error
    category = "".join(char for char in found.category if char.isprintable())
    return Ruling(action=found.action, category=category[:CATEGORY_CHARS_MAX], texts=found.texts)

"""`openai_moderation`: OpenAI's moderations, `omni-moderation`, of texts and images.

https://platform.openai.com/docs/api-reference/moderations - free of charge; one image a request.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from imagegate.assets.spool import Spool
from imagegate.config.guards import GuardrailSettings
from imagegate.guardrails.asked import Asked, read_refusal
from imagegate.guardrails.subject import ALLOWED, GuardExchange, Ruling, Subject
from imagegate.transport.live import Transport
from imagegate.types import Blob, Body, Encoded
from imagegate.wire.exchange import UpstreamRequest, send

IMAGES_MAX = 32


class Result(Struct):
    """One of the answer's results."""

    flagged: bool
    categories: Mapping[str, bool | None]
    category_scores: Mapping[str, float | None] = {}


class Answer(Struct):
    """The answer's body."""

    results: tuple[Result, ...]


class Moderation:
    """Asks for the texts together, then for each image."""

    sees_images = True

    def __init__(self, settings: GuardrailSettings, transport: Transport, spool: Spool) -> None:
        self._settings = settings
        self._asked = Asked(settings, transport, spool)

    async def rule(self, subject: Subject) -> Ruling:
        """Return the action of the settings where anything is flagged."""
        return await self._asked.ask(self.exchange(subject), subject)

    def exchange(self, subject: Subject) -> GuardExchange:
        """Send one request for the texts and one an image, until one is flagged."""
        requests = [build_texts(list(subject.texts.values()), self._settings.model)]
        requests += [
            build_image(one.blob, self._settings.model) for one in subject.images[:IMAGES_MAX]
        ]
        for body in requests if subject.texts else requests[1:]:
            headers = {"content-type": "application/json"}
            url = f"{self._settings.url}/moderations"
            response = yield from send(UpstreamRequest("POST", url, body, headers))
            if response.status != 200:
                raise read_refusal(response)
            category = self._flagged(response.decode(Answer))
            if category:
                return Ruling(action=self._settings.hit_action, category=category)
        return ALLOWED

    def _flagged(self, answer: Answer) -> str:
        """Return the category that was flagged, or that is over its threshold; "" for none."""
        thresholds = self._settings.thresholds
        for result in answer.results:
            over = (
                name
                for name, limit in thresholds.items()
                if (result.category_scores.get(name) or 0.0) >= limit
            )
            flagged = (name for name, is_hit in result.categories.items() if is_hit)
            found = next(over, "") if thresholds else next(flagged, "flagged" * result.flagged)
            if found:
                return found
        return ""


def build_texts(texts: list[str], model: str) -> Body:
    """Return the body that asks about texts."""
    return (msgspec.json.encode({"model": model, "input": texts}),)


def build_image(blob: Blob, model: str) -> Body:
    """Return the body that asks about one image, streamed from where it lies."""
    head = msgspec.json.encode(model)
    kind = (blob.media_type or "image/png").encode()
    start = b'{"model":%s,"input":[{"type":"image_url","image_url":{"url":"data:%s;base64,'
    return (start % (head, kind), Encoded(blob), b'"}}]}')

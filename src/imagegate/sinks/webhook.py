"""`webhook`: events as JSON lines in a POST, signed where there is a secret.

The signature is `x-imagegate-signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`; a
receiver refuses what is older than five minutes.
"""

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from imagegate import clock
from imagegate.config.sinks import SinkSettings
from imagegate.telemetry import CallEvent
from imagegate.transport.post import Poster

POST_S_MAX = 10.0


class Webhook:
    """Posts batches to one url."""

    def __init__(self, settings: SinkSettings, poster: Poster) -> None:
        self._url = settings.url
        self._headers = {name: value.reveal() for name, value in settings.headers.items()}
        self._secret = settings.secret.reveal().encode()
        self._poster = poster

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Post one JSON object a line. Raises `PostError`."""
        body = json_lines(events)
        headers = {"content-type": "application/x-ndjson", **self._headers, **self._signed(body)}
        await self._poster.post(self._url, body, headers, seconds_max=POST_S_MAX)

    async def aclose(self) -> None:
        """Nothing is open: the poster belongs to the runtime."""

    def _signed(self, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        moment = str(int(clock.now_s()))
        digest = hmac.new(self._secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"x-imagegate-signature": f"t={moment},v1={digest}"}


def json_lines(events: Sequence[CallEvent]) -> bytes:
    """Return one JSON object a line, the event's name first."""
    return b"".join(msgspec.json.encode(record(event)) + b"\n" for event in events)


def record(event: CallEvent) -> dict[str, object]:
    """Return an event as receivers of records get it."""
    return {**event.fields(event=event.name, time=event.ended_s)}

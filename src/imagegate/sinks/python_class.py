"""An operator's own receiver: a class or an object by import path, ours or LiteLLM's CustomLogger.

Ours has `send(events)`, async or not. LiteLLM's has `async_log_success_event` and
`async_log_failure_event` (kwargs, response, start, end) or their twins without `async_`; the
response is None: bytes of images are not handed around.
"""

import datetime
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from imagegate.aside import Aside
from imagegate.config.load_object import load_object
from imagegate.config.sinks import SinkSettings
from imagegate.sinks.webhook import record
from imagegate.telemetry import CallEvent


class PythonReceiver:
    """Calls the operator's object. What it raises is its own fault and is counted."""

    def __init__(self, settings: SinkSettings) -> None:
        found = load_object(settings.target, settings.folder)
        self._object = found() if inspect.isclass(found) else found
        self._thread = Aside(f"sink {settings.name}")

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Hand over a batch, or each event by itself to one of LiteLLM's kind."""
        if (own := getattr(self._object, "send", None)) is not None:
            await self._call(own, events)
            return
        for event in events:
            start = datetime.datetime.fromtimestamp(event.started_s, datetime.UTC)
            end = start + datetime.timedelta(seconds=event.duration_s)
            await self._call(self._method(event), _litellm_fields(event), None, start, end)

    async def aclose(self) -> None:
        """The object is the operator's."""

    async def _call(self, method: Callable[..., Any], *arguments: object) -> None:
        """Call on the loop what is async, anything else in a thread: it may block."""
        if inspect.iscoroutinefunction(method):
            await method(*arguments)
        else:
            await self._thread.run(method, *arguments)

    def _method(self, event: CallEvent) -> Callable[..., Any]:
        name = f"log_{'success' if event.is_success else 'failure'}_event"
        found = getattr(self._object, f"async_{name}", None) or getattr(self._object, name)
        method: Callable[..., Any] = found
        return method


def _litellm_fields(event: CallEvent) -> dict[str, object]:
    """Return the `kwargs` that LiteLLM's callbacks read."""
    cost = None if event.cost_e10 is None else event.cost_e10 / 10**10
    return {
        "litellm_call_id": event.call_id,
        "model": event.upstream_model or event.model,
        "call_type": event.operation,
        "user": event.end_user,
        "response_cost": cost,
        "exception": event.reason or None,
        "standard_logging_object": {**record(event), "request_tags": list(event.tags)},
    }

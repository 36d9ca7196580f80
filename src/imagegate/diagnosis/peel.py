"""Takes off one layer: what a relay says about what its own upstream said."""

import json
import re
from collections.abc import Iterator, Mapping

import msgspec

from imagegate.diagnosis.body import find_object
from imagegate.diagnosis.facts import Seen
from imagegate.diagnosis.observation import Observation
from imagegate.types import Json

_LITELLM = re.compile(
    r"litellm\.\w{1,60}:\s*(?:[\w.]{1,60}:\s*){0,3}(?P<who>[A-Za-z]{2,30}?)_?(?:Exception|Error)\b"
    r"(?:\s+\w{1,60})?\s+-\s+(?P<rest>.+)",
    re.DOTALL,
)
_DEPTH_MAX = 6
_QUOTING = ("body", "text", "response", "response_body", "content", "upstream", "error", "raw")
_GROUP = re.compile(r"\.?\s*Received Model Group=.*", re.DOTALL)
_STATUS = re.compile(
    r"\b(?:Error code|HTTP(?: Error)?|status(?:[ _]code)?)\W{1,3}([45]\d\d)\b", re.I
)


def peel(seen: Seen, exceptions: Mapping[str, str]) -> Observation | None:
    """Return what the next speaker said, None where nobody else did.

    `exceptions` names the surface behind LiteLLM's `AzureException` and the like.
    """
    value = seen.error.value if isinstance(seen.error.value, dict) else {}
    error = value.get("error")
    error = error if isinstance(error, dict) else {}
    ours = error.get("imagegate")
    if isinstance(ours, dict):
        return _our_attempt(seen.observation, ours)
    # Printed as an exception, the sentence stands before the object; in JSON, in the message.
    is_printed = "litellm." in seen.error.before
    found = _LITELLM.search(seen.observation.body if is_printed else seen.error.message)
    if found and found["who"].lower() in exceptions:
        rest = _GROUP.sub("", found["rest"])
        [status] = seen.facts["status"]  # LiteLLM repeats its upstream's
        return _deeper(seen.observation, rest, exceptions[found["who"].lower()], int(status))
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):
        provider = str(metadata.get("provider_name", "")).lower()
        return _deeper(seen.observation, _text(metadata["raw"]), provider)
    if value and _is_error(find_object(seen.error.message)):
        return _deeper(seen.observation, seen.error.message, "")
    quoted = next(_quoted(value, 0), "")
    if quoted:
        return _deeper(seen.observation, quoted, "")
    return None


def _our_attempt(observation: Observation, ours: Mapping[str, Json]) -> Observation | None:
    """Return what the last attempt's upstream said; the gateway keeps it beside its own error."""
    for attempt in reversed(ours.get("attempts") or []):
        upstream = attempt.get("upstream") if isinstance(attempt, dict) else None
        if isinstance(upstream, dict) and upstream.get("text"):
            status = int(upstream.get("status") or 0)
            provider = str(attempt.get("provider", ""))
            said = _deeper(observation, str(upstream["text"]), provider, status)
            request_id = str(upstream.get("request_id") or "")
            # OpenAI's own form of it tells that OpenAI spoke, whoever passed it on.
            headers = {"x-request-id": request_id} if request_id.startswith("req_") else {}
            return msgspec.structs.replace(said, headers=headers)
    return None


def _deeper(observation: Observation, body: str, provider: str, status: int = 0) -> Observation:
    """Return the inner observation: the relay's head and address are not its upstream's."""
    said = _STATUS.search(body)
    return msgspec.structs.replace(
        observation,
        body=body,
        provider=provider,
        status=int(said[1]) if said else status or observation.status,
        headers={},
        url="",
        exception="",
        key_prefix="",
        sent={name: value for name, value in observation.sent.items() if name != "model"},
    )


def _quoted(value: Json, depth: int) -> Iterator[str]:
    """Yield the errors that stand as JSON within a text, as in logs and recorded requests."""
    if depth > _DEPTH_MAX:
        return
    for item in value if isinstance(value, list) else ():
        yield from _quoted(item, depth + 1)
    for name, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, str) and name in _QUOTING:
            inner = find_object(item) if item.lstrip().startswith("{") else None
            if isinstance(inner, dict) and inner.keys() & {"error", "detail"}:
                yield item
        yield from _quoted(item, depth + 1)


def _is_error(value: Json) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"error", "detail", "message"})


def _text(raw: Json) -> str:
    return raw if isinstance(raw, str) else json.dumps(raw)

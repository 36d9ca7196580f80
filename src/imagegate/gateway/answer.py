"""A finished call as an HTTP answer: headers that tell what was done, then JSON from the spool."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from imagegate.assets.spool import body_bytes, body_chunks, read_body
from imagegate.catalogue.price import format_usd
from imagegate.gateway.channel import Channel, Headers, ascii_list
from imagegate.gateway.errors import JSON_TYPE
from imagegate.running import Outcome, RunningCall
from imagegate.types import Adjustment, Body, ImageCall, Json

WHOLE_BYTES_MAX = 64 * 1024
_UNSAFE = re.compile(r"[^\t\x20-\x7e]")


async def send_answer(channel: Channel, running: RunningCall, outcome: Outcome, body: Body) -> bool:
    """Send the whole answer; return whether the caller was there to take it."""
    size = body_bytes(body)
    headers = [JSON_TYPE, *outcome_headers(running, outcome)]
    if size <= WHOLE_BYTES_MAX:
        return await channel.send_whole(200, headers, read_body(body))
    await channel.send_head(200, [*headers, (b"content-length", b"%d" % size)])
    return await channel.send_chunks(body_chunks(body), more=False)


def outcome_headers(running: RunningCall, outcome: Outcome) -> Headers:
    """Return the headers that say how the call went."""
    cost = cost_text(outcome).encode()
    call_id = running.id.encode()
    images = b"%d/%d" % (len(outcome.result.images), running.call.n)
    headers: Headers = [
        (b"x-imagegate-call-id", call_id),
        (b"x-litellm-call-id", call_id),
        (b"x-imagegate-deployment", _safe(outcome.deployment.id)),
        (b"x-imagegate-attempts", b"%d" % outcome.attempts),
        (b"x-imagegate-images", images),
        (b"x-imagegate-cost", cost),
    ]
    if outcome.cost_e10 is not None:
        headers.append((b"x-litellm-response-cost", cost))
    if outcome.adjustments:
        headers.append(
            (b"x-imagegate-adjustments", ascii_list(adjustment_list(outcome.adjustments)))
        )
    if outcome.warnings:
        headers.append((b"x-imagegate-warnings", ascii_list(outcome.warnings)))
    if outcome.verdicts:
        headers.append((b"x-imagegate-guardrails", ascii_list(verdict_list(outcome))))
    if outcome.upstream_headers:
        headers += _relayed(outcome.upstream_headers)
    return headers


def cost_text(outcome: Outcome) -> str:
    """Return the cost in USD, exactly, or `unknown`."""
    return "unknown" if outcome.cost_e10 is None else format_usd(outcome.cost_e10)


def verdict_list(outcome: Outcome) -> list[Json]:
    """Return what guardrails said, as `name:action:category`."""
    return [str(verdict) for verdict in outcome.verdicts]


def adjustment_list(adjustments: Sequence[Adjustment]) -> list[Json]:
    """Return adjustments as plain JSON."""
    plain: list[Json] = msgspec.to_builtins(adjustments)
    return list(plain)


def echoes_quality(call: ImageCall, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the caller can read any `quality` in the answer.

    Codex decodes low, medium, high and auto only. It asks for `auto`, as everybody may who does
    not know the newer values; whoever asked for one by name knows it.
    """
    if call.quality in (None, "auto"):
        return False
    clients = headers.get(b"user-agent", b"") + headers.get(b"originator", b"")
    return b"codex" not in clients.lower()


def _relayed(upstream_headers: Mapping[str, str]) -> Headers:
    return [(name.encode("ascii"), _safe(value)) for name, value in upstream_headers.items()]


def _safe(text: str) -> bytes:
    # A character outside of ASCII, or a line break, would break the head of the answer.
    if text.isascii() and text.isprintable():
        return text.encode()
    return _UNSAFE.sub("?", text).encode()

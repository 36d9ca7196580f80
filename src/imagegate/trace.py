"""What is noted of a call while it runs: its steps, its verdicts; the closing event comes of it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self

from msgspec import Struct

from imagegate import clock
from imagegate.diagnosis.redact import redact
from imagegate.errors import ImageError
from imagegate.ledger.review import VerdictRecord
from imagegate.telemetry import (
    EVENT_TEXT_CHARS_MAX,
    Attribute,
    Span,
    TraceParent,
    Verdict,
)

SPANS_MAX = 256
"""So many steps of one call are noted; ten parts with all their attempts stay below it."""

NAME_CHARS_MAX = 128
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_CREDENTIAL = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|ya29|ghp)[-_.][\w.-]{12,}"
    r"|\b(?:AIza|AKIA|ASIA)[\w-]{12,}|\beyJ[\w-]{8,}\."
)


def parse_traceparent(header: str) -> TraceParent | None:
    """Return what a `traceparent` header says, None where it means nothing."""
    match = _TRACEPARENT.fullmatch(header.strip().lower())
    if match is None or header.startswith("ff") or not (int(match[1], 16) and int(match[2], 16)):
        return None
    return TraceParent(match[1], match[2], bool(int(match[3], 16) & 1))


def new_context(parent: TraceParent | None) -> TraceParent:
    """Return the ids of a new trace, or of a new span below `parent`."""
    span_id = clock.new_span_id()
    if parent is None:
        return TraceParent(clock.new_trace_id(), span_id)
    return TraceParent(parent.trace_id, span_id, parent.is_sampled)


class Step(Struct):
    """A step that is under way, until its `with` block ends; it notes the code of what is raised.

    `attributes` and `error` may be filled in until then.
    """

    trace: "Trace"
    name: str
    number: int
    above: int
    begun_s: float
    attributes: dict[str, Attribute]
    error: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        ended_s = clock.monotonic_s()
        if error is not None:
            self.error = error.code if isinstance(error, ImageError) else type(error).__name__
        trace, name, begun_s = self.trace, self.name, self.begun_s
        trace.phases_s[name] = trace.phases_s.get(name, 0.0) + ended_s - begun_s
        if len(trace.spans) < SPANS_MAX:
            begun_s, ended_s = trace.zero_s + begun_s, trace.zero_s + ended_s
            span = Span(
                name, self.number, self.above, begun_s, ended_s, self.attributes, self.error
            )
            trace.spans.append(span)


class Trace:
    """The steps of one call. Key, team and `tags` are known once they have been read.

    `is_sent_on`: the caller sent a `traceparent`, so the upstream gets one.
    """

    key_id = ""
    team_id = ""
    tags: tuple[str, ...] = ()
    first_partial_s: float | None = None
    logged_prompt: str | None = None
    is_told = False
    _written_count = 0
    _step_count = 0

    def __init__(self, call_id: str, parent: TraceParent | None = None) -> None:
        self.call_id = call_id
        self.started_s = clock.now_s()
        self.zero_s = self.started_s - clock.monotonic_s()
        self.parent_span_id = parent.span_id if parent else ""
        self.is_sent_on = parent is not None
        self.context = new_context(parent)
        self.spans: list[Span] = []
        self.verdicts: list[Verdict] = []
        self.phases_s: dict[str, float] = {}

    def belong(self, key_id: str | None, team_id: str | None) -> None:
        """Note whose the call is; None for the operator's own."""
        self.key_id, self.team_id = key_id or "", team_id or ""

    @property
    def holders(self) -> tuple[str, ...]:
        """Ids of the key and the team whose call it is."""
        return tuple(one for one in (self.key_id, self.team_id) if one)

    def step(
        self, name: str, above: int = 0, attributes: dict[str, Attribute] | None = None
    ) -> Step:
        """Return a step that begins now and is noted when its `with` block ends.

        `above` is the number of the step that it belongs to, 0 for the call itself.
        """
        self._step_count = number = self._step_count + 1
        return Step(self, name, number, above, clock.monotonic_s(), attributes or {})

    def unwritten_verdicts(self) -> tuple[VerdictRecord, ...]:
        """Return the verdicts that were not asked for before: each is written once."""
        first, self._written_count = self._written_count, len(self.verdicts)
        if first == len(self.verdicts):
            return ()
        return tuple(
            VerdictRecord(
                call_id=self.call_id,
                number=number,
                guardrail=one.guardrail,
                mode=one.mode,
                action=one.action,
                category=one.category,
            )
            for number, one in enumerate(self.verdicts[first:], start=first)
        )

    def traceparent(self, number: int) -> str:
        """Return the header that hangs what the upstream does below the step of this number."""
        context = self.context
        span_id = context.span_id_of(number)
        return f"00-{context.trace_id}-{span_id}-{'01' if context.is_sampled else '00'}"

    def show_partial(self) -> None:
        """Note when the first partial image came."""
        if self.first_partial_s is None:
            self.first_partial_s = clock.now_s() - self.started_s


def identifier(text: str) -> str:
    """Return an end user's id as it is, or `***` where it is a credential by its looks.

    No more is taken for a secret here: ids are often hashes, and each must stay itself.
    """
    return "***" if _CREDENTIAL.search(text) else text


def shown(text: str, chars_max: int = EVENT_TEXT_CHARS_MAX) -> str:
    """Return a text that others chose, fit for a log: redacted, on one line, cut."""
    if not text:
        return ""
    clean = " ".join(redact(text).split())
    return clean if len(clean) <= chars_max else f"{clean[: chars_max - 3]}..."


@lru_cache(maxsize=1024)
def shown_name(text: str) -> str:
    """Return a name that others chose, fit for a log. The same few are asked for all the time."""
    return shown(text, NAME_CHARS_MAX)


def names(texts: Sequence[str], count_max: int = 16) -> tuple[str, ...]:
    """Return names of fields that callers chose, fit for a log."""
    return tuple([shown(text, 64) for text in texts[:count_max]])

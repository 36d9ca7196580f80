"""What is noted of a call while it runs: its steps, its verdicts; the closing event comes of it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self

from imagegate import clock
from imagegate.diagnosis.redact import redact
from imagegate.errors import ImageError
from imagegate.ledger.review import VerdictRecord
from imagegate.telemetry import (
    EVENT_TEXT_CHARS_MAX,
    Attributes,
    Span,
    TraceParent,
    Verdict,
)

SPANS_MAX = 256
"""So many steps of one call are noted; ten parts with all their attempts stay below it."""

NAME_CHARS_MAX = 128
_NONE: Attributes = {}
_SPAN_MASK = (1 << 64) - 1
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


class Step(Span, kw_only=True):
    """A step that is under way, until its `with` block ends; it notes the code of what is raised.

    `attributes` and `error` may be filled in until then.
    """

    trace: "Trace"
    begun_s: float

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        if error is not None:
            self.error = error.code if isinstance(error, ImageError) else type(error).__name__
        took_s = clock.monotonic_s() - self.begun_s
        self.end_s = self.start_s + took_s
        self.trace.note(self, took_s)


class Trace:
    """The steps of one call. `key_id` and `team_id` are known once the key is.

    `is_sent_on`: the caller sent a `traceparent`, so the upstream gets one.
    """

    def __init__(self, call_id: str, parent: TraceParent | None = None) -> None:
        self.call_id = call_id
        self.parent_span_id = parent.span_id if parent else ""
        self._span_number = clock.chance_number()
        self.context = TraceParent(
            parent.trace_id if parent else clock.new_trace_id(),
            self._new_span_id(),
            parent.is_sampled if parent else True,
        )
        self.is_sent_on = parent is not None
        self.started_s = clock.now_s()
        self.key_id = ""
        self.team_id = ""
        self.first_partial_s: float | None = None
        self.spans: list[Span] = []
        self.verdicts: list[Verdict] = []
        self._written_count = 0
        self.phases_s: dict[str, float] = {}
        self.logged_prompt: str | None = None
        self.is_told = False

    def belong(self, key_id: str | None, team_id: str | None) -> None:
        """Note whose the call is; None for the operator's own."""
        self.key_id, self.team_id = key_id or "", team_id or ""

    @property
    def holders(self) -> tuple[str, ...]:
        """Ids of the key and the team whose call it is."""
        return tuple(one for one in (self.key_id, self.team_id) if one)

    def step(self, name: str, parent_id: str = "", attributes: Attributes = _NONE) -> Step:
        """Return a step that begins now and is noted when its `with` block ends."""
        return Step(
            name=name,
            span_id=self._new_span_id(),
            parent_id=parent_id or self.context.span_id,
            start_s=clock.now_s(),
            kind="client" if name == "attempt" else "internal",
            attributes={**attributes},
            trace=self,
            begun_s=clock.monotonic_s(),
        )

    def note(self, step: Step, took_s: float) -> None:
        """Note a step that has ended."""
        self.phases_s[step.name] = self.phases_s.get(step.name, 0.0) + took_s
        if len(self.spans) < SPANS_MAX:
            self.spans.append(step)

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

    def traceparent(self, span_id: str) -> str:
        """Return the header that hangs what the upstream does below the step `span_id`."""
        context = self.context
        return f"00-{context.trace_id}-{span_id}-{'01' if context.is_sampled else '00'}"

    def _new_span_id(self) -> str:
        """Return 16 hexadecimal digits, counted up from a random start."""
        self._span_number = (self._span_number + 1) & _SPAN_MASK
        return f"{self._span_number:016x}"

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
    return tuple(shown(text, 64) for text in texts[:count_max])

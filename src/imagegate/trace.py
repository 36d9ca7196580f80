"""What is noted of a call while it runs: its steps, its verdicts; the closing event comes of it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from imagegate import clock
from imagegate.diagnosis.redact import redact
from imagegate.errors import ImageError
from imagegate.ledger.review import VerdictRecord
from imagegate.telemetry import (
    EVENT_TEXT_CHARS_MAX,
    Attribute,
    Attributes,
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


class Step(Struct):
    """A step that is under way; `attributes` and `error` may be filled in until it ends."""

    span_id: str
    attributes: dict[str, Attribute]
    error: str = ""


class Trace:
    """The steps of one call. `key_id` and `team_id` are known once the key is.

    `is_sent_on`: the caller sent a `traceparent`, so the upstream gets one.
    """

    def __init__(self, call_id: str, parent: TraceParent | None = None) -> None:
        self.call_id = call_id
        self.parent_span_id = parent.span_id if parent else ""
        self.context = TraceParent(
            parent.trace_id if parent else clock.new_trace_id(),
            clock.new_span_id(),
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

    @contextmanager
    def step(
        self, name: str, parent_id: str = "", attributes: Attributes | None = None
    ) -> Iterator[Step]:
        """Note a step from here to the end of the block, and the code of what it raises."""
        step = Step(clock.new_span_id(), dict(attributes or {}))
        start_s, begun_s = clock.now_s(), clock.monotonic_s()
        try:
            yield step
        except BaseException as error:
            step.error = error.code if isinstance(error, ImageError) else type(error).__name__
            raise
        finally:
            took_s = clock.monotonic_s() - begun_s
            self.phases_s[name] = self.phases_s.get(name, 0.0) + took_s
            self._add(step, name, parent_id or self.context.span_id, start_s, took_s)

    def _add(self, step: Step, name: str, parent_id: str, start_s: float, took_s: float) -> None:
        if len(self.spans) < SPANS_MAX:
            self.spans.append(
                Span(
                    name=name,
                    span_id=step.span_id,
                    parent_id=parent_id,
                    start_s=start_s,
                    end_s=start_s + took_s,
                    kind="client" if name == "attempt" else "internal",
                    attributes=step.attributes,
                    error=step.error,
                )
            )

    def unwritten_verdicts(self) -> tuple[VerdictRecord, ...]:
        """Return the verdicts that were not asked for before: each is written once."""
        first, self._written_count = self._written_count, len(self.verdicts)
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


def names(texts: Sequence[str], count_max: int = 16) -> tuple[str, ...]:
    """Return names of fields that callers chose, fit for a log."""
    return tuple(shown(text, 64) for text in texts[:count_max])

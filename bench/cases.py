"""The cases and their bars: the numbers to reach, as ratios of one run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MB = 1_000_000


@dataclass
class Row:
    """What one contender did in one case; None where it does not apply."""

    cpu_ms: float | None = None
    calls_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    last_s: float | None = None
    peak_mb: float | None = None
    written_mb: float | None = None
    wrong: int = 0
    calls: int = 0
    partials_missing: int = 0
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A limit on a metric of `whose`; with `of` on its ratio to that contender."""

    metric: str
    limit: float
    text: str
    of: str = ""
    whose: str = "imagegate"

    def judge(self, rows: Mapping[str, Row]) -> str:
        """Return the verdict in words."""
        own = rows.get(self.whose, Row(note="absent"))
        value = getattr(own, self.metric)
        if own.note or value is None:
            return "not measured"
        if not self.of:
            return f"{value:.4g} {'reached' if value <= self.limit else 'MISSED'}"
        peer = getattr(rows.get(self.of, Row()), self.metric)
        if not peer:
            return f"not measured: no {self.of}"
        ratio = value / peer
        shown = f"{ratio:.2f}x" if self.limit >= 1 else f"{peer / value:.1f}x less"
        return f"{shown} {'reached' if ratio <= self.limit else 'MISSED'}"


def less_cpu(times: float, whose: str = "imagegate") -> Bar:
    """Return the bar on CPU against LiteLLM, which has no database."""
    text = f"{whose}: {times:g}x less CPU than LiteLLM"
    return Bar("cpu_ms", 1 / times, text, "litellm", whose)


def nginx_cpu(times: float) -> Bar:
    """Return the bar on CPU against nginx."""
    return Bar("cpu_ms", times, f"at most {times:g}x nginx's CPU", "nginx")


RIGHT = Bar("wrong", 0, "every answer right")


@dataclass(frozen=True)
class Case:
    """One load. `wave`: each connection makes one call, once; otherwise rounds by time.

    `fresh`: in a process that has done nothing before, because memory is not given back at once.
    `provider`: whose API the upstream speaks, where it is not OpenAI's.
    """

    name: str
    text: str
    answer_bytes: int
    concurrency: int
    shape: str = "json"
    upload_bytes: int = 0
    hold_s: float = 0.0
    wave: bool = False
    fresh: bool = False
    provider: str = ""
    bars: tuple[Bar, ...] = (RIGHT,)

    @property
    def stored_bytes(self) -> int:
        """Return about how much a gateway writes for a call."""
        return self.upload_bytes + self.answer_bytes * (3 if self.shape == "sse" else 1)


_SIZES = {"small": (300, "0.3 KB"), "1.5MB": (1_500_000, "1.5 MB"), "6MB": (6 * MB, "6 MB")}
_BARS = {
    "small-c16": (
        less_cpu(15),
        less_cpu(12, "imagegate-people"),
        less_cpu(8, "imagegate-postgres"),
        RIGHT,
    ),
    "1.5MB-c16": (nginx_cpu(3), less_cpu(6), RIGHT),
    "6MB-c16": (nginx_cpu(3), less_cpu(5), RIGHT),
}
# The picture is smaller than the answer around it: 40 bytes make an answer of 0.3 KB.
_PICTURE_BYTES = {"small": 40}


def _answers() -> list[Case]:
    cases = []
    for size, (answer_bytes, words) in _SIZES.items():
        for concurrency in (1, 16, 64):
            name = f"{size}-c{concurrency}"
            text = f"answers of {words}, {concurrency} at once"
            length = _PICTURE_BYTES.get(size, answer_bytes)
            cases.append(Case(name, text, length, concurrency, bars=_BARS.get(name, (RIGHT,))))
    return cases


def _held(*providers: str) -> Iterator[Case]:
    bars = (Bar("last_s", 2.5, "the last answer within 2.5 s"), RIGHT)
    for provider in providers:
        text = f"40 to {provider.capitalize()}'s API, held for 2 s"
        yield Case(f"held40-{provider}", text, 40, 40, hold_s=2, wave=True, fresh=True,
                   provider=provider, bars=bars)  # fmt: skip


CASES: tuple[Case, ...] = (
    *_answers(),
    Case(
        "sse-c16",
        "event streams of 3 x 300 KB, 16 at once",
        300_000,
        16,
        shape="sse",
        bars=(RIGHT, nginx_cpu(3)),
    ),
    Case(
        "edit4MB-c8",
        "edits with an upload of 4 MB, 8 at once",
        40,
        8,
        upload_bytes=4 * MB,
        bars=(RIGHT, nginx_cpu(4)),
    ),
    Case("edit50MB-c2", "edits with 50 MB, 2 at once", 40, 2, upload_bytes=50 * MB),
    Case("held500-small", "500 held for 2 s", 40, 500, hold_s=2, wave=True, fresh=True),
    Case(
        "held500-1.5MB",
        "500 held for 2 s, 1.5 MB each",
        1_500_000,
        500,
        hold_s=2,
        wave=True,
        fresh=True,
        bars=(
            Bar("last_s", 3.5, "the last answer within 3.5 s"),
            Bar("peak_mb", 200, "peak RSS under 200 MB"),
            RIGHT,
        ),
    ),
    *_held("gemini", "recraft"),
    Case(
        "64x6MB",
        "64 x 6 MB in a fresh process",
        6 * MB,
        64,
        wave=True,
        fresh=True,
        bars=(Bar("peak_mb", 120, "peak RSS under 120 MB"), RIGHT),
    ),
)

"""The fake upstream's bill against the ledger: each request beside the attempt that made it.

The price is worked out here from the bill alone, by OpenAI's rates, so that a wrong sum in the
ledger cannot be hidden by the code that made it.
"""

import hashlib
import http.client
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import create_engine, make_url, text

from tests.faults.process import WAIT_S_MAX
from tests.upstream.answers import DEFAULT_SIZE
from tests.upstream.ask import Ask, usage_of
from tests.upstream.bill import Record

RATES_E10 = {"text_in": 50_000, "image_in": 80_000, "image_out": 300_000}
FLUX_E10 = 300_000_000
SPOILT = ("empty_data", "truncated_image", "wrong_base64")
NAME = re.compile(r"e\d{5}")


class Attempt(NamedTuple):
    """A row of the ledger with the end user of its call."""

    id: str
    call_id: str
    state: str
    provider: str
    cost_e10: int | None
    request_id: str
    end_user: str


class Books:
    """The ledger's tables, read by themselves."""

    def __init__(self, url: str) -> None:
        place = make_url(url)
        if place.get_backend_name() == "postgresql":
            place = place.set(drivername="postgresql+psycopg")
        self._engine = create_engine(place)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def number(self, query: str) -> int:
        """Return the only figure that a query finds, 0 for none."""
        return int(self.rows(query)[0][0] or 0)

    def attempts(self) -> list[Attempt]:
        """Return all attempts."""
        columns = "a.id, a.call_id, a.state, a.provider, a.cost_e10, a.upstream_request_id"
        query = f"SELECT {columns}, c.end_user FROM attempts a JOIN calls c ON c.id = a.call_id"
        return [Attempt(*row) for row in self.rows(query)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nobody write until the block ends: what arrives meanwhile cannot be settled."""
        is_file = self._engine.dialect.name == "sqlite"
        lock = "BEGIN IMMEDIATE" if is_file else "LOCK TABLE attempts IN EXCLUSIVE MODE"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(lock)
            yield
            connection.exec_driver_sql("ROLLBACK")

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


class Verdict(NamedTuple):
    """What an audit found. `faults` is empty where the books are right."""

    faults: list[str]
    states: Counter[str]
    posts: int
    images: int
    billed_e10: int
    settled_e10: int
    unknown_e10: int


def audit(
    bill: Iterable[Record],
    books: Books,
    reached: set[int],
    port: int,
    *,
    not_kept: Collection[str] = (),
) -> Verdict:
    """Return how bill and ledger compare; images are fetched from the gateway at `port`.

    Those of the errands `not_kept` need not be kept.
    """
    posts = [one for one in bill if one.method == "POST"]
    attempts = books.attempts()
    sides = Sides(posts, attempts)
    kept = _kept(books, port)
    faults = [*sides.faults(), *_open(books), *unbalanced(books)]
    settled_e10 = unknown_e10 = 0
    for record, attempt in sides.pairs:
        cost_e10 = price_e10(record)
        if attempt.state == "settled":
            settled_e10 += cost_e10
            if attempt.cost_e10 != cost_e10 and not _is_unpriced(record):
                faults.append(f"{attempt.id}: {attempt.cost_e10}, the bill says {cost_e10}")
            is_kept = set(record.answered_sha256) <= kept[attempt.call_id]
            if not is_kept and attempt.end_user not in not_kept:
                faults.append(f"{attempt.id}: an image of request {record.number} is not kept")
        elif attempt.state == "unknown":
            unknown_e10 += cost_e10
        elif record.billed:
            faults.append(f"{attempt.id}: {attempt.state}, but request {record.number} was billed")
        if record.number in reached and _is_whole(record) and attempt.state != "settled":
            faults.append(f"{attempt.id}: {attempt.state}, request {record.number} had arrived")
    return Verdict(
        faults=faults,
        states=Counter(one.state for one in attempts),
        posts=len(posts),
        images=sum(len(shas) for shas in kept.values()),
        billed_e10=sum(price_e10(record) for record in posts),
        settled_e10=settled_e10,
        unknown_e10=unknown_e10,
    )


class Sides:
    """Requests beside attempts: by the request's id, else by the errand that both name."""

    def __init__(self, posts: list[Record], attempts: list[Attempt]) -> None:
        by_id = {f"req_{one.number:032x}": one for one in posts}
        self.pairs: list[tuple[Record, Attempt]] = []
        self._lone: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            # The last answer of a job is that of a poll, which is no purchase.
            record = by_id.pop(attempt.request_id, None)
            if record is not None:
                self.pairs.append((record, attempt))
            elif attempt.state != "unsent":
                self._lone[attempt.end_user].append(attempt)
        self._unmatched: list[Record] = []
        for record in by_id.values():
            lone = self._lone[name_of(record)]
            if lone:
                self.pairs.append((record, lone.pop()))
            else:
                self._unmatched.append(record)

    @property
    def lone(self) -> list[Attempt]:
        """Attempts that the upstream never saw."""
        return [one for each in self._lone.values() for one in each]

    def faults(self) -> Iterable[str]:
        """Yield what only one side knows."""
        for record in self._unmatched:
            yield f"request {record.number} of {name_of(record)} has no attempt"
        for attempt in self.lone:
            # Killed between its line in the journal and the upstream: unknown, to be sure.
            if attempt.state != "unknown":
                yield f"{attempt.id} of {attempt.end_user}: {attempt.state} without a request"


def name_of(record: Record) -> str:
    """Return the errand of a request."""
    found = NAME.search(str(record.field_of("prompt")))
    return found[0] if found else ""


def price_e10(record: Record) -> int:
    """Return what a request costs by the bill, in 1e-10 USD; 0 where it has no price."""
    if not record.billed or _is_unpriced(record):
        return 0
    if record.path.startswith("/v1/flux-"):
        return FLUX_E10
    ask = _ask_of(record)
    size = ask.size or DEFAULT_SIZE["tiny"]
    count = record.images_billed
    each = [count] if not ask.stream else [1] * count
    return sum(_cost_e10(usage_of(ask, size, images=n, partials=ask.partials)) for n in each)


def _ask_of(record: Record) -> Ask:
    fields = record.json or dict(record.form)
    inputs = len(fields.get("images") or record.files)
    return Ask("/v1", record.path.rpartition("/")[2], fields=fields, inputs=inputs)


def _cost_e10(usage: dict[str, Any]) -> int:
    said = usage["input_tokens_details"]
    return (
        said["text_tokens"] * RATES_E10["text_in"]
        + said["image_tokens"] * RATES_E10["image_in"]
        + usage["output_tokens"] * RATES_E10["image_out"]
    )


def _is_unpriced(record: Record) -> bool:
    return " solo " in str(record.field_of("prompt"))


def _is_whole(record: Record) -> bool:
    """Return whether the answer holds images that can be kept."""
    return record.finished and bool(record.answered_sha256) and record.mode not in SPOILT


def _kept(books: Books, port: int) -> dict[str, set[str]]:
    """Return the hashes of the images of each call, as the gateway delivers them."""
    kept: dict[str, set[str]] = defaultdict(set)
    counts = books.rows("SELECT call_id, count(*) FROM assets GROUP BY call_id")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
    for call_id, count in counts:
        for index in range(count):
            connection.request("GET", f"/v1/images/calls/{call_id}/images/{index}")
            kept[call_id].add(hashlib.sha256(connection.getresponse().read()).hexdigest())
    connection.close()
    return kept


def _open(books: Books) -> Iterable[str]:
    for what, query in (
        ("open attempts", "SELECT count(*) FROM attempts WHERE state IN ('dispatched','answered')"),
        ("open calls", "SELECT count(*) FROM calls WHERE state = 'running'"),
        ("open reservations", "SELECT count(*) FROM attempts WHERE reserved_until > 0"),
        ("reserved in budgets", "SELECT sum(reserved_e10) FROM budgets"),
    ):
        if found := books.number(query):
            yield f"{found} {what}"


def unbalanced(books: Books) -> Iterable[str]:
    """Yield where entries or sums of the day differ from the attempts."""
    known_e10 = books.number("SELECT sum(cost_e10) FROM attempts")
    held = "SELECT sum(CASE kind WHEN 'hold' THEN amount_e10 ELSE -amount_e10 END) FROM entries"
    held_e10 = books.number(f"{held} WHERE kind <> 'charge'")
    expected_e10 = books.number(
        "SELECT sum(estimate_e10) FROM attempts WHERE cost_e10 IS NULL AND state <> 'unsent'"
    )
    for what, found, expected in (
        (
            "charges",
            books.number("SELECT sum(amount_e10) FROM entries WHERE kind='charge'"),
            known_e10,
        ),
        ("held", held_e10, expected_e10),
        ("days", books.number(f"SELECT sum(charged_e10) {_BY_MODEL}"), known_e10),
        ("days held", books.number(f"SELECT sum(held_e10) {_BY_MODEL}"), expected_e10),
    ):
        if found != expected:
            yield f"{what}: {found}, the attempts say {expected}"


_BY_MODEL = "FROM spend_days WHERE dimension = 'model'"

"""Limits of keys and teams: requests and images a minute, calls in flight; counted on admission.

A minute is the clock's. What is in flight is counted from the calls themselves, so that no crash
leaves a wrong number behind.
"""

from collections.abc import Sequence
from itertools import chain

from msgspec import Struct
from sqlalchemy import Connection

from imagegate.ledger import money_schema as schema
from imagegate.ledger.execute import Rows, execute, execute_many
from imagegate.ledger.records import Admit, Limit, RateDeniedError

MINUTE_S = 60
IN_FLIGHT_RETRY_S = 5.0


class _Rate(Struct):
    """What a subject did in this minute, and how many of its calls are under way."""

    subject: str
    minute: int
    requests: int = 0
    images: int = 0
    in_flight: int = 0
    is_changed: bool = False


class Rates:
    """The counters of one group."""

    def __init__(self, connection: Connection, now_s: float) -> None:
        self._connection = connection
        self._now_s = now_s
        self._minute = int(now_s // MINUTE_S)
        self._left_s = (self._minute + 1) * MINUTE_S - now_s
        self._rates: dict[str, _Rate] = {}
        self._minutes: Rows = ()
        self._in_flight: list[Rows] = []

    def ask(self, admissions: Sequence[Admit]) -> None:
        """Ask what the subjects of the admissions' limits did so far, for `load`."""
        limits = [limit for one in admissions for limit in one.limits]
        if not limits:
            return
        subjects = {limit.subject for limit in limits}
        self._rates = {name: _Rate(name, self._minute) for name in subjects}
        parameters = {"b_subjects": sorted(subjects)}
        self._minutes = execute(self._connection, schema.SELECT_RATES, parameters)
        self._ask_in_flight([one for one in admissions if _counts_in_flight(one)])

    def load(self) -> None:
        """Take what was asked for."""
        for name, minute, requests, images in self._minutes:
            if minute == self._minute:
                self._rates[name] = _Rate(name, minute, requests, images)
        for team, key, count in chain.from_iterable(self._in_flight):
            self._add_in_flight(f"team:{team}", count)
            self._add_in_flight(f"key:{key}", count)

    def take(self, admission: Admit) -> None:
        """Count a call. Raises `RateDeniedError` where it is one too many; then it counts not."""
        for limit in admission.limits:
            self._check(limit, self._rates[limit.subject], admission.images)
        for limit in admission.limits:
            rate = self._rates[limit.subject]
            rate.requests += 1
            rate.images += admission.images
            rate.in_flight += 1
            rate.is_changed |= _counts_minutes(limit)

    def write(self) -> None:
        """Write the counters that changed."""
        rows = [rate for rate in self._rates.values() if rate.is_changed]
        if rows:
            execute_many(self._connection, schema.PUT_RATE, rows)

    def _ask_in_flight(self, admissions: Sequence[Admit]) -> None:
        """Count what is under way, by teams, and by keys where there is none."""
        teams = {one.call.team_id for one in admissions if one.call.team_id}
        keys = {one.call.key_id for one in admissions if not one.call.team_id and one.call.key_id}
        for statement, names in (
            (schema.SELECT_IN_FLIGHT_OF_TEAMS, teams),
            (schema.SELECT_IN_FLIGHT_WITHOUT_TEAM, keys),
        ):
            if names:
                parameters = {"b_ids": sorted(names), "b_now": self._now_s}
                self._in_flight.append(execute(self._connection, statement, parameters))

    def _add_in_flight(self, subject: str, count: int) -> None:
        if subject in self._rates:
            self._rates[subject].in_flight += count

    def _check(self, limit: Limit, rate: _Rate, images: int) -> None:
        """Raise where one call for `images` is more than `limit` allows now."""
        whose = limit.subject
        if limit.calls_in_flight is not None and rate.in_flight >= limit.calls_in_flight:
            raise RateDeniedError(
                f"{whose} has {rate.in_flight} calls in flight, which is its limit.",
                IN_FLIGHT_RETRY_S,
            )
        if limit.requests_per_minute is not None and rate.requests >= limit.requests_per_minute:
            raise RateDeniedError(
                f"{whose} has made {rate.requests} requests in this minute, which is its limit.",
                self._left_s,
            )
        images_max = limit.images_per_minute
        if images_max is not None and rate.images + images > images_max:
            raise RateDeniedError(
                f"{whose} has asked for {rate.images} images in this minute and may ask for "
                f"{images_max}; this call is for {images}.",
                self._left_s,
            )


def _counts_minutes(limit: Limit) -> bool:
    return limit.requests_per_minute is not None or limit.images_per_minute is not None


def _counts_in_flight(admission: Admit) -> bool:
    return any(limit.calls_in_flight is not None for limit in admission.limits)

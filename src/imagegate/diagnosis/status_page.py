"""Reads the JSON of a status page as Statuspage and its likes give it. Pure."""

import datetime

from msgspec import Struct

from imagegate.types import Json

WINDOW = datetime.timedelta(hours=6)
INCIDENTS_MAX = 20
_TEXT_CHARS_MAX = 120


class Incident(Struct, frozen=True):
    """What a provider tells of itself. `until` is `""` while it lasts; times as they were given."""

    name: str
    since: str
    until: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """One line of it."""
        until = f", until {self.until}" if self.until else ", not over yet"
        return f"{self.name} (since {self.since}{until})"


def read_incidents(page: Json, now: datetime.datetime) -> tuple[Incident, ...] | None:
    """Return the incidents that last, or ended within the last six hours; None for no such page."""
    entries = page.get("incidents") if isinstance(page, dict) else None
    if not isinstance(entries, list):
        return None
    read = (_read(entry) for entry in entries[:INCIDENTS_MAX] if isinstance(entry, dict))
    return tuple(one for one in read if one.name and _is_near(one, now))


def _read(entry: dict[str, Json]) -> Incident:
    since = entry.get("started_at") or entry.get("created_at")
    return Incident(
        _text(entry.get("name")),
        _text(since),
        _text(entry.get("resolved_at")),
        _text(entry.get("shortlink")),
    )


def _text(value: Json) -> str:
    return value[:_TEXT_CHARS_MAX] if isinstance(value, str) else ""


def _is_near(incident: Incident, now: datetime.datetime) -> bool:
    if not incident.until:
        return True
    try:
        ended = datetime.datetime.fromisoformat(incident.until)
    except ValueError:
        return False
    if ended.tzinfo is None:
        ended = ended.replace(tzinfo=datetime.UTC)
    return now - ended <= WINDOW

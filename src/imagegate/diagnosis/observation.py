"""`Observation`: what is known of one failure. What it means is a `Finding` (errors.py)."""

import datetime
from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.types import Json

Confidence: TypeAlias = Literal["high", "medium", "low"]


class Observation(Struct, frozen=True, kw_only=True):
    """One failed request as it was seen; whatever is not known stays empty.

    `status` is 0 where no HTTP answer came. Header names are in lower case. `sent` holds names
    and scalars of the request, never a prompt or an image. `exception` is the class that the
    client raised, `provider` the surface where whoever called it knows it, `key_prefix` the first
    characters of the key that was sent. `today` is the day of the failure.
    """

    status: int = 0
    headers: Mapping[str, str] = {}
    body: str = ""
    url: str = ""
    elapsed_s: float | None = None
    client: str = ""
    sent: Mapping[str, Json] = {}
    exception: str = ""
    provider: str = ""
    key_prefix: str = ""
    today: datetime.date | None = None

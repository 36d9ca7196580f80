"""`Prefer` (RFC 7240): how long a caller waits for its answer before it comes back for it later."""

import math
import re
from collections.abc import Mapping

from msgspec import Struct
from starlette.types import Scope

from imagegate.errors import BadRequestError
from imagegate.gateway.channel import Headers
from imagegate.types import ImageCall

WAIT_S_MAX = 3600.0
_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?')


class Preference(Struct, frozen=True):
    """A caller that is told where its answer will be unless it is there within `wait_s`.

    `is_async`: it said `respond-async`; `wait_s` is None where it named no time.
    """

    is_async: bool
    wait_s: float | None

    @property
    def applied(self) -> Headers:
        """The header that says which preferences decided the answer."""
        named = ["respond-async"] * self.is_async
        named += [] if self.wait_s is None else [f"wait={self.wait_s:.0f}"]
        return [(b"preference-applied", ", ".join(named).encode())]

    def check(self, call: ImageCall) -> None:
        """Raise `BadRequestError` for a call whose answer cannot come later."""
        if call.stream:
            raise BadRequestError(
                "A stream is read as it is made, so it cannot be answered later. Leave out "
                "'stream', or the header Prefer; progress of a later answer is at "
                "/v1/images/calls/{id}/events.",
                param="stream",
            )


def read_preference(scope: Scope, headers: Mapping[bytes, bytes]) -> Preference | None:
    """Return what `Prefer` asks of us, None where that is nothing; others' words are passed over.

    Raises `BadRequestError` where `wait` is no number of seconds.
    """
    if b"prefer" not in headers:
        return None
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"prefer"]
    words = [word.partition(";")[0].strip().lower() for word in ",".join(values).split(",")]
    waits = [_wait_s(word) for word in words if word.partition("=")[0].strip() == "wait"]
    is_async = "respond-async" in words
    if not (waits or is_async):
        return None
    return Preference(is_async, waits[0] if waits else None)


def _wait_s(word: str) -> float:
    found = _WAIT.fullmatch(word)
    if found is None:
        raise BadRequestError(
            f"The header Prefer says {word[:40]!r}; give whole seconds, as in 'wait=20'.",
            param="Prefer",
        )
    return math.floor(min(float(found[1]), WAIT_S_MAX))

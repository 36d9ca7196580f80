"""Calls with an idempotency key: within one client the same key gets the same answer.

The answer is not copied: a place at the call is held, so that its files stay in the spool.
"""

from collections import OrderedDict
from contextlib import ExitStack
from typing import TYPE_CHECKING

from imagegate.errors import BadRequestError

if TYPE_CHECKING:
    from imagegate.call_options import AttachTerms
    from imagegate.client.pool import Entry
    from imagegate.running import RunningCall

KEYS_MAX = 256
KEY_CHARS_MAX = 255


class KeyedCalls:
    """The last `KEYS_MAX` calls of one client that had a key and may have bought something."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def candidate_of(self, key: str) -> int:
        """Return which of a request's candidates has the call of this key; 0 where none has."""
        kept = self._kept.get(key)
        return kept.candidate if kept else 0

    def check(self, terms: "AttachTerms") -> None:
        """Raise `UnprocessableEntityError` where the key was used for another request."""
        from imagegate.attach import check_same

        kept = self._kept.get(terms.key)
        if kept is not None:
            check_same(kept.terms.fingerprint, terms)

    def keep(self, entry: "Entry", call_id: str, terms: "AttachTerms", candidate: int) -> None:
        """Hold the answer of a call that runs, unless it is held already."""
        kept = self._kept.get(terms.key)
        work = entry.runtime.pipeline.desk.works.get(call_id)
        if work is None or (kept is not None and kept.place.id == call_id):
            return
        if kept is not None:
            self._let_go(terms.key, kept)
        kept = self._kept[terms.key] = _Kept(entry, work.watch(), terms, candidate)
        kept.place.on_end(lambda: self._look_at(terms.key, kept))
        while len(self._kept) > KEYS_MAX:
            self._let_go(*next(iter(self._kept.items())))

    def _look_at(self, key: str, kept: "_Kept") -> None:
        """Let go of a call that bought nothing and might go better the next time."""
        error = kept.place.error
        if error is not None and error.fault in ("moment", "deployment"):
            self._let_go(key, kept)

    def _let_go(self, key: str, kept: "_Kept") -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]
        kept.close()


class _Kept:
    """A place at a call; its runtime stays open as long."""

    def __init__(
        self, entry: "Entry", place: "RunningCall", terms: "AttachTerms", candidate: int
    ) -> None:
        self.place = place
        self.terms = terms
        self.candidate = candidate
        self._use = ExitStack()
        self._use.enter_context(entry.in_use())

    def close(self) -> None:
        self._use.close()
        self.place.release()


def read_key(value: object) -> str:
    """Return the key that a caller gave, `""` for none. Raises `BadRequestError`."""
    if value is None:
        return ""
    key = value.strip() if isinstance(value, str) else ""
    if 0 < len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable():
        return key
    raise BadRequestError(
        f"idempotency_key takes 1 to {KEY_CHARS_MAX} printable ASCII characters",
        param="idempotency_key",
    )

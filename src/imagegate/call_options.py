"""What a caller may say about the handling of a call, and by what it may join another's."""

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from imagegate.fingerprint import with_guardrails
from imagegate.ledger.people import OPERATOR, Account
from imagegate.trace import Trace, identifier
from imagegate.types import AdjustPolicy, ImageCall

HasLeft: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class AttachTerms(Struct, frozen=True):
    """What decides whether a request is one that was made before.

    `holder` is who may share its calls, `fingerprint` what it asks for, `key` its
    `Idempotency-Key` (`""`: none). `is_retry`: its client says that it sent it before; `is_new`:
    its caller wants another image, whatever was made before.
    """

    fingerprint: str
    holder: str = ""
    key: str = ""
    is_retry: bool = False
    is_new: bool = False

    @property
    def scoped_key(self) -> str:
        """The key as the ledger has it, `""` for none; two holders never share one.

        A hash: whatever a caller puts into that header, it is in no row.
        """
        if not self.key:
            return ""
        return hashlib.sha256(f"{self.holder}/{self.key}".encode()).hexdigest()


class CallOptions(Struct, frozen=True):
    """What a caller may say about the handling of a call; None: the operator's choice.

    `max_cost_e10` is in 1e-10 USD; `timeout_s` how long the caller waits. `trace` is what was
    noted before the call was read; `guardrails` are further ones for this call, by name.
    `retries_max` counts up to what the operator allows; `fallbacks` are model groups instead of the
    operator's. `has_left` waits until the caller has gone, None where nobody can tell. Without
    `attach` every call is a new one. `account` is who calls. `is_later`: the caller is told an id
    as soon as the call is written down, and does not wait for its turn.
    """

    adjust: AdjustPolicy | None = None
    max_cost_e10: int | None = None
    timeout_s: float | None = None
    end_user: str = ""
    trace: Trace | None = None
    guardrails: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    retries_max: int | None = None
    fallbacks: tuple[str, ...] | None = None
    has_left: HasLeft | None = None
    attach: AttachTerms | None = None
    account: Account = OPERATOR
    is_later: bool = False

    @property
    def all_tags(self) -> tuple[str, ...]:
        """The tags of the key and of the request, each once."""
        tags = (*self.account.tags, *self.tags)
        return tuple(dict.fromkeys(tags)) if tags else ()

    def waiting(self) -> "CallOptions":
        """Return the options of a call that waits for its turn though its caller does not."""
        return replace(self, has_left=None, timeout_s=None)


def end_user_of(call: ImageCall, options: CallOptions) -> str:
    """Return the person behind the caller, as far as the caller says; "" where it does not."""
    given = options.end_user or call.safety_identifier or call.user or ""
    return identifier(given) if given else ""


def apart_by_guardrails(
    options: CallOptions, guardrails: Sequence[str], end_user: str
) -> CallOptions:
    """Return the options by whose terms only calls are joined that met the same guardrails."""
    if options.attach is None or not guardrails:
        return options
    text = with_guardrails(options.attach.fingerprint, [*guardrails, end_user])
    return replace(options, attach=replace(options.attach, fingerprint=text))

"""Messages that tell how calls ended: their rows, and the commands that write them.

A row is there before its caller is told that there will be a message, and says when the next try
is due; so messages outlive the process, and are delivered at least once.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

WebhookState: TypeAlias = Literal["waiting", "delivered", "given_up"]


class WebhookRecord(Struct, frozen=True, kw_only=True):
    """A message about one call to one url; `id` is its `webhook-id`, the same in each try.

    `holder` is whose key signs it. `tries` counts those begun, the next is due at `due_at`.
    `error_text` says why the last one failed.
    """

    id: str
    call_id: str
    url: str
    holder: str
    state: WebhookState = "waiting"
    tries: int = 0
    due_at: float
    created_at: float
    ended_at: float | None = None
    error_text: str = ""


class AddWebhook(Struct, frozen=True):
    """A new message; one that is there already stays as it is."""

    webhook: WebhookRecord


class ChangeWebhook(Struct, frozen=True):
    """What becomes of a message that waits and was tried `tries` times.

    Raises `ConflictError` where another process was here before.
    """

    webhook: WebhookRecord
    tries: int


class HastenWebhooks(Struct, frozen=True):
    """All messages that wait are due at `due_at` at the latest."""

    due_at: float


WebhookCommand: TypeAlias = AddWebhook | ChangeWebhook | HastenWebhooks

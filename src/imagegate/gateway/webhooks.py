"""Webhooks as callers meet them: where a call is told of, and the secret that proves who tells."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate.errors import BadRequestError, OverloadedError
from imagegate.gateway.prefer import Preference
from imagegate.ledger.people import Account
from imagegate.ledger.records import LedgerError
from imagegate.ledger.webhooks import WebhookRecord
from imagegate.running import RunningCall
from imagegate.runtime.webhooks import Courier
from imagegate.transport.addresses import UrlRefusedError
from imagegate.types import Json

HEADER = "x-imagegate-webhook"
_HEADER = HEADER.encode()


async def get_secret(request: Request) -> JSONResponse:
    """Return the secret by which the messages of the caller's team, or of its key, are signed."""
    courier = _checked(request.app.state.gateway.runtime.courier)
    secret = courier.secret_of(holder_of(request.state.account))
    return JSONResponse({"secret": secret}, headers={"cache-control": "no-store"})


def holder_of(account: Account) -> str:
    """Return whose messages these are: a team's, else a key's, else the operator's."""
    return account.team_id or account.key_id or ""


def read_url(
    headers: Mapping[bytes, bytes],
    courier: Courier | None,
    account: Account,
    preference: Preference | None,
) -> str:
    """Return where a call is told of: the header's url, else the operator's for later answers.

    `""` for nowhere. Raises `BadRequestError` where the header's url is never posted to.
    """
    if _HEADER not in headers:
        if preference is None or courier is None or not courier.settings.is_on:
            return ""
        return courier.settings.url_for(account.key_id, account.team_id)
    url = headers[_HEADER].decode("latin-1").strip()
    try:
        _checked(courier).check(url)
    except UrlRefusedError as error:
        raise BadRequestError(
            f"The url in {HEADER} is not called: {error}. Give a public https url.", param=HEADER
        ) from error
    return url


async def promise_message(
    courier: Courier | None, running: RunningCall, url: str, account: Account
) -> None:
    """Note that a call is told of. Raises where that is not sure; the call goes on all the same."""
    try:
        await _checked(courier).add(running, url, holder_of(account))
    except LedgerError as error:
        running.abandon()
        failed = OverloadedError(
            f"The call has begun, and its webhook could not be noted ({error}). Send the same "
            "request again to join it, or look at the call.",
            code="ledger_unavailable",
        )
        failed.call_id = running.id
        raise failed from error


def webhook_fields(webhook: WebhookRecord) -> dict[str, Json]:
    """Return what a call's owner is told of a message."""
    return {
        "id": webhook.id,
        "url": webhook.url,
        "state": webhook.state,
        "tries": webhook.tries,
        "due_at": webhook.due_at if webhook.state == "waiting" else None,
        "error": webhook.error_text or None,
    }


def _checked(courier: Courier | None) -> Courier:
    if courier is None or not courier.settings.is_on:
        raise BadRequestError(
            "This gateway sends no webhooks: its operator has to set webhooks.secret. Poll the "
            "call instead.",
            param=HEADER,
            code="webhooks_off",
        )
    return courier

"""Around each admin route: a request id, and a log line for each change, also a refused one.

What was changed is in the ledger's audit log (`desk.py`); a refusal changed nothing and is told
here only.
"""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from imagegate import clock, telemetry
from imagegate.errors import ImageError
from imagegate.gateway.errors import error_response

REQUEST_ID = "x-request-id"

logger = logging.getLogger(telemetry.LOGGER)

Handler = Callable[[Request], Awaitable[Response]]


def audited(method: str, path: str, handle: Handler) -> Handler:
    """Return the handler of an admin route with its request id and its line in the log."""

    async def handle_and_tell(request: Request) -> Response:
        request.state.action = f"{method} {path}"
        request.state.request_id = clock.new_id("req")
        status = 500
        try:
            response = await handle(request)
            status = response.status_code
        except ImageError as error:
            response = error_response(error, request)
            status = error.http_status
        finally:
            if method != "GET":
                _tell(request, method, path, status)
        response.headers[REQUEST_ID] = request.state.request_id
        return response

    return handle_and_tell


def _tell(request: Request, method: str, path: str, status: int) -> None:
    account = getattr(request.state, "account", None)
    told = {"method": method, "route": path, "status": status}
    told["subject"] = "/".join(map(str, request.path_params.values()))
    told["request_id"] = request.state.request_id
    if account is not None:
        told |= {"role": account.role, "key_id": account.key_id or "master"}
    logger.info(telemetry.ADMIN_ACTION, extra=told)

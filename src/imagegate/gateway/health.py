"""Whether the process lives (`/healthz`) and takes calls (`/readyz`)."""

from starlette.requests import Request
from starlette.responses import JSONResponse


async def healthz(_request: Request) -> JSONResponse:
    """Return 200 as long as the event loop turns."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Return 200 where calls are taken, else 503 and why not.

    `config` is there where the newest configuration has faults and the one before it is served.
    """
    gateway = request.app.state.gateway
    reason = gateway.unready_reason
    told = {"status": reason or "ready"}
    if gateway.reloader is not None and gateway.reloader.is_refused:
        told["config"] = "refused"
    return JSONResponse(told, status_code=503 if reason else 200)

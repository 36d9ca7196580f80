"""Whether the process lives (`/healthz`) and takes calls (`/readyz`)."""

from starlette.requests import Request
from starlette.responses import JSONResponse


async def healthz(_request: Request) -> JSONResponse:
    """Return 200 as long as the event loop turns."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Return 200 where calls are taken, 503 while the process drains."""
    if request.app.state.gateway.is_draining:
        return JSONResponse({"status": "draining"}, status_code=503)
    return JSONResponse({"status": "ready"})

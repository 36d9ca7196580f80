"""`POST /v1/images/preview`: what a call would become at each deployment, without spending."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.gateway import intake
from imagegate.gateway.options import read_options
from imagegate.preview import plain_previews, preview_call
from imagegate.runtime.snapshot import Snapshot


async def preview(request: Request) -> Response:
    """Return the upstream request, the adjustments and the price of each deployment.

    The body is that of a generation or an edit; one with inputs is taken as an edit.
    """
    runtime: Snapshot = request.app.state.gateway.runtime.snapshot
    headers = dict(request.headers.raw)
    spool = runtime.spool.open_call(clock.new_id("call"))
    try:
        incoming = intake.Request(headers, request.receive, None, "")
        call = await intake.Intake(runtime).read_call(incoming, spool)
        options = read_options(headers, request.state.account)
        previews = await preview_call(call, runtime.settings, options, spool, runtime.tools.worker)
        return JSONResponse(
            {
                "object": "image.preview",
                "model": call.model,
                "operation": call.operation,
                "deployments": plain_previews(previews),
            }
        )
    finally:
        spool.close()

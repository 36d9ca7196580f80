"""`POST /v1/images/preview`: what a call would become at each deployment, without spending.

Nothing is sent, so no guardrail is asked; those that the call would meet are named.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.call_options import CallOptions
from imagegate.candidates import group_of
from imagegate.gateway import intake
from imagegate.gateway.connection import connection_of
from imagegate.gateway.options import read_options
from imagegate.gateway.overrides import take_overrides
from imagegate.preview import plain_previews, preview_call
from imagegate.runtime.snapshot import Snapshot
from imagegate.trace import Trace
from imagegate.types import ImageCall


async def preview(request: Request) -> Response:
    """Return the upstream request, the adjustments and the price of each deployment.

    The body is that of a generation or an edit; one with inputs is taken as an edit.
    """
    runtime: Snapshot = request.app.state.gateway.runtime.snapshot
    headers = dict(request.headers.raw)
    spool = runtime.spool.open_call(clock.new_id("call"))
    try:
        incoming = intake.Request(headers, connection_of(request.scope), None, "")
        call = await intake.Intake(runtime).read_call(incoming, spool)
        options = read_options(headers, request.state.account)
        call, options = take_overrides(call, headers, options, runtime.settings)
        call, guardrails = _guardrails(call, options, runtime)
        previews = await preview_call(call, runtime.settings, options, spool, runtime.tools.worker)
        return JSONResponse(
            {
                "object": "image.preview",
                "model": call.model,
                "operation": call.operation,
                "guardrails": list(guardrails),
                "deployments": plain_previews(previews),
            }
        )
    finally:
        spool.close()


def _guardrails(
    call: ImageCall, options: CallOptions, runtime: Snapshot
) -> tuple[ImageCall, tuple[str, ...]]:
    """Return the call without what it says of guardrails, and the names of those it meets."""
    trace = Trace(call.id)
    trace.belong(options.account.key_id, options.account.team_id)
    group = group_of(call.model, runtime.settings)
    call, guard = runtime.tools.guards.choose(call, options.guardrails, trace, "", group)
    return call, guard.names

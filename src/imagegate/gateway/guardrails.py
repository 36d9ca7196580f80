"""`POST /admin/guardrails/{name}/test`: what a guardrail says of texts or images, without a call.

The body is that of a generation or an edit, as JSON or as a form. `?stage=output` shows its images
as having come out.
"""

from typing import get_args

from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate import clock
from imagegate.errors import BadRequestError
from imagegate.gateway import intake
from imagegate.gateway.connection import connection_of
from imagegate.guardrails.subject import Stage, trial_of
from imagegate.runtime.snapshot import Snapshot

STAGES: tuple[Stage, ...] = get_args(Stage)
SHOWN = ("guardrail", "mode", "action", "category")


async def test_guardrail(request: Request) -> JSONResponse:
    """Return the verdict. Raises `BadRequestError` for another body or an unknown name."""
    runtime: Snapshot = request.app.state.gateway.runtime.snapshot
    stage = _stage(request.query_params.get("stage", "input"))
    spool = runtime.spool.open_call(clock.new_id("call"))
    try:
        connection = connection_of(request.scope)
        incoming = intake.Request(dict(request.headers.raw), connection, None, "a-trial")
        call = await intake.Intake(runtime).read_call(incoming, spool)
        name = request.path_params["name"]
        verdict = await runtime.tools.guards.test(name, trial_of(call, stage))
    finally:
        spool.close()
    return JSONResponse({name: getattr(verdict, name) for name in SHOWN})


def _stage(text: str) -> Stage:
    for stage in STAGES:
        if stage == text:
            return stage
    raise BadRequestError(f"stage is one of {', '.join(STAGES)}.", param="stage")

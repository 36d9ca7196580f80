"""`POST /admin/guardrails/{name}/test`: what a guardrail says of a prompt, without a call."""

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate import clock
from imagegate.errors import BadRequestError
from imagegate.guardrails.subject import Subject

BODY_BYTES_MAX = 256 * 1024


class Trial(Struct, forbid_unknown_fields=True):
    """What a guardrail is tried on."""

    prompt: str


async def test_guardrail(request: Request) -> JSONResponse:
    """Return the verdict. Raises `BadRequestError` for another body or an unknown name."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadRequestError(f"The body is over {BODY_BYTES_MAX} bytes.", param="prompt")
    try:
        trial = msgspec.json.decode(body, type=Trial)
    except msgspec.DecodeError as error:
        raise BadRequestError('Send {"prompt": "..."}.', param="prompt") from error
    call_id = clock.new_id("call")
    subject = Subject(stage="input", call_id=call_id, texts={"prompt": trial.prompt})
    guards = request.app.state.gateway.runtime.tools.guards
    verdict = await guards.test(request.path_params["name"], subject)
    names = ("guardrail", "mode", "action", "category")
    return JSONResponse({name: getattr(verdict, name) for name in names})

"""`GET /v1/models`: the model groups that this gateway serves, in OpenAI's shape."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate.candidates import deployments_of, group_of, served_names
from imagegate.config.retirement import shutdown_of
from imagegate.config.settings import Settings
from imagegate.errors import NotFoundError
from imagegate.ledger.permissions import may_use
from imagegate.types import Json


async def list_models(request: Request) -> JSONResponse:
    """Return every name that the caller may give as its model."""
    settings = request.app.state.gateway.runtime.settings
    account = request.state.account
    names = (name for name in served_names(settings) if may_use(group_of(name, settings), account))
    models = [describe(name, settings) for name in names]
    return JSONResponse({"object": "list", "data": models})


async def get_model(request: Request) -> JSONResponse:
    """Return one model group. Raises `NotFoundError` where the key may not use such a one."""
    settings, name = request.app.state.gateway.runtime.settings, request.path_params["id"]
    if not may_use(group_of(name, settings), request.state.account):
        raise NotFoundError(f"No model {name!r} is served to this key.", param="model", model=name)
    return JSONResponse(describe(name, settings))


def describe(name: str, settings: Settings) -> Json:
    """Return OpenAI's model object for a model group or an alias of one.

    `shutdown_date` is there where an end is known of each of its deployments: the last one's.
    """
    deployments = deployments_of(name, settings)
    provider = deployments[0].provider.name
    model = {"id": name, "object": "model", "created": 0, "owned_by": provider}
    days = [shutdown_of(deployment) for deployment in deployments]
    known = [day for day in days if day is not None]
    ends = {"shutdown_date": max(known).isoformat()} if len(known) == len(days) else {}
    return model | ends

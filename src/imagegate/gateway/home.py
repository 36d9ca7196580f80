"""`GET /`: where things are, for the one who opens the address in a browser."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate.types import Json

PLACES: Json = {
    "name": "imagegate",
    "what": "one OpenAI-compatible door to every image model",
    "base_url": "/v1",
    "images": ["/v1/images/generations", "/v1/images/edits", "/v1/images/variations"],
    "responses": "/v1/responses",
    "models": "/v1/models",
    "openapi": "/openapi.json",
    "health": ["/healthz", "/readyz"],
}


async def home(_request: Request) -> JSONResponse:
    """Return the addresses of everything served here."""
    return JSONResponse(PLACES)

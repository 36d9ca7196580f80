"""`GET /openapi.json`: the API as OpenAPI 3.1, made from the types that the calls become."""

from functools import cache
from importlib.metadata import version
from typing import get_args

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from imagegate.catalogue.known_models import KnownImageModel
from imagegate.errors import Finding
from imagegate.gateway.diagnose import Failure
from imagegate.gateway.openapi_admin import admin_paths, admin_schemas
from imagegate.types import ImageCall, Json, Usage

_OVERRIDES: dict[str, Json] = {
    "timeout": {"type": "number", "description": "seconds until the caller gets 504"},
    "num_retries": {"type": "integer", "minimum": 0},
    "fallbacks": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
    "disable_fallbacks": {"type": "boolean"},
}
_NOT_FIELDS = ("id", "operation", "images", "mask", "markup", "extra")
_INPUT: Json = {
    "type": "object",
    "properties": {
        "image_url": {"type": "string", "description": "an https or data url"},
        "file_id": {"type": "string", "description": "a file that the provider holds already"},
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_REFERENCES = "#/components/schemas/{name}"
_EVENTS: Json = {"text/event-stream": {"schema": {"type": "string"}}}
_FILE: Json = {"type": "string", "format": "binary"}
_IMAGE_TOOL: Json = {
    "type": "object",
    "description": "a tool; the image tool names in `model` an image model of this gateway",
    "properties": {"type": {"type": "string"}, "model": {"type": "string"}},
    "required": ["type"],
}
_RESPONSES_CALL: Json = {
    "type": "object",
    "description": "OpenAI's request; fields that are not listed are passed on as they are",
    "properties": {
        "model": {"type": "string", "description": "a text model of this gateway"},
        "input": {"type": ["string", "array"]},
        "tools": {"type": "array", "items": _IMAGE_TOOL},
        "max_output_tokens": {"type": "integer", "description": "bounds what is set aside"},
        "max_tool_calls": {"type": "integer", "description": "bounds what is set aside"},
        "stream": {"type": "boolean"},
    },
    "required": ["model"],
}
_OPERATIONS = {
    "generations": "Make images from a prompt",
    "edits": "Make images from images and a prompt",
    "variations": "Make images like an image",
}


async def document(_request: Request) -> JSONResponse:
    """Return the description of the API."""
    return JSONResponse(build_document())


@cache
def build_document() -> Json:
    """Return the OpenAPI document."""
    schemas = {
        "GenerateCall": {"type": "object", "properties": call_properties(), "required": ["prompt"]},
        "EditCall": _edit_schema(),
        "EditForm": _form_schema(),
        "VariationForm": _form_schema(),
        "ImagesResponse": _answer_schema(),
        "ErrorResponse": _error_schema(),
        "ResponsesCall": _RESPONSES_CALL,
        "Call": _call_schema(),
        **msgspec.json.schema_components([Usage, Failure, Finding], ref_template=_REFERENCES)[1],
        **admin_schemas(),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "imagegate", "version": version("imagegate")},
        "paths": _paths() | admin_paths(),
        "webhooks": {"callEnded": {"post": _message_operation()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
        "security": [{"bearer": []}, {"apiKey": []}],
    }


def call_properties() -> dict[str, Json]:
    """Return the schema of each field of an image call that a caller may write."""
    fields = {
        field.name: msgspec.json.schema(field.type)
        for field in msgspec.structs.fields(ImageCall)
        if field.name not in _NOT_FIELDS
    }
    known = {"type": "string", "examples": list(get_args(KnownImageModel))}
    fields["model"] = known | {"description": "a model group of this gateway"}
    fields["n"] |= {"minimum": 1, "maximum": 10}
    return fields | _OVERRIDES


def _edit_schema() -> Json:
    images = {"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 16}
    properties = call_properties() | {"images": images, "mask": _INPUT}
    return {"type": "object", "properties": properties, "required": ["images"]}


def _form_schema() -> Json:
    files = {"image": _FILE, "image[]": {"type": "array", "items": _FILE}, "mask": _FILE}
    return {"type": "object", "properties": call_properties() | files | {"markup": _FILE}}


def _answer_schema() -> Json:
    image = {
        "type": "object",
        "properties": {
            "b64_json": {"type": "string", "contentEncoding": "base64"},
            "url": {"type": "string", "description": "signed, where response_format is url"},
            "revised_prompt": {"type": "string"},
        },
    }
    texts = ("size", "quality", "background", "output_format")
    properties: dict[str, Json] = {name: {"type": "string"} for name in texts}
    properties |= {"created": {"type": "integer"}, "data": {"type": "array", "items": image}}
    properties["usage"] = {"$ref": _REFERENCES.format(name="Usage")}
    return {"type": "object", "properties": properties, "required": ["created", "data"]}


def _call_schema() -> Json:
    """Return what is told of a call; `result` and `error` only where it has ended."""
    text, nullable = {"type": "string"}, {"type": ["string", "null"]}
    number, count = {"type": ["number", "null"]}, {"type": "integer"}
    rows = {"type": "array", "items": {"type": "object"}}
    names = ("attempts", "adjustments", "guardrails", "images", "webhooks")
    progress = {
        "phase": {"enum": ["waiting", "sent"]},
        "images_asked": count,
        "partial_images": count,
    }
    properties: dict[str, Json] = dict.fromkeys(("id", "object", "operation", "model"), text)
    properties["state"] = {"enum": ["running", "done", "failed", "unknown"]}
    properties |= dict.fromkeys(("created_at", "finished_at", "delivered_at"), number)
    properties |= {"cost": text, "error_code": nullable, "end_user": nullable}
    properties |= {f"{name}_count": count for name in ("image", "attempt", "held")}
    properties["progress"] = {"type": ["object", "null"], "properties": progress}
    properties |= dict.fromkeys(names, rows)
    properties["result"] = {"$ref": _REFERENCES.format(name="ImagesResponse")}
    properties["error"] = {"type": "object"}
    return {"type": "object", "properties": properties, "required": ["id", "state"]}


def _error_schema() -> Json:
    nullable = {"type": ["string", "null"]}
    fields: dict[str, Json] = {"message": {"type": "string"}, "type": {"type": "string"}}
    told = {name: {"type": "string"} for name in ("call_id", "fault", "owner", "doc_url")}
    told |= {"attempts": {"type": "array"}, "finding": {"$ref": _REFERENCES.format(name="Finding")}}
    fields |= {"imagegate": {"type": "object", "properties": told}}
    error = {"type": "object", "properties": fields | {"param": nullable, "code": nullable}}
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _paths() -> Json:
    paths: dict[str, Json] = {
        f"/v1/images/{name}": {"post": _image_operation(name, summary)}
        for name, summary in _OPERATIONS.items()
    }
    paths["/v1/images/preview"] = {"post": _preview_operation()}
    signed = [_parameter(name, "query", required=True) for name in ("expires", "signature")]
    paths["/v1/images/assets/{name}"] = {
        "get": _get("getAsset", "Fetch an image by its signed url", {"image/*": {}})
        | {"parameters": [_parameter("name", "path", required=True), *signed], "security": []}
    }
    paths |= _call_paths() | _review_paths()
    paths["/v1/responses"] = {"post": _responses_operation()}
    paths["/v1/diagnose"] = {"post": _diagnose_operation()}
    paths["/v1/models"] = {"get": _get("listModels", "List the models that are served")}
    paths["/v1/models/{id}"] = {
        "get": _get("getModel", "Describe one model")
        | {"parameters": [_parameter("id", "path", required=True)]}
    }
    paths["/healthz"] = {"get": _get("healthz", "Say that the process lives") | {"security": []}}
    ready = _get("readyz", "Say whether calls are taken")
    ready["responses"] |= {"503": {"description": "not now, and why"}}
    paths["/readyz"] = {"get": ready | {"security": []}}
    return paths


def _call_paths() -> dict[str, Json]:
    by_id = _parameter("id", "path", required=True)
    index = _parameter("index", "path", required=True)
    page = [_parameter(name, "query") for name in ("limit", "before", "state")]
    listing = _get("listCalls", "List calls, the newest first") | {"parameters": page}
    call = {"application/json": _ref("Call")}
    told = _get("getCall", "Tell what became of a call, with its result or its error", call)
    events = _get("watchCall", "Follow a call until it has ended", _EVENTS)
    cancelled = _get("cancelCall", "Take a call back that was not sent yet", call)
    cancelled["responses"] |= {"409": _error("it was sent, or has ended")}
    secret = _get("getWebhookSecret", "Tell the secret by which webhooks are signed")
    image = _get("getCallImage", "Fetch an image of a call", {"image/*": {}})
    return {
        "/v1/images/calls": {"get": listing},
        "/v1/images/calls/{id}": {
            "get": told
            | {"parameters": [by_id, _parameter("result", "query"), _parameter("Prefer", "header")]}
        },
        "/v1/images/calls/{id}/images/{index}": {"get": image | {"parameters": [by_id, index]}},
        "/v1/images/calls/{id}/events": {"get": events | {"parameters": [by_id]}},
        "/v1/images/calls/{id}/cancel": {"post": cancelled | {"parameters": [by_id]}},
        "/v1/images/webhooks/secret": {"get": secret},
    }


_BILL: Json = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"cost_usd": {"type": ["string", "number"], "examples": ["0.042"]}},
            "required": ["cost_usd"],
        }
    }
}


def _review_paths() -> dict[str, Json]:
    """Return what an admin looks at afterwards, and the trial of a guardrail."""
    by_id = {"parameters": [_parameter("id", "path", required=True)]}
    page = [_parameter(name, "query") for name in ("limit", "after")]
    asked = [*page, *(_parameter(name, "query") for name in ("key", "target", "format"))]
    trial = [_parameter("name", "path", required=True), _parameter("stage", "query")]
    bodies = {"application/json": _ref("EditCall"), "multipart/form-data": _ref("EditForm")}
    image: Json = {"image/*": {}}
    return {
        "/admin/audit": {"get": _get("listAudit", "List what admins did") | {"parameters": asked}},
        "/admin/charges": {
            "get": _get("listCharges", "List charges that are held because nobody knows them")
            | {"parameters": [*page, _parameter("format", "query")]}
        },
        "/admin/charges/{id}/settle": {
            "post": _get("settleCharge", "Say what the provider billed, 0 for nothing")
            | by_id
            | {"requestBody": {"required": True, "content": _BILL}}
        },
        "/admin/held": {"get": _get("listHeld", "List held images") | {"parameters": page}},
        "/admin/held/{id}": {
            "get": _get("getHeld", "Look at a held image", image) | by_id,
            "delete": _get("deleteHeld", "Delete a held image") | by_id,
        },
        "/admin/held/{id}/release": {
            "post": _get("releaseHeld", "Let a held image be delivered") | by_id
        },
        "/admin/guardrails/{name}/test": {
            "post": _get("testGuardrail", "Show what a guardrail says")
            | {"parameters": trial, "requestBody": {"required": True, "content": bodies}}
        },
    }


def _image_operation(name: str, summary: str) -> Json:
    contents = {
        "generations": {"application/json": _ref("GenerateCall")},
        "edits": {"multipart/form-data": _ref("EditForm"), "application/json": _ref("EditCall")},
        "variations": {"multipart/form-data": _ref("VariationForm")},
    }
    own = ("adjust", "max-cost", "end-user", "tags", "new-call", "webhook")
    way = ("timeout", "retries", "fallbacks", "disable-fallbacks")
    headers = ("Idempotency-Key", "Prefer", *(f"x-imagegate-{header}" for header in (*own, *way)))
    answer = {"application/json": _ref("ImagesResponse")}
    if name != "variations":
        answer |= _EVENTS
    return {
        "operationId": f"images_{name}",
        "summary": summary,
        "parameters": [_parameter(header, "header") for header in headers],
        "requestBody": {"required": True, "content": contents[name]},
        "responses": {
            "200": {"description": "the images", "content": answer},
            "202": _accepted(),
            "default": _error("an error"),
        },
    }


def _responses_operation() -> Json:
    summary = "Relay a Responses request to a text model, whose image tool draws here too"
    answer = {"application/json": {"schema": {"type": "object"}}}
    answer["text/event-stream"] = {"schema": {"type": "string"}}
    own = ("max-cost", "timeout", "end-user", "tags")
    return _get("createResponse", summary, answer) | {
        "parameters": [_parameter(f"x-imagegate-{header}", "header") for header in own],
        "requestBody": {"required": True, "content": {"application/json": _ref("ResponsesCall")}},
    }


def _diagnose_operation() -> Json:
    bodies = {
        "application/json": _ref("Failure"),
        "text/plain": {"schema": {"type": "string", "description": "the error as it was pasted"}},
    }
    summary = "Say whose an error is to fix, and what to do next"
    answer = {"application/json": _ref("Finding")}
    operation = _get("diagnose", summary, answer)
    return operation | {"requestBody": {"required": True, "content": bodies}}


def _accepted() -> Json:
    """Return the answer to `Prefer: respond-async` or `wait`."""
    names = ("Location", "Retry-After", "Preference-Applied", "x-imagegate-call-id")
    return {
        "description": "the call is under way; Location tells what becomes of it",
        "headers": {name: {"schema": {"type": "string"}} for name in names},
        "content": {"application/json": _ref("Call")},
    }


def _message_operation() -> Json:
    """Return what is sent to a webhook, by the Standard Webhooks specification."""
    texts = {name: {"type": "string"} for name in ("type", "timestamp")}
    data = {"$ref": _REFERENCES.format(name="Call")}
    message = {"type": "object", "properties": {**texts, "data": data}}
    signed = [_parameter(f"webhook-{name}", "header") for name in ("id", "timestamp", "signature")]
    return {
        "summary": "Tell how a call ended",
        "parameters": signed,
        "requestBody": {"content": {"application/json": {"schema": message}}},
        "responses": {"2XX": {"description": "taken; everything else is sent again"}},
    }


def _error(description: str) -> Json:
    content = {"application/json": _ref("ErrorResponse")}
    return {"description": description, "content": content}


def _preview_operation() -> Json:
    bodies = {"application/json": _ref("GenerateCall"), "multipart/form-data": _ref("EditForm")}
    summary = "Show what a call would become and cost at each deployment, without spending"
    return _get("previewImages", summary) | {"requestBody": {"required": True, "content": bodies}}


def _get(operation_id: str, summary: str, content: Json = None) -> dict[str, Json]:
    responses = {"200": {"description": "as asked", "content": content or {"application/json": {}}}}
    return {"operationId": operation_id, "summary": summary, "responses": responses}


def _parameter(name: str, place: str, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required, "schema": {"type": "string"}}


def _ref(name: str) -> dict[str, Json]:
    return {"schema": {"$ref": _REFERENCES.format(name=name)}}

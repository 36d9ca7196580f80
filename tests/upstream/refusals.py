"""Ready refusals by name, as OpenAI, Azure and the proxies before them send them."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """A status with its body. `billed`: the image was bought although nobody got it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    billed: bool = False


def error_body(message: str, kind: str | None, param: str | None, code: str | None) -> bytes:
    """Return OpenAI's error shape."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def _openai(
    status: int,
    message: str,
    kind: str | None,
    code: str | None,
    param: str | None = None,
    **headers: str,
) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(status, error_body(message, kind, param, code), named)


def _azure(status: int, error: dict[str, Any], **headers: str) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["apim-request-id"] = "00000000-0000-4000-8000-000000000001"
    return Refusal(status, json.dumps({"error": error}).encode(), named)


def _html(status: int, title: str, *, billed: bool = False) -> Refusal:
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Refusal(status, page.encode(), {}, "text/html; charset=UTF-8", billed)


_RATE = (
    "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-x on input-images"
    " per min: Limit 5, Used 5, Requested 1. Please try again in 12s."
)
_BLOCKED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us "
    "at help.openai.com and include the request ID req_x. safety_violations=[sexual]."
)
_VERIFY = (
    "Your organization must be verified to use the model `gpt-image-2`. Please go to: "
    "https://platform.openai.com/settings/organization/general and click on Verify Organization."
)
_USER_ERROR = "image_generation_user_error"
_INVALID = "invalid_request_error"
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_FILTER = {
    "code": "content_policy_violation",
    "message": "The prompt was filtered by the content management policy.",
    "param": "prompt",
    "type": None,
    "inner_error": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_results": {"sexual": {"filtered": True, "severity": "high"}},
    },
}

REFUSALS: dict[str, Refusal] = {
    "rate_limit": _openai(429, _RATE, "input-images", "rate_limit_exceeded", retry_after="12"),
    "rate_limit_soon": _openai(
        429, _RATE, "input-images", "rate_limit_exceeded", retry_after_ms="20"
    ),
    "rate_limit_bare": _openai(429, _RATE, "input-images", "rate_limit_exceeded"),
    "insufficient_quota": _openai(429, _QUOTA, "insufficient_quota", "insufficient_quota"),
    "billing_hard_limit": _openai(
        400,
        "Billing hard limit has been reached.",
        "billing_limit_user_error",
        "billing_hard_limit_reached",
    ),
    "invalid_key": _openai(
        401, "Incorrect API key provided: sk-x***x.", _INVALID, "invalid_api_key"
    ),
    "moderation": _openai(400, _BLOCKED, _USER_ERROR, "moderation_blocked"),
    "model_not_found": _openai(
        404,
        "The model `x` does not exist or you do not have access to it.",
        _INVALID,
        "model_not_found",
    ),
    "verification": _openai(403, _VERIFY, _INVALID, None),
    "bad_size": _openai(
        400,
        "Invalid size '872x2048'. Width and height must both be divisible by 16.",
        _USER_ERROR,
        "invalid_value",
        "size",
    ),
    "bad_quality": _openai(
        400,
        "Invalid value: 'ultra'. Supported values are: 'low', 'medium', 'high', and 'auto'.",
        _INVALID,
        "invalid_value",
        "quality",
    ),
    "transparent": _openai(
        400,
        "Transparent background is not supported for this model.",
        _USER_ERROR,
        "invalid_value",
        "background",
    ),
    "bad_mimetype": _openai(
        400,
        "Invalid file 'image': unsupported mimetype ('application/octet-stream'). Supported file "
        "formats are 'image/jpeg', 'image/png', and 'image/webp'.",
        _INVALID,
        "unsupported_file_mimetype",
        "image",
    ),
    "server_error": _openai(
        500, "The server had an error while processing your request.", "server_error", None
    ),
    "overloaded": _openai(
        503, "The engine is currently overloaded.", "server_error", None, retry_after="3"
    ),
    "html_502": _html(502, "502 Bad Gateway"),
    "html_503": _html(503, "503 Service Temporarily Unavailable"),
    # The edge gave up waiting; the machine behind it went on and charges.
    "504": _html(504, "504 Gateway Time-out", billed=True),
    "524": _html(524, "524: A timeout occurred", billed=True),
    "408": _openai(408, "Request timed out.", "timeout", None),
    "azure_deployment_not_found": _azure(
        404,
        {
            "code": "DeploymentNotFound",
            "message": "The API deployment for this resource does not exist.",
        },
    ),
    "azure_content_filter": _azure(400, _FILTER),
    "azure_model_in_body": _azure(
        400,
        {
            "message": "The model 'x' does not exist.",
            "type": _USER_ERROR,
            "param": "model",
            "code": "invalid_value",
        },
    ),
    "azure_key": _azure(
        401,
        {
            "code": "401",
            "message": "Access denied due to invalid subscription key or wrong API endpoint.",
        },
    ),
    "azure_rate_limit": _azure(
        429,
        {"code": "429", "message": "Requests to the ImageGenerations operation exceeded the rate."},
        retry_after="7",
        retry_after_ms="6500",
    ),
}


def refusal(name: str) -> Refusal:
    """Return a ready refusal, or a bare error of that status where `name` is a number."""
    if name in REFUSALS:
        return REFUSALS[name]
    return _openai(int(name), f"Status {name}, as the test asked.", "server_error", None)

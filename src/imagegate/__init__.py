"""imagegate: one OpenAI-compatible door to every image model.

These are the public names. Errors carry imagegate's names, and those that OpenAI's and LiteLLM's
users catch; `ImageError` is the base of all.
"""

from imagegate.catalogue.known_models import ImageGenerationTool, ImageModel
from imagegate.client.clients import (
    AsyncClient,
    Client,
    aimage_edit,
    aimage_generation,
    aimage_variation,
    image_edit,
    image_generation,
    image_variation,
)
from imagegate.client.inputs import InputFile
from imagegate.client.results import (
    CompletedEvent,
    ImageData,
    ImageResponse,
    ImageUsage,
    PartialImageEvent,
)
from imagegate.client.stream import ImageStream
from imagegate.diagnosis.our_errors import finding_for as _finding_for
from imagegate.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigError,
    ContentPolicyViolationError,
    Finding,
    ImageError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    UnprocessableEntityError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from imagegate.types import Adjustment

# `error.finding`: errors stand below the diagnosis and may not look up to it.
ImageError.explainer = staticmethod(_finding_for)

# The names under which OpenAI's and LiteLLM's users catch the same things.
APIError = ImageError
APIStatusError = ImageError
APIConnectionError = UpstreamUnreachableError
APITimeoutError = UpstreamTimeoutError
Timeout = UpstreamTimeoutError
InternalServerError = UpstreamFailedError
ServiceUnavailableError = OverloadedError
UnsupportedParamsError = BadRequestError

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "Adjustment",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "Client",
    "CompletedEvent",
    "ConfigError",
    "ContentPolicyViolationError",
    "Finding",
    "ImageData",
    "ImageError",
    "ImageGenerationTool",
    "ImageModel",
    "ImageResponse",
    "ImageStream",
    "ImageUsage",
    "InputFile",
    "InternalServerError",
    "NotFoundError",
    "OverloadedError",
    "PartialImageEvent",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTooLargeError",
    "ServiceUnavailableError",
    "Timeout",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
    "UpstreamCredentialError",
    "UpstreamEmptyError",
    "UpstreamFailedError",
    "UpstreamModelNotFoundError",
    "UpstreamTimeoutError",
    "UpstreamUnreachableError",
    "aimage_edit",
    "aimage_generation",
    "aimage_variation",
    "image_edit",
    "image_generation",
    "image_variation",
]

"""Google AI Studio (Gemini API): https://ai.google.dev/api/generate-content.

Gemini's image models generate and edit by `generateContent`; its Imagen rows, past their shutdown,
are still asked by `predict`. The key travels in a header, never in the URL.
"""

from imagegate.errors import ImageError
from imagegate.types import ImageCall
from imagegate.wire import google_errors, google_images
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse
from imagegate.wire.google_probes import google_probes
from imagegate.wire.google_requests import (
    build_request,
    build_url,
    is_predicted,
    method_of,
    quote_name,
    refuse_imagen_edit,
)
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://generativelanguage.googleapis.com"
# `v1` has refused imageConfig in 2026; the SDK's default is `v1` by now, so it can be chosen.
API_VERSION_DEFAULT = "v1beta"
_NAME = "Google AI Studio"


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send the prompt; the answer holds the image, or streams it."""
    predicted = is_predicted(target)
    return google_images.exchange(
        build_generate(call, target), read_error, name=_NAME, is_predicted=predicted
    )


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send the prompt with the images after it, as one turn of the user."""
    refuse_imagen_edit(call, target)
    return google_images.exchange(
        build_edit(call, target), read_error, name=_NAME, is_predicted=False
    )


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the one request of a call."""
    version = str(target.traits.get("api_version") or API_VERSION_DEFAULT)
    resource = f"models/{quote_name(target.upstream_model)}"
    url = build_url(target.base_url, version, resource, method_of(call, target))
    return build_request(call, target, url, is_vertex=False)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the same request: an edit is a generation with images in it."""
    return build_generate(call, target)


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree that Google's answer means."""
    return google_errors.read_error(response, name=_NAME)


PROVIDER = Provider(
    name="gemini",
    base_url=BASE_URL,
    auth="header",
    auth_header="x-goog-api-key",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    base_url_env=("GEMINI_API_BASE", "GOOGLE_GEMINI_BASE_URL"),
    settings={"api_version": ("GOOGLE_GENAI_API_VERSION",)},
    probes=google_probes("models", "models", API_VERSION_DEFAULT, build_generate),
)

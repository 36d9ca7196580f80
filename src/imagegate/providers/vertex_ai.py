"""Vertex AI: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.

Gemini's image models by `generateContent`, mostly at the location `global`; Imagen by `predict`,
past its shutdown. Three kinds of host: global, regional, and the multi-regions `us` and `eu`.
With an API key and without a project it is Vertex's express mode.
"""

import re
from collections.abc import Mapping

from imagegate.errors import ConfigError, ImageError, UpstreamModelNotFoundError
from imagegate.types import ImageCall, Json
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
from imagegate.wire.provider import Place, Provider, Target

BASE_URL = "https://aiplatform.googleapis.com"
API_VERSION_DEFAULT = "v1"
_MODELS = "publishers/google/models"
LOCATION_DEFAULT = "global"
MULTI_REGIONS = frozenset(("us", "eu"))
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NAME = "Vertex AI"


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send the prompt; the answer holds the images, or streams one."""
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
    resource = build_resource(target)
    url = build_url(target.base_url, version, resource, method_of(call, target))
    return build_request(call, target, url, is_vertex=True)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the same request: an edit is a generation with images in it."""
    return build_generate(call, target)


def build_resource(target: Target) -> str:
    """Return the model's path below the version; without a project it is the express mode's."""
    model = f"publishers/google/models/{quote_name(target.upstream_model)}"
    project = target.traits.get("vertex_project")
    if not project:
        return model
    location = target.traits.get("vertex_location") or LOCATION_DEFAULT
    return f"projects/{quote_name(str(project))}/locations/{location}/{model}"


def locate(name: str, base_url: str, settings: Mapping[str, Json]) -> Place:
    """Return the deployment's host by its location. Raises `ConfigError` for what is none."""
    location = str(settings.get("vertex_location") or LOCATION_DEFAULT)
    if not _LOCATION.fullmatch(location):
        raise ConfigError(
            f"{location!r} is no location; write global, or one like us-central1",
            param="vertex_location",
        )
    traits = {**settings, "vertex_location": location}
    return Place(base_url or _host(location, settings), name, traits)


def _host(location: str, settings: Mapping[str, Json]) -> str:
    if location == LOCATION_DEFAULT or not settings.get("vertex_project"):
        return BASE_URL
    if location in MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; a model that is elsewhere is a 404 like one that is not."""
    error = google_errors.read_error(response, name=_NAME)
    if not isinstance(error, UpstreamModelNotFoundError):
        return error
    remedy = "A model is at some locations only, the newest at vertex_location: global."
    return UpstreamModelNotFoundError(f"{error.message} {remedy}", upstream=error.upstream)


PROVIDER = Provider(
    name="vertex_ai",
    auth="google",
    locate=locate,
    generate=generate,
    edit=edit,
    read_error=read_error,
    base_url_env=("GOOGLE_VERTEX_BASE_URL",),
    settings={
        "vertex_project": (
            "VERTEXAI_PROJECT",
            "VERTEX_PROJECT",
            "GOOGLE_CLOUD_PROJECT",
            "GCLOUD_PROJECT",
        ),
        "vertex_location": ("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION"),
        "api_version": ("GOOGLE_GENAI_API_VERSION",),
    },
    secrets={
        "vertex_credentials": (
            "VERTEXAI_CREDENTIALS",
            "VERTEX_CREDENTIALS",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
    },
    spellings={
        "vertex_ai_project": "vertex_project",
        "vertex_ai_location": "vertex_location",
        "vertex_region": "vertex_location",
        "vertex_ai_credentials": "vertex_credentials",
    },
    probes=google_probes(_MODELS, "publisherModels", API_VERSION_DEFAULT, build_generate),
)

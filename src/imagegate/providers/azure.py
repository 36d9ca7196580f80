"""Azure OpenAI: https://learn.microsoft.com/azure/ai-foundry/openai/reference.

Two surfaces. A dated api-version means the deployment route, where the deployment stands in the
path and the body must not name a model; `v1`, `preview` and `latest` mean the v1 route, where the
body's model is the deployment's name.
"""

from urllib.parse import quote

from imagegate.errors import ImageError, UpstreamModelNotFoundError
from imagegate.types import ImageCall
from imagegate.wire import azure_errors, openai_images, responses
from imagegate.wire.azure_errors import parse_refusal
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse
from imagegate.wire.openai_errors import Refusal
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list
from imagegate.wire.provider import Provider, Target

# The first dated version with image edits; LiteLLM's default, 2025-02-01-preview, has none.
API_VERSION_DEFAULT = "2025-04-01-preview"
V1_VERSIONS = frozenset(("v1", "preview", "latest"))
# `latest` is a word of clients; on the wire it is the v1 route without a version.
_V1_VERSIONS_SENT = frozenset(("v1", "preview"))
# The last version whose data plane lists deployments; newer ones leave it to the control plane.
_LISTING_VERSION = "2023-03-15-preview"
_NAME = "Azure OpenAI"


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images, or streams them."""
    return (yield from openai_images.exchange(build_generate(call, target), read_error))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the inputs; its answer holds the images, or streams them."""
    return (yield from openai_images.exchange(build_edit(call, target), read_error))


def respond(call: ImageCall, target: Target) -> Exchange:
    """Pass a Responses request on; it has the v1 route only."""
    version = str(target.traits["api_version"])
    query = f"?api-version={version}" if version in _V1_VERSIONS_SENT else ""
    url = f"{target.base_url}/openai/v1/responses{query}"
    request = responses.build_request(call, url, {})
    return (yield from responses.exchange(request, read_error))


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON; only the v1 route names the model in it."""
    body = openai_images.build_generation(call, target, model_in_body=_is_v1(target))
    headers = {"content-type": "application/json"}
    url = build_url(target, "generations")
    return UpstreamRequest("POST", url, body, headers, events=call.stream)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the edit as a form: Azure takes no JSON here."""
    body, content_type = openai_images.build_edit_form(call, target, model_in_body=_is_v1(target))
    headers = {"content-type": content_type}
    return UpstreamRequest("POST", build_url(target, "edits"), body, headers, events=call.stream)


def build_url(target: Target, operation: str) -> str:
    """Return the URL of `operation` on the deployment's surface; a slash in the name is encoded."""
    version = str(target.traits["api_version"])
    if _is_v1(target):
        query = f"?api-version={version}" if version in _V1_VERSIONS_SENT else ""
        return f"{target.base_url}/openai/v1/images/{operation}{query}"
    name = quote(target.upstream_model, safe=":")
    path = f"{target.base_url}/openai/deployments/{name}/images/{operation}"
    return f"{path}?api-version={quote(version, safe='')}"


def _is_v1(target: Target) -> bool:
    return bool(target.traits["surface"] == "v1")


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; Azure speaks OpenAI's shape, its filter's and API Management's.

    A 404 is either a deployment that does not exist (yet: for about five minutes after it was
    made) or a path that this api-version does not have; the message says which.
    """
    error = azure_errors.read_error(response, name=_NAME)
    if isinstance(error, UpstreamModelNotFoundError):
        return _named_remedy(error, parse_refusal(response.json()))
    return error


def _named_remedy(error: UpstreamModelNotFoundError, refusal: Refusal) -> ImageError:
    if refusal.code == "DeploymentNotFound":
        remedy = (
            "The name after azure/ must be the deployment's own; a new deployment takes about "
            "five minutes to appear."
        )
    elif refusal.code == "404":
        remedy = (
            f"Check api_base and api_version ({API_VERSION_DEFAULT} has generations and edits)."
        )
    else:
        remedy = "The name after azure/ must be the deployment's own, not the model's."
    return UpstreamModelNotFoundError(f"{error.message} {remedy}", upstream=error.upstream)


def probe_models(target: Target) -> ProbeExchange:
    """List the models that could be deployed: that proves address and key, not a deployment."""
    version = str(target.traits["api_version"])
    query = f"?api-version={quote(version, safe='')}"
    is_bare = _is_v1(target) and version not in _V1_VERSIONS_SENT
    path = (
        f"openai/v1/models{'' if is_bare else query}" if _is_v1(target) else f"openai/models{query}"
    )
    return (yield from ask_list(f"{target.base_url}/{path}"))


def probe_deployments(target: Target) -> ProbeExchange:
    """List the resource's deployments, where it still tells them."""
    url = f"{target.base_url}/openai/deployments?api-version={_LISTING_VERSION}"
    return (yield from ask_list(url))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt; only the v1 route names the model in it."""
    body = {"model": target.upstream_model} if _is_v1(target) else {}
    return (yield from ask_invalid(build_url(target, "generations"), body))


PROVIDER = Provider(
    name="azure",
    auth="api-key",
    generate=generate,
    edit=edit,
    respond=respond,
    read_error=read_error,
    api_key_env=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    base_url_env=("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
    settings={"api_version": ("AZURE_API_VERSION", "OPENAI_API_VERSION")},
    accepts_unknown_fields=True,
    names_deployments=True,
    probes=Probes(models=probe_models, deployments=probe_deployments, invalid=probe_invalid),
)

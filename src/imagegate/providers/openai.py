"""OpenAI: https://platform.openai.com/docs/api-reference/images.

Generations and edits; `POST /images/variations` is retired there and accepts no requests.
"""

from collections.abc import Mapping
from urllib.parse import quote

from imagegate.errors import ImageError
from imagegate.types import FileId, ImageCall
from imagegate.wire import openai_errors, openai_images, responses
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list, ask_one
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://api.openai.com/v1"
ACCOUNT_HEADERS = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images, or streams them."""
    return (yield from openai_images.exchange(build_generate(call, target), read_error))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one request with the inputs; its answer holds the images, or streams them."""
    return (yield from openai_images.exchange(build_edit(call, target), read_error))


def respond(call: ImageCall, target: Target) -> Exchange:
    """Pass a Responses request on; its answer holds text and images, or streams them."""
    request = responses.build_request(
        call, f"{target.base_url}/responses", build_account_headers(target)
    )
    return (yield from responses.exchange(request, read_error))


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON."""
    body = openai_images.build_generation(call, target, model_in_body=True)
    headers = {"content-type": "application/json", **build_account_headers(target)}
    url = f"{target.base_url}/images/generations"
    return UpstreamRequest("POST", url, body, headers, events=call.stream)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the edit as a form, or as JSON where an input is a file id."""
    if any(isinstance(part, FileId) for part in (*call.images, call.mask)):
        body = openai_images.build_edit_json(call, target, model_in_body=True)
        content_type = "application/json"
    else:
        body, content_type = openai_images.build_edit_form(call, target, model_in_body=True)
    headers = {"content-type": content_type, **build_account_headers(target)}
    url = f"{target.base_url}/images/edits"
    return UpstreamRequest("POST", url, body, headers, events=call.stream)


def build_account_headers(target: Target) -> Mapping[str, str]:
    """Return the headers that say which organization and project are charged."""
    traits = target.traits
    return {header: str(traits[key]) for key, header in ACCOUNT_HEADERS.items() if traits.get(key)}


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree that OpenAI's answer means."""
    return openai_errors.read_error(response, name="OpenAI")


def probe_models(target: Target) -> ProbeExchange:
    """List the models; new image models work before they are listed."""
    return (yield from ask_list(f"{target.base_url}/models", headers=build_account_headers(target)))


def probe_model(target: Target) -> ProbeExchange:
    """Ask for the model, which may tell its last day."""
    url = f"{target.base_url}/models/{quote(target.upstream_model, safe=':')}"
    return (yield from ask_one(url, build_account_headers(target)))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt."""
    url = f"{target.base_url}/images/generations"
    body = {"model": target.upstream_model}
    return (yield from ask_invalid(url, body, build_account_headers(target)))


PROVIDER = Provider(
    name="openai",
    base_url=BASE_URL,
    auth="bearer",
    generate=generate,
    edit=edit,
    respond=respond,
    read_error=read_error,
    api_key_env=("OPENAI_API_KEY",),
    base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    settings={
        "organization": ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"),
        "project": ("OPENAI_PROJECT_ID",),
    },
    accepts_unknown_fields=True,
    knows_file_ids=True,
    takes_idempotency_key=True,
    probes=Probes(
        models=probe_models,
        model=probe_model,
        invalid=probe_invalid,
        known_good="gpt-image-2",
    ),
)

"""Google's free questions, which the Gemini API and Vertex answer alike. Pure."""

from collections.abc import Callable
from functools import partial

from imagegate.types import ImageCall, Json
from imagegate.wire.exchange import UpstreamRequest
from imagegate.wire.google_requests import is_predicted, quote_name
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list, ask_one
from imagegate.wire.provider import Target

Build = Callable[[ImageCall, Target], UpstreamRequest]


def google_probes(collection: str, field: str, version: str, build_generate: Build) -> Probes:
    """Return the questions to an API whose models stand under the path `collection`.

    `field` holds them in its list; `version` is asked where a deployment names none.
    """
    return Probes(
        models=partial(ask_models, collection=collection, field=field, version=version),
        model=partial(ask_model, collection=collection, version=version),
        invalid=partial(ask_without_contents, build_generate=build_generate),
    )


def ask_models(target: Target, *, collection: str, field: str, version: str) -> ProbeExchange:
    """List the models; the list goes on showing what has been shut down."""
    url = f"{_place(target, version)}/{collection}?pageSize=1000"
    return (yield from ask_list(url, field, "name"))


def ask_model(target: Target, *, collection: str, version: str) -> ProbeExchange:
    """Ask for the model; some are told of and refuse to work."""
    name = quote_name(target.upstream_model)
    return (yield from ask_one(f"{_place(target, version)}/{collection}/{name}"))


def ask_without_contents(target: Target, *, build_generate: Build) -> ProbeExchange:
    """Send a request without contents."""
    call = ImageCall(id="probe", operation="generate", model="")
    empty: dict[str, Json] = {"instances" if is_predicted(target) else "contents": []}
    return (yield from ask_invalid(build_generate(call, target).url, empty))


def _place(target: Target, version: str) -> str:
    return f"{target.base_url}/{target.traits.get('api_version') or version}"

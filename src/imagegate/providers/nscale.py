"""Nscale: https://docs.nscale.com/.

Generations in OpenAI's shape, asked for as bytes; there are no edits. Steps and guidance are
fixed there and never sent.
"""

from imagegate.errors import ImageError
from imagegate.types import ImageCall
from imagegate.wire import openai_dialect
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse
from imagegate.wire.openai_dialect import Dialect, named
from imagegate.wire.probes import Probes, ask_models, ask_no_images
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://inference.api.nscale.com/v1"
DIALECT = Dialect(name="Nscale", fields=named("n"), bytes_word="b64_json")


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images."""
    return openai_dialect.exchange(build_generate(call, target), DIALECT)


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON."""
    return openai_dialect.build_generate(call, target, DIALECT)


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; Nscale's errors are taken to have OpenAI's shape."""
    return openai_dialect.read_error(response, dialect=DIALECT)


PROVIDER = Provider(
    name="nscale",
    base_url=BASE_URL,
    generate=generate,
    read_error=read_error,
    api_key_env=("NSCALE_API_KEY",),
    base_url_env=("NSCALE_API_BASE",),
    base_path="/v1",
    probes=Probes(models=ask_models, invalid=ask_no_images),
)

"""The signatures of the SDK, each written once.

Each is offered four times: as a module function and its async twin, as a method of `Client` and
of `AsyncClient`; `clients.py` turns the `Request` that it returns into a call.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, overload

from imagegate.catalogue.known_models import ImageModel
from imagegate.client.inputs import InputFile
from imagegate.client.request import Fallback, Request, build_request
from imagegate.client.results import ImageResponse
from imagegate.client.stream import ImageStream
from imagegate.types import AdjustPolicy, Json


@overload
def image_generation(
    prompt: str,
    model: ImageModel | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    style: str | None = None,
    user: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    stream: Literal[False] | None = None,
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[ImageResponse]: ...
@overload
def image_generation(
    prompt: str,
    model: ImageModel | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    style: str | None = None,
    user: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    stream: Literal[True],
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[ImageStream]: ...
def image_generation(
    prompt: str,
    model: ImageModel | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    style: str | None = None,
    user: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    stream: bool | None = None,
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[Any]:
    """Make images from a prompt; return an `ImageResponse`, or an `ImageStream` with `stream=True`.

    `model` is `provider/name` (`openai/gpt-image-2.5-flare` where none is given), `n` counts
    images, `size` is `WIDTHxHEIGHT` in px or `auto`, `timeout` is in seconds (600). A `timeout`
    ends the wait, not the purchase. `num_retries` counts further tries after failures that bought
    nothing; `fallbacks` are models tried after those and after a deployment's own failures.
    `adjust="strict"` refuses what `"nearest"`, the default, would translate and report.
    `max_cost_usd` refuses a dearer call before it is sent. The same `idempotency_key` with the same
    request gets the same answer of one client, and is sent to OpenAI-compatible servers. Any other
    keyword is a parameter of the provider.

    Raises `BadRequestError` and the other classes of `imagegate.ImageError`.
    """
    return build_request("generate", locals())


@overload
def image_edit(
    image: InputFile | list[InputFile],
    prompt: str,
    model: ImageModel | None = None,
    mask: InputFile | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    user: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    markup: InputFile | None = None,
    input_fidelity: str | None = None,
    stream: Literal[False] | None = None,
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[ImageResponse]: ...
@overload
def image_edit(
    image: InputFile | list[InputFile],
    prompt: str,
    model: ImageModel | None = None,
    mask: InputFile | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    user: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    markup: InputFile | None = None,
    input_fidelity: str | None = None,
    stream: Literal[True],
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[ImageStream]: ...
def image_edit(
    image: InputFile | list[InputFile],
    prompt: str,
    model: ImageModel | None = None,
    mask: InputFile | None = None,
    n: int | None = None,
    quality: str | None = None,
    response_format: str | None = None,
    size: str | None = None,
    user: str | None = None,
    *,
    background: str | None = None,
    output_format: str | None = None,
    output_compression: int | None = None,
    moderation: str | None = None,
    markup: InputFile | None = None,
    input_fidelity: str | None = None,
    stream: bool | None = None,
    partial_images: int | None = None,
    complexity: str | None = None,
    safety_identifier: str | None = None,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[Any]:
    """Edit images with a prompt; return an `ImageResponse`, or an `ImageStream` with `stream=True`.

    `image` is one input or a list of up to 16: a path, an https or data URL, bytes, an open binary
    file or a `(name, bytes, type)` tuple; PNG, JPEG or WebP. `mask` is a PNG as large as the first
    image whose transparent pixels mark what to change. The other parameters, and what is raised,
    are those of `image_generation`.
    """
    return build_request("edit", locals())


def image_variation(
    image: InputFile,
    model: ImageModel | None = None,
    n: int | None = None,
    response_format: str | None = None,
    size: str | None = None,
    user: str | None = None,
    *,
    timeout: float | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Json] | None = None,
    fallbacks: Sequence[Fallback] | None = None,
    num_retries: int | None = None,
    adjust: AdjustPolicy | None = None,
    max_cost_usd: Decimal | float | str | None = None,
    idempotency_key: str | None = None,
    **provider_params: Any,
) -> Request[ImageResponse]:
    """Make variations of an image; return an `ImageResponse`.

    OpenAI's own models have no variations any more: this raises unless a deployment can, or its
    configuration says `variations: edit`. The parameters are those of `image_edit`.
    """
    return build_request("variation", locals())

"""Call x candidate -> what would be sent, what differs from what was asked, what it may cost. Pure.

Admission, previews and estimates all ask here, so that they never disagree.
"""

import datetime

import msgspec
from msgspec import Struct

from imagegate.catalogue.check import KNOWN_VALUES, check_call, check_shape, check_universe
from imagegate.catalogue.model import Model
from imagegate.catalogue.price import PriceRange, estimate
from imagegate.config.settings import Deployment
from imagegate.errors import BadRequestError, ImageError, NotFoundError
from imagegate.types import Adjustment, AdjustPolicy, FileId, ImageCall, Json

VARIATION_PROMPT = "Create a variation of this image."

_OPENAI_SURFACES = frozenset({"openai", "azure", "sandbox"})
"""Providers that serve OpenAI's image models and nothing else, unless `api_base` says otherwise."""

_NEVER_DEFAULT = frozenset({"id", "operation", "model", "prompt", "n", "images", "mask", "markup"})
_DEFAULTABLE = frozenset(ImageCall.__struct_fields__) - _NEVER_DEFAULT - {"extra"}


class Plan(Struct, frozen=True, kw_only=True):
    """A call as one deployment will get it. `price` is None where it is unknown."""

    deployment: Deployment
    call: ImageCall
    adjustments: tuple[Adjustment, ...] = ()
    warnings: tuple[str, ...] = ()
    price: PriceRange | None = None


def plan(
    call: ImageCall,
    deployment: Deployment,
    *,
    policy: AdjustPolicy,
    on_retired: str,
    today: datetime.date,
) -> Plan:
    """Return how `deployment` would serve `call` on the day `today`.

    Raises `BadRequestError` where it cannot (a value nobody takes, an operation it lacks) or,
    with the policy `strict`, would not as asked; `NotFoundError` (`model_retired`) for a model
    past its shutdown date where `on_retired` is `refuse`.
    """
    call = _with_defaults(call, deployment)
    call, changed = _check_operation(call, deployment)
    _check_file_ids(call, deployment)
    call, adjusted = _check_values(call, deployment, policy)
    call, left_out = _check_extra(call, deployment, policy)
    return Plan(
        deployment=deployment,
        call=call,
        adjustments=(*changed, *adjusted, *left_out),
        warnings=_life_cycle(deployment, on_retired=on_retired, today=today),
        price=estimate(deployment.model, call) if deployment.model else None,
    )


def _with_defaults(call: ImageCall, deployment: Deployment) -> ImageCall:
    """Return the call with the operator's defaults in the fields that were not given."""
    fields: dict[str, Json] = {}
    extra = dict(call.extra)
    for name, value in deployment.defaults.items():
        if name not in ImageCall.__struct_fields__:
            extra.setdefault(name, value)
        elif name in _DEFAULTABLE and getattr(call, name) is None:
            fields[name] = value
    return msgspec.structs.replace(call, **fields, extra=extra)


def _check_operation(
    call: ImageCall, deployment: Deployment
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call with an operation that this deployment has, or raise."""
    if _has_operation(call, deployment):
        return call, ()
    if call.operation != "variation":
        raise BadRequestError(
            f"{_name(deployment)} cannot {call.operation} images; use another model.",
            param="model",
            code="operation_not_supported",
            model=call.model,
        )
    as_edit = msgspec.structs.replace(call, operation="edit", prompt=VARIATION_PROMPT)
    if deployment.variations != "edit" or not _has_operation(as_edit, deployment):
        raise BadRequestError(
            "Image variations are retired: no current model makes them. Send the image to"
            " /v1/images/edits with a prompt that says what to vary.",
            code="operation_retired",
            http_status=410,
            model=call.model,
        )
    reason = f"variations are made as edits with the prompt {VARIATION_PROMPT!r}"
    return as_edit, (Adjustment("operation", "variation", "edit", reason),)


def _has_operation(call: ImageCall, deployment: Deployment) -> bool:
    if deployment.provider.adapter(call.operation) is None:
        return False
    row = _row(deployment)
    # `base_model` speaks of limits and price; what a server of one's own can do, its owner knows.
    return row is None or _has_own_base(deployment) or call.operation in row.operations


def _check_file_ids(call: ImageCall, deployment: Deployment) -> None:
    if deployment.provider.knows_file_ids:
        return
    named = {f"images[{index}].file_id": image for index, image in enumerate(call.images)}
    for param, image in (named | {"mask.file_id": call.mask}).items():
        if isinstance(image, FileId):
            raise BadRequestError(
                f"{_name(deployment)} does not know file ids; send the image itself.", param=param
            )


def _check_values(
    call: ImageCall, deployment: Deployment, policy: AdjustPolicy
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call as the model takes it. A server of one's own has no limits that we know."""
    row = _row(deployment)
    if row is None:
        check_shape(call)
        return call, ()
    check_universe(call)
    return check_call(call, row, policy=policy)


def _check_extra(
    call: ImageCall, deployment: Deployment, policy: AdjustPolicy
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call without fields that we do not know, unless the provider takes any."""
    if deployment.provider.accepts_unknown_fields or not call.extra:
        return call, ()
    if policy == "strict":
        raise _unknown_parameter(next(iter(call.extra)), deployment)
    reason = f"{deployment.provider.name} takes no fields that imagegate does not know"
    left_out = tuple(Adjustment(name, value, None, reason) for name, value in call.extra.items())
    return msgspec.structs.replace(call, extra={}), left_out


def _unknown_parameter(name: str, deployment: Deployment) -> ImageError:
    return BadRequestError(
        f"Unknown parameter: {name!r}. {_name(deployment)} does not take it; leave it out.",
        param=name,
        code="unknown_parameter",
    )


def _life_cycle(
    deployment: Deployment, *, on_retired: str, today: datetime.date
) -> tuple[str, ...]:
    """Return warnings about the model's age; raise where a retired one is to be refused.

    A life cycle belongs to the provider's own surface: what an operator named, or serves at an
    address of their own, is never retired by our dates.
    """
    if not _has_life_cycle(deployment):
        return ()
    model = deployment.model
    if model is None:
        name = _name(deployment)
        return (f"The catalogue does not know {name}: it is sent as asked, its price is unknown.",)
    if model.name != deployment.target.upstream_model or not model.is_shut_down(today):
        return ()
    text = f"{model.id} was shut down on {model.shutdown}"
    text += f"; use {model.successor}" if model.successor else ""
    text += f" (source: {model.source})."
    if on_retired == "refuse":
        raise NotFoundError(text, param="model", code="model_retired", model=model.id)
    return (text,)


def _has_life_cycle(deployment: Deployment) -> bool:
    provider = deployment.provider
    own_surface = bool(provider.base_url) and not _has_own_base(deployment)
    return own_surface and provider.name in _OPENAI_SURFACES


def _has_own_base(deployment: Deployment) -> bool:
    provider = deployment.provider
    return bool(provider.base_url) and deployment.target.base_url != provider.base_url


def _row(deployment: Deployment) -> Model | None:
    """Return the facts to check against: the row, or what OpenAI's models have in common.

    None for a model without a row at a compatible server: it may take anything.
    """
    if deployment.model is not None:
        return deployment.model
    if deployment.provider.name not in _OPENAI_SURFACES or _has_own_base(deployment):
        return None
    return _assumed(_name(deployment))


def _assumed(model_id: str) -> Model:
    """Return what may hold for an OpenAI model without a row: all that the newest ones take.

    The upstream decides the rest; fields that ended with DALL-E are still translated.
    """
    return Model(
        id=model_id,
        qualities=("auto", "low", "medium", "high", "xhigh", "max"),
        backgrounds=KNOWN_VALUES["background"],
        output_formats=KNOWN_VALUES["output_format"],
        input_fidelities=KNOWN_VALUES["input_fidelity"],
        complexities=KNOWN_VALUES["complexity"],
        moderations=KNOWN_VALUES["moderation"],
        markup=True,
        source="assumed: the catalogue has no row",
        checked=datetime.date.min,
    )


def _name(deployment: Deployment) -> str:
    return f"{deployment.provider.name}/{deployment.target.upstream_model}"

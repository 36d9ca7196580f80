"""Call x candidate -> what would be sent, what differs from what was asked, what it may cost. Pure.

Admission, previews and estimates all ask here, so that they never disagree.
"""

import datetime

import msgspec
from msgspec import Struct

from imagegate.catalogue.adjust import Encoding, check_call, encoding_for
from imagegate.catalogue.check import KNOWN_VALUES, check_shape, check_universe
from imagegate.catalogue.model import Model
from imagegate.catalogue.price import PriceRange, estimate, sum_prices
from imagegate.catalogue.relay import relay_range
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.retirement import has_life_cycle, has_own_base, retirement_of
from imagegate.config.settings import Deployment
from imagegate.errors import BadRequestError, ImageError, NotFoundError
from imagegate.types import Adjustment, AdjustPolicy, FileId, ImageCall, Json
from imagegate.wire.responses import AZURE_HEADER, BODY, image_tool, with_tool

VARIATION_PROMPT = "Create a variation of this image."

_OPENAI_SURFACES = frozenset({"openai", "azure", "sandbox"})
"""Providers that serve OpenAI's image models and nothing else, unless `api_base` says otherwise."""

_NEVER_DEFAULT = frozenset({"id", "operation", "model", "prompt", "n", "images", "mask", "markup"})
_BY_NAME = ("seed", "negative_prompt", "aspect_ratio", "resolution")
"""Fields that are none of OpenAI's: they come in `extra`, and pass there where anything may."""

_DEFAULTABLE = frozenset(ImageCall.__struct_fields__) - _NEVER_DEFAULT - {"extra", *_BY_NAME}


class Plan(Struct, frozen=True, kw_only=True):
    """A call as one deployment will get it. `price` is None where it is unknown.

    `n_max` is how many images one request may ask for; a call for more is made in parts, each of
    which says in `start` how many images come before its own.
    `tool_model` is the row of the image model that a relayed response's image tool uses.
    `encoding` is what the finished images are re-encoded to, None where they stay as they came.
    """

    deployment: Deployment
    call: ImageCall
    n_max: int
    start: int = 0
    encoding: Encoding | None = None
    adjustments: tuple[Adjustment, ...] = ()
    warnings: tuple[str, ...] = ()
    price: PriceRange | None = None
    tool_model: Model | None = None

    def split(self, count: int, start: int = 0) -> "tuple[Plan, ...]":
        """Return a plan for each request that `count` of the images take, from number `start` on.

        Together they have the call's price range; a seed is counted up, so that no two are alike.
        """
        if count == self.call.n <= self.n_max:
            return (self,)
        starts = range(start, start + count, self.n_max)
        return tuple(self._part(min(self.n_max, start + count - at), at) for at in starts)

    @property
    def requests(self) -> int:
        """How many requests the call takes."""
        return -(-self.call.n // self.n_max)

    def _part(self, count: int, start: int) -> "Plan":
        model = self.deployment.charged_as
        call = msgspec.structs.replace(
            _with_seed(self.call, start, facts_of(self.deployment)), n=count
        )
        price = estimate(model, call) if model else None
        return msgspec.structs.replace(self, call=call, start=start, price=price)


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
    if call.operation == "responses":
        return _relayed(call, deployment, on_retired, today)
    call = _with_defaults(call, deployment)
    call, changed = _check_operation(call, deployment)
    _check_file_ids(call, deployment)
    asked = call = _lifted(call, deployment)
    call, adjusted = _check_values(call, deployment, policy)
    call, left_out = _check_extra(call, deployment, policy)
    row = facts_of(deployment)
    planned = Plan(
        deployment=deployment,
        call=call,
        n_max=max(1, row.n_max) if row else call.n,
        encoding=encoding_for(asked, row) if row else None,
        adjustments=(*changed, *adjusted, *left_out),
        warnings=_life_cycle(deployment, on_retired=on_retired, today=today),
    )
    return msgspec.structs.replace(planned, price=price_of(planned))


def _relayed(
    call: ImageCall, deployment: Deployment, on_retired: str, today: datetime.date
) -> Plan:
    """Return how a Responses request is passed on: in the names of that place, else as it came."""
    if deployment.serves != "responses":
        raise BadRequestError(
            f"{_name(deployment)} makes images; a response needs a deployment of a text model, "
            "with model_info.mode: responses.",
            param="model",
            code="operation_not_supported",
            model=call.model,
        )
    target = deployment.target
    tool = image_tool(call.extra[BODY])
    asked = str(tool.get("model")) if tool else ""
    found, row = tool_deployment(asked, deployment), tool_model(asked, deployment)
    if tool and found is None and row is None:
        raise BadRequestError(
            f"{deployment.id} has no image deployment {asked!r} at {target.base_url}: the image "
            "tool reaches those of the same resource only.",
            param="tools",
            model=call.model,
        )
    drawer = found.target.upstream_model if found else asked if tool else None
    header = AZURE_HEADER if deployment.provider.names_deployments else ""
    drawing = found or msgspec.structs.replace(
        deployment, model=row, target=msgspec.structs.replace(target, upstream_model=asked)
    )
    return Plan(
        deployment=deployment,
        call=with_tool(call, target.upstream_model, drawer, header),
        n_max=1,
        tool_model=row,
        warnings=_life_cycle(drawing, on_retired=on_retired, today=today) if tool else (),
        price=relay_range(deployment.charged_as, row, call),
    )


def tool_deployment(name: str, deployment: Deployment) -> Deployment | None:
    """Return the image deployment at the same place that `name` stands for, None for none."""
    by_name = {one.target.upstream_model: one for one in deployment.images.values()}
    return deployment.images.get(name) or by_name.get(name)


def tool_model(name: str, deployment: Deployment) -> Model | None:
    """Return the row of the image model that `name` stands for there, None where it has none."""
    found = tool_deployment(name, deployment)
    if found is not None:
        return found.charged_as
    is_openai = deployment.provider.name == "openai"
    return builtin_catalogue().find(f"openai/{name}") if is_openai else None


def price_of(planned: Plan) -> PriceRange | None:
    """Return what all requests of the call may cost together; None where that is unknown."""
    model = planned.deployment.charged_as
    if model is None:
        return None
    if planned.requests == 1:
        return estimate(model, planned.call)
    prices = [part.price for part in planned.split(planned.call.n)]
    known = [price for price in prices if price is not None]
    return sum_prices(known) if len(known) == len(prices) else None


def _with_seed(call: ImageCall, start: int, row: Model | None) -> ImageCall:
    """Return the call with the seed of its image number `start`."""
    if call.seed is not None and row is not None:
        return msgspec.structs.replace(call, seed=(call.seed + start) % (row.seed_max + 1))
    seed = call.extra.get("seed")
    if start and isinstance(seed, int):
        return msgspec.structs.replace(call, extra={**call.extra, "seed": seed + start})
    return call


def _with_defaults(call: ImageCall, deployment: Deployment) -> ImageCall:
    """Return the call with the operator's defaults in the fields that were not given."""
    fields: dict[str, Json] = {}
    extra = dict(call.extra)
    for name, value in deployment.defaults.items():
        if name in _BY_NAME or name not in ImageCall.__struct_fields__:
            extra.setdefault(name, value)
        elif name in _DEFAULTABLE and getattr(call, name) is None:
            fields[name] = value
    return msgspec.structs.replace(call, **fields, extra=extra)


def _lifted(call: ImageCall, deployment: Deployment) -> ImageCall:
    """Return the call with what several providers know by one name in fields of its own.

    A server that takes any field gets it by name, in the words of the caller.
    """
    row = facts_of(deployment)
    if row is None or deployment.provider.accepts_unknown_fields:
        return call
    by_shape = {"aspect_ratio": row.aspect_ratios, "resolution": row.resolutions}
    unknown = {*row.params, *(name for name, offered in by_shape.items() if not offered)}
    named = [name for name in _BY_NAME if name in call.extra and name not in unknown]
    fields = {name: _read_named(name, call.extra[name]) for name in named}
    extra = {name: value for name, value in call.extra.items() if name not in fields}
    return msgspec.structs.replace(call, **fields, extra=extra)


def _read_named(name: str, value: Json) -> Json:
    """Return the value of a field; in a form a number comes as text. Raises where it is none."""
    if name == "seed":
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number or (isinstance(value, str) and value.isdecimal()):
            return int(value)
        raise BadRequestError(f"Invalid 'seed': {value!r}; give a whole number.", param=name)
    if not isinstance(value, str):
        raise BadRequestError(f"Invalid {name!r}: {value!r}; give a text.", param=name)
    return value


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
    if deployment.serves != "images":
        return False
    if deployment.provider.adapter(call.operation) is None:
        return False
    row = facts_of(deployment)
    # `base_model` speaks of limits and price; what a server of one's own can do, its owner knows.
    return row is None or has_own_base(deployment) or call.operation in row.operations


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
    row = facts_of(deployment)
    if row is None:
        check_shape(call)
        return _without_url(call), ()
    check_universe(call, row)
    return check_call(call, row, policy=policy)


def _without_url(call: ImageCall) -> ImageCall:
    """Return the call without the wish for a url: that is ours, and a server may not know it."""
    if call.response_format != "url":
        return call
    return msgspec.structs.replace(call, response_format=None)


def _check_extra(
    call: ImageCall, deployment: Deployment, policy: AdjustPolicy
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call without fields that we do not know, unless the provider takes any."""
    if not call.extra:
        return call, ()
    refused = _refused(call, deployment)
    known = {name: value for name, value in call.extra.items() if name not in refused}
    others = {name: value for name, value in call.extra.items() if name in refused}
    if others and policy == "strict":
        raise _unknown_parameter(next(iter(others)), deployment)
    reason = f"{_name(deployment)} takes no such field"
    left_out = tuple(Adjustment(name, value, None, reason) for name, value in others.items())
    return msgspec.structs.replace(call, extra=known), left_out


def _refused(call: ImageCall, deployment: Deployment) -> frozenset[str]:
    """Return the further fields of the call that would be an error there.

    Where any field passes, those are the ones whose meaning we know and whose own row lacks them:
    OpenAI refuses a seed.
    """
    provider, row = deployment.provider, deployment.model
    others = frozenset(call.extra) - _params_of(call, deployment)
    if not provider.accepts_unknown_fields:
        return others
    is_own = row is not None and row.provider == provider.name
    return others & frozenset(_BY_NAME) if is_own else frozenset()


def _params_of(call: ImageCall, deployment: Deployment) -> frozenset[str]:
    """Return the provider's own parameters that this operation takes."""
    row = facts_of(deployment)
    if row is None:
        return frozenset()
    left_out = row.edit_without if call.operation == "edit" else ()
    return frozenset(row.params) - frozenset(left_out)


def _unknown_parameter(name: str, deployment: Deployment) -> ImageError:
    return BadRequestError(
        f"Unknown parameter: {name!r}. {_name(deployment)} does not take it; leave it out.",
        param=name,
        code="unknown_parameter",
    )


def _life_cycle(
    deployment: Deployment, *, on_retired: str, today: datetime.date
) -> tuple[str, ...]:
    """Return warnings about the model's age; raise where a retired one is to be refused."""
    if deployment.model is None:
        return _unknown(deployment) if has_life_cycle(deployment) else ()
    found = retirement_of(deployment, today)
    if found and found.is_over and on_retired == "refuse":
        raise NotFoundError(found.text, param="model", code="model_retired", model=found.model)
    return (found.text,) if found else ()


def _unknown(deployment: Deployment) -> tuple[str, ...]:
    """Return what to say of a model without a row, where the catalogue should know it."""
    assumed = deployment.assumed
    if assumed is None and deployment.provider.name not in _OPENAI_SURFACES:
        return ()
    if assumed is not None and assumed.price is not None and assumed.price.reported:
        return ()
    price = "its price is unknown" if deployment.priced is None else "its price is your own"
    return (f"The catalogue does not know {_name(deployment)}: it is sent as asked, {price}.",)


def facts_of(deployment: Deployment) -> Model | None:
    """Return the facts to check against: the row, or what the provider's models have in common.

    None for a model without a row at a compatible server: it may take anything.
    """
    row = deployment.model or deployment.assumed
    if row is not None:
        return row
    if deployment.provider.name not in _OPENAI_SURFACES or has_own_base(deployment):
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

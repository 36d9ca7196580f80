"""What a call becomes at each deployment of its group; calls of one shape are planned once."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self, TypeAlias

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.call_options import CallOptions
from imagegate.candidates import deployments_of, group_of
from imagegate.catalogue.price import format_usd
from imagegate.config.settings import Deployment, Settings
from imagegate.errors import BadRequestError, BudgetExceededError, ImageError
from imagegate.ledger.permissions import check_asked, check_sent
from imagegate.plan import Plan, plan, price_of
from imagegate.router.tags import tagged
from imagegate.types import AdjustPolicy, ImageCall
from imagegate.wire.responses import BODY, image_tool

SHAPES_MAX = 1024
_DAY_S = 24 * 3600

_FIELDS = ImageCall.__struct_fields__
_ASKED = slice(_FIELDS.index("n"), _FIELDS.index("images"))  # `images` and all behind are inputs

Shape: TypeAlias = tuple[object, ...] | None
"""All of a call but its words, None where it has files or fields that we do not know."""


class _Known(Struct, frozen=True):
    """What became of a call of one shape. Its prompt had so many characters, and may cost."""

    plan: Plan
    prompt_chars: int
    charges_words: bool

    @classmethod
    def of(cls, planned: Plan) -> Self:
        """Return what to keep of a plan: nobody's words."""
        call, model = planned.call, planned.deployment.charged_as
        wordless = msgspec.structs.replace(call, id="", prompt="")
        charges_words = bool(model and model.price and model.price.has_token_rates)
        kept = msgspec.structs.replace(planned, call=wordless)
        return cls(kept, len(call.prompt), charges_words)

    def reworded(self, call: ImageCall) -> Plan:
        """Return the plan of another call of the shape."""
        asked = msgspec.structs.replace(self.plan.call, id=call.id, prompt=call.prompt)
        planned = msgspec.structs.replace(self.plan, call=asked)
        if not self.charges_words:
            return planned
        return msgspec.structs.replace(planned, price=price_of(planned))


class Planning:
    """Plans the calls of one configuration. What it knows of a shape holds for the day."""

    def __init__(self, settings: Settings, now_s: Callable[[], float] = clock.now_s) -> None:
        self._settings = settings
        self._now_s = now_s
        self._groups = _by_group(settings.deployments)
        self._known: dict[tuple[object, ...], _Known] = {}
        self._day = 0.0
        self._today = datetime.date.min

    def plans_of(self, call: ImageCall, options: CallOptions, group: str) -> tuple[Plan, ...]:
        """Return a plan for each deployment of `group` that may be asked, at least one.

        Raises `NotFoundError` where there is no such group, the deployment's own error where there
        is one candidate, `BadRequestError` with what each one lacks where there are more, or where
        none has the caller's tags, and `BudgetExceededError` where all cost more than the caller
        allows.
        """
        asked = call if group == call.model else msgspec.structs.replace(call, model=group)
        planned = self.plan_each(asked, options)
        plans: Sequence[Plan] = [one for _, one in planned if isinstance(one, Plan)]
        if not plans:
            raise _no_candidate([(at, one) for at, one in planned if isinstance(one, ImageError)])
        if self._settings.unknown_price == "refuse":
            plans = _priced(plans)
        if options.max_cost_e10 is not None:
            plans = _affordable(plans, options.max_cost_e10)
        if self._settings.router.is_tag_filtered:
            plans = tagged(plans, options.tags)
        return tuple(plans)

    def plan_each(
        self, call: ImageCall, options: CallOptions
    ) -> list[tuple[Deployment, Plan | ImageError]]:
        """Return each deployment of the call's group with its plan, or with why it has none.

        Raises `NotFoundError` where there is no such group, `PermissionDeniedError` where the
        caller may not use it so.
        """
        deployments = self._deployments_of(call.model)
        check_asked(call, deployments[0].group, options.account)
        drawer = _drawer(call, self._settings) if call.operation == "responses" else ""
        if drawer:
            check_asked(call, drawer, options.account)
        self._see_day()
        shape = _shape_of(call)
        planned: list[tuple[Deployment, Plan | ImageError]] = []
        for deployment in deployments:
            policy = options.adjust or deployment.adjust or self._settings.adjust
            try:
                found = self._plan(call, shape, deployment, policy)
                if drawer or call.operation != "responses":
                    check_sent(found.call, options.account)
            except ImageError as error:
                planned.append((deployment, error))
            else:
                planned.append((deployment, found))
        return planned

    def _deployments_of(self, model: str) -> Sequence[Deployment]:
        named = self._groups.get(group_of(model, self._settings))
        return named or deployments_of(model, self._settings)

    def _see_day(self) -> None:
        """Forget what was planned on another day: a model's last one may have come."""
        day = self._now_s() // _DAY_S
        if day != self._day:
            self._day = day
            self._today = datetime.datetime.fromtimestamp(day * _DAY_S, datetime.UTC).date()
            self._known.clear()

    def _plan(
        self, call: ImageCall, shape: Shape, deployment: Deployment, policy: AdjustPolicy
    ) -> Plan:
        if shape is None:
            return self._plan_anew(call, deployment, policy)
        key = (deployment.id, deployment.group, policy, shape)
        known = self._known.get(key)
        # A prompt that is no longer than one that passed cannot be too long.
        if known and len(call.prompt) <= known.prompt_chars and call.prompt.strip():
            return known.reworded(call)
        planned = self._plan_anew(call, deployment, policy)
        if len(self._known) >= SHAPES_MAX:  # callers choose the shapes
            self._known.clear()
        self._known[key] = _Known.of(planned)
        return planned

    def _plan_anew(self, call: ImageCall, deployment: Deployment, policy: AdjustPolicy) -> Plan:
        on_retired = self._settings.on_retired
        return plan(call, deployment, policy=policy, on_retired=on_retired, today=self._today)


def _shape_of(call: ImageCall) -> Shape:
    if call.images or call.mask or call.markup or call.svg is not None or call.extra:
        return None
    return call.operation, call.model, msgspec.structs.astuple(call)[_ASKED]


def _by_group(deployments: Iterable[Deployment]) -> Mapping[str, Sequence[Deployment]]:
    """Return the deployments that have a name of their own, by their group."""
    groups: dict[str, list[Deployment]] = {}
    for one in deployments:
        if not one.named:
            groups.setdefault(one.group, []).append(one)
    return groups


def _drawer(call: ImageCall, settings: Settings) -> str:
    """Return the model group that a response's image tool names, `""` where there is none."""
    tool = image_tool(call.extra[BODY])
    name = str(tool.get("model")) if tool else ""
    return settings.aliases.get(name, name)


def _no_candidate(refusals: Sequence[tuple[Deployment, ImageError]]) -> ImageError:
    if len({error.message for _, error in refusals}) == 1:
        return refusals[0][1]
    reasons = "; ".join(f"{one.id}: {error.message}" for one, error in refusals)
    return BadRequestError(
        f"No deployment of {refusals[0][0].group!r} can do this call. {reasons}",
        param=refusals[0][1].param,
    )


def _priced(plans: Sequence[Plan]) -> Sequence[Plan]:
    """Return the plans whose price is known; raises where none is."""
    kept = [one for one in plans if one.price is not None]
    if not kept:
        name = plans[0].deployment.target.upstream_model
        raise BadRequestError(
            f"The price of {name} is unknown, and this gateway sends nothing without a price "
            "(unknown_price: refuse). Its operator can add one in a catalogue file.",
            param="model",
            code="unknown_price",
        )
    return kept


def _affordable(plans: Sequence[Plan], max_cost_e10: int) -> Sequence[Plan]:
    kept = [one for one in plans if one.price and one.price.highest_e10 <= max_cost_e10]
    if kept:
        return kept
    prices = [one.price.highest_e10 for one in plans if one.price]
    least = f"may cost up to {format_usd(min(prices))} USD" if prices else "has no known price"
    raise BudgetExceededError(
        f"This call {least}; the request allows {format_usd(max_cost_e10)} USD. Nothing was sent. "
        "Raise the limit, or ask for fewer, smaller or simpler images.",
        code="max_cost_exceeded",
    )

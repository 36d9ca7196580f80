"""Which deployments can do a call: the model group's, each with its plan, in configured order."""

import datetime
import difflib
import unicodedata
from collections.abc import Iterable, Sequence

import msgspec

from imagegate import clock
from imagegate.call_options import CallOptions
from imagegate.catalogue.price import format_usd
from imagegate.config.patterns import MARK
from imagegate.config.settings import Deployment, Settings
from imagegate.config.wildcards import named_deployments
from imagegate.errors import (
    BadRequestError,
    BudgetExceededError,
    ImageError,
    NotFoundError,
    UpstreamModelNotFoundError,
)
from imagegate.ledger.permissions import check_asked, check_sent
from imagegate.plan import Plan, plan, tool_deployment, tool_model
from imagegate.router.tags import tagged
from imagegate.types import ImageCall
from imagegate.wire.responses import BODY, image_tool

NAMES_SHOWN_MAX = 12
ODD_SHOWN_MAX = 4


def plan_candidates(call: ImageCall, settings: Settings, options: CallOptions) -> tuple[Plan, ...]:
    """Return a plan for each deployment of the call's model group that can do it, at least one.

    Raises `NotFoundError` where there is no such group, the deployment's own error where there is
    one candidate, `BadRequestError` with what each one lacks where there are more, and
    `BudgetExceededError` where all cost more than the caller allows.
    """
    plans: list[Plan] = []
    refusals: list[tuple[Deployment, ImageError]] = []
    for deployment, planned in plan_each(call, settings, options):
        if isinstance(planned, ImageError):
            refusals.append((deployment, planned))
        else:
            plans.append(planned)
    if not plans:
        raise _no_candidate(refusals)
    return _affordable(_priced(plans, settings), options.max_cost_e10)


def plan_group_of(
    call: ImageCall, settings: Settings, options: CallOptions, group: str
) -> tuple[Plan, ...]:
    """Return a plan for each deployment of `group` that may be asked, at least one.

    Raises what `plan_candidates` does; `BadRequestError` where none has the caller's tags.
    """
    asked = call if group == call.model else msgspec.structs.replace(call, model=group)
    plans = plan_candidates(asked, settings, options)
    return tuple(tagged(plans, options.tags)) if settings.router.is_tag_filtered else plans


def plan_each(
    call: ImageCall, settings: Settings, options: CallOptions
) -> list[tuple[Deployment, Plan | ImageError]]:
    """Return each deployment of the call's model group with its plan, or with why it has none.

    Raises `NotFoundError` where there is no such group, `PermissionDeniedError` where the caller
    may not use it so.
    """
    today = _today()
    found: Plan | ImageError
    planned: list[tuple[Deployment, Plan | ImageError]] = []
    deployments = deployments_of(call.model, settings)
    check_asked(call, deployments[0].group, options.account)
    drawer = _drawer(call, settings)
    if drawer:
        check_asked(call, drawer, options.account)
    for deployment in deployments:
        try:
            found = plan(
                call,
                deployment,
                policy=options.adjust or deployment.adjust or settings.adjust,
                on_retired=settings.on_retired,
                today=today,
            )
            if drawer or call.operation != "responses":
                check_sent(found.call, options.account)
        except ImageError as error:
            found = error
        planned.append((deployment, found))
    return planned


def group_of(model: str, settings: Settings) -> str:
    """Return the model group that a name stands for, whether or not there is one."""
    return settings.aliases.get(model, model) or settings.default_model


def deployments_of(model: str, settings: Settings) -> tuple[Deployment, ...]:
    """Return the deployments of a model group, of an alias of one, or of a wildcard's model.

    Raises `NotFoundError` naming near matches and what this gateway serves.
    """
    group = group_of(model, settings)
    found = tuple(one for one in settings.deployments if one.group == group and not one.named)
    found = found or named_deployments(group, settings.deployments)
    if not found:
        raise NotFoundError(_not_served(model, settings), param="model", model=model)
    return found


def served_names(settings: Settings) -> tuple[str, ...]:
    """Return every name that a caller may ask for, groups first, in configured order.

    A wildcard also serves what the catalogue does not know; then only the operator's pattern tells.
    """
    named = (name for one in settings.deployments for name in names_of(one))
    groups = dict.fromkeys(named)
    return (*groups, *(alias for alias in settings.aliases if alias not in groups))


def names_of(deployment: Deployment) -> Iterable[str]:
    """Return the model group of a deployment, or those that a wildcard's is known to serve."""
    return deployment.named.known(_today()) if deployment.named else (deployment.group,)


def _today() -> datetime.date:
    return datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC).date()


def blamed(error: ImageError, deployment: Deployment, settings: Settings) -> ImageError:
    """Return what to tell of an upstream's error: a model that the caller named is the caller's.

    Behind a wildcard nobody but the caller chose it, and the others' models are as well as before.
    """
    if not deployment.pattern or not isinstance(error, UpstreamModelNotFoundError):
        return error
    near = _near(deployment, settings)
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    return NotFoundError(
        f"{deployment.provider.name} does not know the model "
        f"{deployment.target.upstream_model!r}, or this gateway may not use it there.{hint} "
        "GET /v1/models lists what is known to be served.",
        param="model",
        upstream=error.upstream,
        model=deployment.group,
        llm_provider=deployment.provider.name,
    )


def _near(deployment: Deployment, settings: Settings) -> list[str]:
    """Return names that look like a wildcard's, as its callers write them."""
    served = difflib.get_close_matches(deployment.group, served_names(settings), n=3, cutoff=0.6)
    known = settings.catalogue.near(deployment.target.upstream_model.rpartition("/")[2])
    guessed = [deployment.pattern.replace(MARK, one.partition("/")[2]) for one in known]
    return [name for name in served or guessed if name != deployment.group]


def _drawer(call: ImageCall, settings: Settings) -> str:
    """Return the model group that a response's image tool names, `""` where there is none."""
    tool = image_tool(call.extra[BODY]) if call.operation == "responses" else None
    name = str(tool.get("model")) if tool else ""
    return settings.aliases.get(name, name)


def is_image_model(name: str, settings: Settings) -> bool:
    """Return whether `name` is an image model: a group of theirs here, or one that is known."""
    group = settings.aliases.get(name, name)
    served = [one for one in settings.deployments if one.group == group]
    served = served or list(named_deployments(group, settings.deployments))
    if served:
        return all(one.serves == "images" for one in served)
    return settings.catalogue.find(name) is not None


def can_draw(name: str, settings: Settings) -> bool:
    """Return whether some text model here can have `name` draw for it."""
    group = settings.aliases.get(name, name)
    return any(
        tool_deployment(group, one) or tool_model(group, one)
        for one in settings.deployments
        if one.serves == "responses"
    )


def _not_served(model: str, settings: Settings) -> str:
    names = served_names(settings)
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "nothing"
    more = f" and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
    patterns = ", ".join(one.group for one in settings.deployments if one.named)
    more += f", and names like {patterns}" if patterns else ""
    odd = _odd_characters(model, names)
    return f"No model {model!r} is served here.{odd}{hint} This gateway serves {shown}{more}."


def _odd_characters(model: str, names: Sequence[str]) -> str:
    """Name the characters that no served name has and that look like others, or like nothing."""
    served = set("".join(names))
    odd = dict.fromkeys(one for one in model if one not in served and not "!" <= one <= "~")
    shown = [f"U+{ord(one):04X} {unicodedata.name(one, 'control')}" for one in odd]
    return f" It holds {', '.join(shown[:ODD_SHOWN_MAX])}: type it anew." if shown else ""


def _no_candidate(refusals: Sequence[tuple[Deployment, ImageError]]) -> ImageError:
    if len({error.message for _, error in refusals}) == 1:
        return refusals[0][1]
    reasons = "; ".join(f"{one.id}: {error.message}" for one, error in refusals)
    return BadRequestError(
        f"No deployment of {refusals[0][0].group!r} can do this call. {reasons}",
        param=refusals[0][1].param,
    )


def _priced(plans: Sequence[Plan], settings: Settings) -> Sequence[Plan]:
    """Return the plans whose price is known, where the operator takes no others."""
    if settings.unknown_price != "refuse":
        return plans
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


def _affordable(plans: Sequence[Plan], max_cost_e10: int | None) -> tuple[Plan, ...]:
    if max_cost_e10 is None:
        return tuple(plans)
    kept = tuple(one for one in plans if one.price and one.price.highest_e10 <= max_cost_e10)
    if kept:
        return kept
    prices = [one.price.highest_e10 for one in plans if one.price]
    least = f"may cost up to {format_usd(min(prices))} USD" if prices else "has no known price"
    raise BudgetExceededError(
        f"This call {least}; the request allows {format_usd(max_cost_e10)} USD. Nothing was sent. "
        "Raise the limit, or ask for fewer, smaller or simpler images.",
        code="max_cost_exceeded",
    )

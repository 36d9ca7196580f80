"""Which deployments serve a name, in configured order, and what to say of a name that none has."""

import datetime
import difflib
import unicodedata
from collections.abc import Iterable, Sequence

from imagegate import clock
from imagegate.config.patterns import MARK
from imagegate.config.settings import Deployment, Settings
from imagegate.config.wildcards import named_deployments
from imagegate.errors import (
    ImageError,
    NotFoundError,
    UpstreamModelNotFoundError,
)
from imagegate.plan import tool_deployment, tool_model

NAMES_SHOWN_MAX = 12
ODD_SHOWN_MAX = 4


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

"""When a deployment's model ends, and what to say of it ahead of that day. Pure.

A life cycle belongs to the provider's own surface: what an operator named, or serves at an address
of their own, is never retired by our dates.
"""

import datetime
from collections.abc import Iterable

from msgspec import Struct

from imagegate.config.settings import Deployment, Note

WARN_DAYS = (60, 14, 1)
"""How many days ahead a warning begins, and is told again."""


class Retirement(Struct, frozen=True):
    """The end of a model. `shutdown` is the first day without it; `days_left` until then."""

    model: str
    shutdown: datetime.date
    days_left: int
    successor: str
    source: str

    @property
    def is_over(self) -> bool:
        """Whether that day has come."""
        return self.days_left <= 0

    @property
    def stage(self) -> int:
        """The last of `WARN_DAYS` that has begun; 0 once the model has ended."""
        return 0 if self.is_over else min(days for days in WARN_DAYS if days >= self.days_left)

    @property
    def text(self) -> str:
        """What to tell: the date, what to use instead, and who says so."""
        day = "day" if self.days_left == 1 else "days"
        when = f"ends on {self.shutdown}, in {self.days_left} {day}"
        ended = f"was shut down on {self.shutdown}" if self.is_over else when
        instead = f"; use {self.successor}" if self.successor else ""
        return f"{self.model} {ended}{instead} (source: {self.source})."


def retirement_of(deployment: Deployment, today: datetime.date) -> Retirement | None:
    """Return the end of the deployment's model; None where it is more than 60 days away."""
    shutdown, model = shutdown_of(deployment), deployment.model
    if model is None or shutdown is None:
        return None
    days_left = (shutdown - today).days
    if days_left > max(WARN_DAYS):
        return None
    return Retirement(model.id, shutdown, days_left, model.successor, model.source)


def shutdown_of(deployment: Deployment) -> datetime.date | None:
    """Return the first day without the deployment's model, None where no end is known."""
    model = deployment.model
    if model is None or not has_life_cycle(deployment):
        return None
    return model.shutdown if deployment.target.upstream_model.endswith(model.name) else None


def has_life_cycle(deployment: Deployment) -> bool:
    """Return whether the provider's own calendar holds for the deployment."""
    provider = deployment.provider
    if provider.locate is not None:
        return True
    return bool(provider.base_url) and not has_own_base(deployment)


def has_own_base(deployment: Deployment) -> bool:
    """Return whether the operator gave an address beside the provider's own."""
    provider = deployment.provider
    return bool(provider.base_url) and deployment.target.base_url != provider.base_url


def retirement_notes(deployments: Iterable[Deployment], today: datetime.date) -> tuple[Note, ...]:
    """Return a note for each deployment whose model has ended, or ends within 60 days."""
    found = ((one, retirement_of(one, today)) for one in deployments)
    return tuple(Note(one.group, 0, ended.text) for one, ended in found if ended)

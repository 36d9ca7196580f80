"""Tag routing: which deployments a request's tags lead to."""

from collections.abc import Sequence

from imagegate.errors import BadRequestError
from imagegate.plan import Plan

DEFAULT_TAG = "default"


def tagged(plans: Sequence[Plan], tags: Sequence[str]) -> Sequence[Plan]:
    """Return the plans whose deployments have one of `tags`.

    Without tags: those tagged `default`, or all where none is. Raises `BadRequestError` where no
    deployment has one of them.
    """
    wanted = frozenset(tags) or {DEFAULT_TAG}
    found = [plan for plan in plans if wanted.intersection(plan.deployment.routing.tags)]
    if found or not tags:
        return found or plans
    known = sorted({tag for plan in plans for tag in plan.deployment.routing.tags})
    raise BadRequestError(
        f"No deployment of {plans[0].deployment.group!r} that can do this call has the tags "
        f"{', '.join(tags)}; there are {', '.join(known) or 'none'}.",
        param="x-imagegate-tags",
    )

"""Tells the log of models that end soon: at start, and again 60, 14 and 1 days ahead."""

import datetime
import logging
from collections.abc import Callable, Sequence

from imagegate import clock, telemetry
from imagegate.config.retirement import retirement_of
from imagegate.config.settings import Deployment

PERIOD_S = 60.0

log = logging.getLogger(telemetry.LOGGER)


async def tell_retirements_forever(deployments: Callable[[], Sequence[Deployment]]) -> None:
    """Look once a minute until cancelled: deployments may be new."""
    told: dict[str, int] = {}
    while True:
        today = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC).date()
        tell_retirements(deployments(), today, told)
        await clock.sleep(PERIOD_S)


def tell_retirements(
    deployments: Sequence[Deployment], today: datetime.date, told: dict[str, int]
) -> None:
    """Log each deployment whose stage is another than in `told`, and note the stage there."""
    for deployment in deployments:
        found = retirement_of(deployment, today)
        if found is None or told.get(deployment.id) == found.stage:
            continue
        told[deployment.id] = found.stage
        event = telemetry.MODEL_RETIRED if found.is_over else telemetry.MODEL_RETIRES
        shown = {"deployment": deployment.id, "model": found.model, "days_left": found.days_left}
        log.warning(event, extra=shown | {"reason": found.text})

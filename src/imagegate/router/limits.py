"""What a deployment may take: requests and images a minute, calls at once, retries."""

from imagegate.config.settings import Routing
from imagegate.router.health import MINUTE_S, Health

RETRY_SHARE = 0.2
"""Retries may be this share of what a deployment is doing, and one at least: an outage must not
multiply its load."""


def has_place(limits: Routing, health: Health, requests: int) -> bool:
    """Return whether so many requests may be made beside those that are.

    A call of more requests than the limit goes out alone: it could never go otherwise.
    """
    most = limits.max_in_flight
    return most is None or not health.in_flight or health.in_flight + requests <= most


def room_in_s(limits: Routing, health: Health, images: int, now_s: float) -> float:
    """Return in how many seconds the minute may have room for a request of `images`, 0 for now."""
    if limits.rpm is None and limits.ipm is None:
        return 0.0
    requests_begun, images_begun = health.begun(now_s)
    is_full = limits.rpm is not None and requests_begun >= limits.rpm
    # Here, too, a request for more images than the limit goes out alone.
    is_over = limits.ipm is not None and 0 < images_begun > limits.ipm - images
    return max(0.0, health.oldest_begun_s() + MINUTE_S - now_s) if is_full or is_over else 0.0


def may_retry(health: Health) -> bool:
    """Return whether a deployment's retry budget has room for one more."""
    return health.retrying < max(1.0, RETRY_SHARE * health.in_flight)

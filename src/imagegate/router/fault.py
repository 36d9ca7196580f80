"""What follows an error, by its fault alone (the table of the design)."""

from imagegate.errors import ImageError

SOLE_FAILS_MAX = 10
"""So many failures in a row are borne of a sole deployment: nobody else could serve. Then it rests
as well, for each further ambiguous one may be billed."""

# An outage of a provider looks like a model that is gone; one such answer proves nothing.
_ONCE_IS_NO_PROOF = frozenset(("upstream_model_not_found",))
RETRY_WAIT_S = 0.5
RETRY_WAIT_S_MAX = 10.0
DOUBLINGS_MAX = 6


def may_go_elsewhere(error: ImageError, *, buys_twice: bool) -> bool:
    """Return whether another deployment may be asked: nothing was bought, and another may take it.

    After an ambiguous fault an image may exist: then only where the operator `buys_twice`.
    """
    return error.fault in ("deployment", "moment") or (buys_twice and error.fault == "ambiguous")


def retry_wait_s(
    error: ImageError, retries: int, *, retries_max: int, at_least_s: float
) -> float | None:
    """Return the wait before the same deployment is asked again, None where it is not.

    The upstream's own Retry-After wins over our backoff: it knows when its window resets, we guess.
    """
    if error.fault != "moment" or retries >= retries_max:
        return None
    wait_s = error.retry_after_s
    if wait_s is None:
        wait_s = RETRY_WAIT_S * 2**retries
    wait_s = max(wait_s, at_least_s)
    return wait_s if wait_s <= RETRY_WAIT_S_MAX else None


def is_failure(error: ImageError) -> bool:
    """Return whether an error counts against its deployment; a caller's mistake never does."""
    return error.fault != "call"


def earns_rest_at_once(error: ImageError) -> bool:
    """Return whether one such error is enough for a rest."""
    if error.fault == "moment":
        return error.retry_after_s is not None
    return error.fault == "deployment" and error.code not in _ONCE_IS_NO_PROOF


def rest_s(error: ImageError, cooldown_s: float, rests_in_row: int) -> float:
    """Return how long a deployment rests; each rest without a success between doubles it."""
    longer_s = cooldown_s * (1 << min(rests_in_row, DOUBLINGS_MAX))
    return max(error.retry_after_s or 0.0, longer_s)

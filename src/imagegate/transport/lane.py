"""What every request of a deployment has in common, worked out once: its headers and its mask."""

from collections.abc import Mapping

from msgspec import Struct

from imagegate.config.settings import Deployment
from imagegate.transport.auth import known_headers
from imagegate.transport.mask import Mask

LANES_MAX = 1024


class Lane(Struct, frozen=True, eq=False):
    """Neither is known where a credential's headers are fetched, or made for each request."""

    deployment: Deployment
    headers: Mapping[str, str] | None = None
    mask: Mask | None = None


class Lanes:
    """The lanes of one snapshot's deployments."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def of(self, deployment: Deployment) -> Lane:
        """Return the lane of `deployment`."""
        lane = self._lanes.get(id(deployment))  # which is its own as long as the lane holds it
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                self._lanes.clear()
            lane = self._lanes[id(deployment)] = _open(deployment)
        return lane


def _open(deployment: Deployment) -> Lane:
    known = known_headers(deployment.credential)
    if known is None:
        return Lane(deployment)
    headers = {**deployment.headers, **known}
    return Lane(deployment, headers, Mask(deployment.credential, headers))

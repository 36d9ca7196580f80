"""How much is at work in this process, and whether it still takes calls."""

from typing import Literal, TypeAlias

from imagegate.runtime.supervisor import Supervisor

Stage: TypeAlias = Literal["serving", "leaving", "draining"]


class Traffic:
    """The image requests of one process, whichever snapshot serves them.

    `serving` takes calls; so does `leaving`, which says so to balancers; `draining` takes none.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.request_count = 0
        self.stage: Stage = "serving"

    @property
    def running_count(self) -> int:
        """How many calls are at work, those whose caller has left included."""
        return max(self.request_count, self._supervisor.running_count)

    def is_above(self, calls_max: int) -> bool:
        """Whether a request that has just come in is one too many."""
        return self.request_count > calls_max or self._supervisor.running_count >= calls_max

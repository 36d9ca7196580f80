"""The fake upstream in a thread of the test's own process."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.upstream.bill import Record
from tests.upstream.server import Script, UpstreamServer

WAIT_S_MAX = 10.0


class FakeUpstream:
    """A fake upstream on a free port of loopback, until the `with` block ends.

    All methods may be called from any thread but its own. The waits block, for at most
    `WAIT_S_MAX`; inside an event loop put them into `asyncio.to_thread`.
    """

    def __init__(self, key: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-upstream", daemon=True)
        self._server = UpstreamServer(key)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(WAIT_S_MAX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(WAIT_S_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S_MAX)
        self._loop.close()

    @property
    def url(self) -> str:
        """Return its origin: what Azure calls an endpoint."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def v1(self) -> str:
        """Return the base URL for OpenAI's clients."""
        return f"{self.url}/v1"

    # The script

    def reply(self, mode: str, *, times: int = 1, **options: object) -> None:
        """Answer the next `times` calls that are let in in this mode, after those said before."""
        self._server.queue.extend([_script(mode, options)] * times)

    def always(self, mode: str, **options: object) -> None:
        """Answer so whenever nothing is left of `reply`."""
        self._server.always = _script(mode, options)

    def release(self) -> None:
        """Let all calls go on that are held now; see `wait_held`."""
        self._loop.call_soon_threadsafe(self._server.release)

    def end_jobs(self, status: str) -> None:
        """Let all jobs end with `status`: `Ready`, or one of BFL's words for a failure."""
        self._server.jobs.status = status

    def reset(self) -> None:
        """Forget the bill and the script."""
        self._server.reset()

    # The bill

    @property
    def bill(self) -> list[Record]:
        """Return all requests so far."""
        return self._server.bill.records()

    @property
    def calls(self) -> list[Record]:
        """Return the requests to image routes."""
        return [record for record in self.bill if "/images/" in record.path]

    @property
    def images_billed(self) -> int:
        """Return how many images a real upstream would charge by now."""
        return sum(record.images_billed for record in self.bill)

    # Waits

    def wait_received(self, count: int = 1) -> list[Record]:
        """Return the bill when at least `count` requests have arrived whole."""
        self._wait(lambda: len(self.bill) >= count, f"{count} requests")
        return self.bill

    def wait_held(self, count: int = 1) -> None:
        """Return when at least `count` calls wait for a release, or hang."""
        self._wait(lambda: self._server.held >= count, f"{count} held calls")

    def wait_gone(self, count: int = 1) -> None:
        """Return when the callers of at least `count` held calls have left."""
        self._wait(lambda: sum(record.left for record in self.bill) >= count, f"{count} leavers")

    def wait_finished(self, count: int = 1) -> list[Record]:
        """Return the finished records when at least `count` answers are sent to the last byte."""
        self._wait(lambda: len(self._finished()) >= count, f"{count} finished answers")
        return self._finished()

    def _finished(self) -> list[Record]:
        return [record for record in self.bill if record.finished]

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        changed = self._server.bill.changed
        with changed:
            if not changed.wait_for(ready, WAIT_S_MAX):
                raise TimeoutError(f"the fake upstream waited in vain for {what}")


def _script(mode: str, options: dict[str, object]) -> Script:
    return Script(mode, {name: str(value) for name, value in options.items()})

"""A conversation that notes how long its answers took, for evidence."""

from collections.abc import AsyncIterator, Mapping

from imagegate import clock
from imagegate.transport.live import LiveConversation
from imagegate.wire.exchange import UpstreamRequest, UpstreamResponse


class TimedConversation(LiveConversation):
    """`phases_s` are those of the last answer in seconds: `first_byte` and `body`.

    The first byte of a conversation waits for its connection too.
    """

    phases_s: Mapping[str, float] = {}
    _head_at_s = 0.0

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request and note when head and body of its answer were there."""
        started_s = clock.monotonic_s()
        response = await super().send(request)
        self.phases_s = {
            "first_byte": round(self._head_at_s - started_s, 4),
            "body": round(clock.monotonic_s() - self._head_at_s, 4),
        }
        return response

    async def _take(
        self,
        request: UpstreamRequest,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
    ) -> UpstreamResponse:
        self._head_at_s = clock.monotonic_s()
        return await super()._take(request, status, headers, chunks)

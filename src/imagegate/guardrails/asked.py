"""A check that asks a service: its exchange is driven like a provider's, with the same rules.

The credential goes to the service's own origin only, nothing is redirected, and the answer is
bounded as an upstream's is. Whatever its name resolves to at that moment: no connection leads to a
cloud's own insides, and none without TLS beyond this host.
"""

import msgspec

from imagegate.assets.spool import Spool
from imagegate.config.guards import GuardrailSettings
from imagegate.config.settings import Credential, Deployment
from imagegate.errors import ImageError, UpstreamFailedError
from imagegate.guardrails.subject import GuardExchange, Ruling, Subject
from imagegate.transport.addresses import is_outside_clouds, is_this_host
from imagegate.transport.live import LiveConversation, Transport
from imagegate.transport.run import run
from imagegate.types import PartialImage
from imagegate.wire.exchange import UpstreamResponse
from imagegate.wire.provider import Provider, Target


def read_refusal(response: UpstreamResponse) -> ImageError:
    """Return the failure of a service that did not rule."""
    return UpstreamFailedError(f"the guardrail's service answered with status {response.status}")


SERVICE = Provider(name="guardrail", read_error=read_refusal)


class Asked:
    """Runs one exchange a ruling."""

    def __init__(self, settings: GuardrailSettings, transport: Transport, spool: Spool) -> None:
        is_plain = settings.url.startswith("http://")
        self._transport = transport.narrowed(is_this_host if is_plain else is_outside_clouds)
        self._spool = spool
        self._deployment = Deployment(
            id=f"guardrail-{settings.name}",
            group="",
            provider=SERVICE,
            target=Target(settings.url, settings.model),
            credential=Credential(
                "bearer" if settings.secret else "none", settings.secret, headers=settings.headers
            ),
        )

    async def ask(self, exchange: GuardExchange, subject: Subject) -> Ruling:
        """Return the ruling. Raises an `ImageError` where the service gave none."""
        spool = self._spool.open_call(subject.call_id)
        conversation = LiveConversation(
            self._transport, self._deployment, "", spool, is_logged=False
        )
        try:
            with conversation:
                return await run(exchange, conversation, _ignore)
        except msgspec.MsgspecError as error:
            raise UpstreamFailedError("the guardrail's answer is not of its shape") from error
        finally:
            spool.close()


def _ignore(_: PartialImage) -> None:
    """A guardrail shows nobody anything."""

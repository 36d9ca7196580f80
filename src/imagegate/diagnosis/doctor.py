"""Asks each deployment's provider the free questions P1 to P6, and judges the answers.

Nothing here buys anything: a generation is only ever sent without its prompt.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from yarl import URL

from imagegate import clock
from imagegate.assets.spool import CallSpool, Spool
from imagegate.config.settings import AssetSettings, Credential, Deployment
from imagegate.diagnosis import checkup, way
from imagegate.diagnosis.checkup import Checkup, Seen, Step
from imagegate.diagnosis.questions import Answered, Questions
from imagegate.diagnosis.status_page import Incident, read_incidents
from imagegate.errors import ImageError, UpstreamUnreachableError
from imagegate.transport.auth import fingerprint, secrets_of
from imagegate.transport.live import Transport
from imagegate.transport.reach import reach
from imagegate.transport.run import run
from imagegate.transport.timed import TimedConversation
from imagegate.wire.probes import Ask, ProbeAnswer, ask_one

PROBE_S_MAX = 10.0
DEPLOYMENTS_AT_ONCE = 8
ACCOUNT_TRAITS = (
    *("organization", "project", "api_version", "vertex_project", "vertex_location"),
    "aws_region_name",
)
# What tells who spoke, and finds the request again there; nothing that could hold a secret.
HEADERS_KEPT = frozenset(
    (
        *("x-request-id", "openai-processing-ms", "openai-version", "openai-organization"),
        *("apim-request-id", "x-ms-region", "x-ms-client-request-id", "x-ms-deployment-name"),
        *("x-amzn-requestid", "x-amzn-errortype", "x-litellm-call-id", "x-litellm-model-id"),
        *("x-oneapi-request-id", "x-new-api-version", "x-upstream-request-id", "cf-ray"),
        *("x-imagegate-call-id", "server", "via", "date", "content-type", "retry-after"),
    )
)


class Doctor:
    """Probes deployments over one transport; use `open_doctor`."""

    def __init__(self, transport: Transport, spool: Spool, probe_s_max: float) -> None:
        self._probe_s_max = probe_s_max
        self._transport = transport
        self._spool = spool

    async def examine(
        self, deployments: Sequence[Deployment], on_done: Callable[[], None] = lambda: None
    ) -> tuple[Checkup, ...]:
        """Return what was found out about each, in order; at most eight are asked at once."""
        slots = asyncio.Semaphore(DEPLOYMENTS_AT_ONCE)

        async def one(deployment: Deployment) -> Checkup:
            async with slots:
                found = await self.examine_one(deployment)
            on_done()
            return found

        return tuple(await asyncio.gather(*map(one, deployments)))

    async def examine_one(self, deployment: Deployment) -> Checkup:
        """Return what was found out about one deployment; each probe has a limit of 10 s."""
        steps = [*checkup.judge_name(deployment)]
        if deployment.provider.auth != "none":
            steps += await self._go_there(deployment)
        target = deployment.target
        return Checkup(
            deployment=deployment.id,
            group=deployment.group,
            provider=deployment.provider.name,
            model=target.upstream_model,
            base_url=target.base_url,
            credential=fingerprint(deployment.credential),
            sign_in=deployment.credential.kind,
            account={
                name: str(target.traits[name]) for name in ACCOUNT_TRAITS if target.traits.get(name)
            },
            steps=tuple(steps),
        )

    async def read_status_page(
        self, url: str, deployment: Deployment
    ) -> tuple[Incident, ...] | None:
        """Return the incidents that a provider tells of, None where that cannot be read there.

        No credential goes to a status page.
        """
        bare = msgspec.structs.replace(deployment, credential=Credential(), headers={})
        answered = await self._ask(lambda _: ask_one(url), bare)
        now = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
        page = answered.answer.response.json() if answered.answer else None
        return read_incidents(page, now)

    async def _go_there(self, deployment: Deployment) -> list[Step]:
        base_url = deployment.target.base_url
        proxy = self._transport.proxy_for(URL(base_url, encoded=True))
        first = way.judge_reach(await reach(base_url, proxy), base_url)
        if first.state == "fault":
            return [first]
        asked = Questions(self._ask, deployment)
        return [first, *await asked.all()]

    async def _ask(self, ask: Ask, deployment: Deployment) -> Answered:
        """Run one probe; whatever happens comes back as a value."""
        spool = self._spool.open_call(clock.new_id("probe"))
        started_s = clock.monotonic_s()
        try:
            async with asyncio.timeout(self._probe_s_max):
                answer, phases_s = await self._converse(ask, deployment, spool)
        except TimeoutError:
            return Answered(None, _too_slow(deployment, self._probe_s_max), None, self._probe_s_max)
        except ImageError as error:
            return Answered(None, error, None, clock.monotonic_s() - started_s)
        finally:
            spool.close()
        refused = None if answer.is_success else deployment.provider.read_error(answer.response)
        seen = _seen(answer, secrets_of(deployment.credential), phases_s)
        return Answered(answer, refused, seen, clock.monotonic_s() - started_s)

    async def _converse(
        self, ask: Ask, deployment: Deployment, spool: CallSpool
    ) -> tuple[ProbeAnswer, Mapping[str, float]]:
        conversation = TimedConversation(
            self._transport, deployment, spool.call_id, spool, is_logged=False
        )
        with conversation:
            answer = await run(ask(deployment.target), conversation, lambda _: None)
        return answer, conversation.phases_s


@asynccontextmanager
async def open_doctor(
    folder: str, proxies: Mapping[str, str], *, probe_s_max: float = PROBE_S_MAX
) -> AsyncIterator[Doctor]:
    """Open a doctor that keeps what it reads in `folder`, for as long as the block runs."""
    spool = Spool(AssetSettings(folder=folder))
    transport = Transport(spool, proxies)
    try:
        yield Doctor(transport, spool, probe_s_max)
    finally:
        await transport.aclose()
        spool.close()


def _seen(answer: ProbeAnswer, secrets: Sequence[str], phases_s: Mapping[str, float]) -> Seen:
    request, response = answer.request, answer.response
    now = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
    return Seen(
        method=request.method,
        url=request.url,
        body="".join(part.decode() for part in request.body if isinstance(part, bytes)),
        status=response.status,
        headers={
            name: checkup.shown_text(value, secrets)
            for name, value in response.headers.items()
            if name in HEADERS_KEPT
        },
        text=checkup.shown_text(response.text(), secrets) if not answer.is_success else "",
        at=now.isoformat(timespec="seconds"),
        phases_s=phases_s,
    )


def _too_slow(deployment: Deployment, limit_s: float) -> ImageError:
    return UpstreamUnreachableError(
        f"{deployment.target.base_url} gave no answer to a free question within {limit_s:g} s."
    )

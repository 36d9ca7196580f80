"""One attempt's conversation with its upstream, from preparing its inputs to checked images."""

import asyncio
import logging

from imagegate import telemetry
from imagegate.attempt import Attempt, internal_error
from imagegate.candidates import blamed
from imagegate.config.settings import Settings
from imagegate.errors import ImageError
from imagegate.keep import collect
from imagegate.pixels import encode_result, prepare_attempt
from imagegate.running import Work
from imagegate.settle import Tools
from imagegate.transport.live import LiveConversation
from imagegate.transport.run import run
from imagegate.types import ImageResult

log = logging.getLogger(telemetry.LOGGER)


async def converse(
    running: Work, attempt: Attempt, settings: Settings, tools: Tools
) -> ImageResult:
    """Run the attempt's exchange; whatever it brought is checked and in the spool."""
    limit_s = attempt.plan.deployment.timeout_s + settings.late_s
    spool, worker = running.spool, tools.worker
    try:
        with running.trace.step("attempt", attributes=attempt.attributes()) as step:
            attempt.step_number = step.number
            if attempt.plan.call.operation == "edit":
                with running.trace.step("prepare", step.number):
                    attempt.plan = await prepare_attempt(attempt.plan, spool, worker)
            result = await _exchange(running, attempt, tools, limit_s)
            if attempt.plan.encoding is not None:
                result, attempt.plan = await encode_result(result, attempt.plan, spool, worker)
            return result
    except TimeoutError as error:
        raise attempt.late(limit_s) from error
    except ImageError as error:
        raise blamed(error, attempt.plan.deployment, settings) from error
    except Exception as bug:
        log.exception(telemetry.TASK_CRASHED, extra={"call_id": running.id})
        raise internal_error(bug) from bug


async def _exchange(running: Work, attempt: Attempt, tools: Tools, limit_s: float) -> ImageResult:
    deployment, trace, above = attempt.plan.deployment, running.trace, attempt.step_number
    conversation = _open(running, attempt, tools)
    origin, hosts = deployment.target.base_url, deployment.provider.result_hosts
    async with asyncio.timeout(limit_s):
        with conversation:
            with trace.step("upstream", above):
                result = await run(attempt.exchange(), conversation, running.show)
            with trace.step("collect", above):
                spool, downloader = running.spool, tools.downloader
                return await collect(result, origin, spool, downloader, hosts=hosts)


def _open(running: Work, attempt: Attempt, tools: Tools) -> LiveConversation:
    """Write the attempt's first line to the journal; from here on something may be bought."""
    attempt.is_guarded = running.guard.checks_output
    running.begin_sending(attempt.id)
    tools.spool.journal.append(attempt.opened())
    deployment, trace = attempt.plan.deployment, running.trace
    conversation = LiveConversation(tools.transport, deployment, attempt.id, running.spool)
    if trace.is_sent_on or tools.sinks.is_traced:
        conversation.traceparent = trace.traceparent(attempt.step_number)
    if deployment.provider.takes_idempotency_key:
        conversation.idempotency_key = attempt.idempotency_key(running.scoped_key)
    attempt.conversation = conversation
    return conversation

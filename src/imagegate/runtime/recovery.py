"""Recovery at start: exchanges of processes that are gone are replayed from their journals.

A complete answer is adopted, kept and settled; an attempt that was never sent is released; a job
that was submitted is followed to its end, and never submitted again. All else is `unknown`, with
its charge held and its fragments kept as evidence.
"""

import asyncio
import logging
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from imagegate import clock, telemetry
from imagegate.assets.journal import Opened
from imagegate.assets.leftovers import AttemptLog, Leftovers, open_leftover
from imagegate.assets.spool import SpoolFile
from imagegate.attempt import answer_of, at_price, request_id_in, usage_json
from imagegate.catalogue.price import charge_of
from imagegate.config.settings import Deployment
from imagegate.errors import ImageError
from imagegate.keep import asset_name, collect, keep
from imagegate.ledger.answers import write_told
from imagegate.ledger.records import (
    ENDABLE_CALL_STATES,
    AssetRecord,
    AttemptEnd,
    AttemptRecord,
    CallEnd,
    Fail,
    Keep,
    Settle,
    state_of,
)
from imagegate.providers import PROVIDERS
from imagegate.runtime.holding import GONE, close_call
from imagegate.runtime.retelling import retell
from imagegate.runtime.snapshot import Snapshot
from imagegate.stored import unchecked
from imagegate.transport.live import LiveConversation
from imagegate.transport.replay import LogEnded, LoggedAnswer, ReplayedConversation
from imagegate.transport.run import run
from imagegate.types import ImageResult, PartialImage

UNCHECKED = "guardrail_unchecked"
"""The code of an attempt whose images stay held: its process died before a guardrail's verdict."""

JOBS_MAX = 16
"""So many jobs are followed at once."""

log = logging.getLogger(telemetry.LOGGER)


class Job(Struct, frozen=True):
    """An attempt whose log ends while it asks for its job; `deployment` may go on asking."""

    attempt: AttemptRecord
    log: AttemptLog
    deployment: Deployment


class Recovered(Struct):
    """How many attempts a recovery ended, by how."""

    adopted: int = 0
    unsent: int = 0
    unknown: int = 0


class Recovery:
    """One recovery; the leftovers are claimed when it is made, before anything is served."""

    def __init__(self, snapshot: Snapshot, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._snapshot = snapshot
        self._settings = snapshot.settings
        self._tools = tools = snapshot.tools
        self._leftovers = Leftovers(tools.spool.root, own=tools.spool.owner)
        self.recovered = Recovered()
        self._jobs: list[Job] = []
        self._job_slots = asyncio.Semaphore(JOBS_MAX)

    @property
    def owners(self) -> frozenset[str]:
        """The processes whose work is taken over: as long as that lasts, they count as alive."""
        return frozenset(self._leftovers.owners)

    async def run(self) -> Recovered:
        """End every open attempt of processes that are gone, then remove their folders."""
        self._snapshot.users.enter()
        try:
            return await self._run()
        finally:
            self._snapshot.users.leave()

    async def _run(self) -> Recovered:
        self._jobs.clear()  # it may be run again where the ledger went away
        owner = self._tools.spool.owner
        after = ""
        while attempts := await self._tools.ledger.open_attempts(not_owner=owner, after=after):
            for attempt in attempts:
                if self._is_ours(attempt.owner):
                    await self._end(attempt)
            after = attempts[-1].id
        await self._look_again()
        await self._close_calls()
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._follow(job))
        await self._close_calls()  # of several jobs of one call none may have been the last
        self._leftovers.remove()
        return self.recovered

    def _is_ours(self, owner: str) -> bool:
        """Whether to end what a process left open: in a shared ledger, if its folder is here.

        The others are alive, or will find their own journals when they start again.
        """
        return not self._is_shared or owner in self._leftovers.owners

    async def _end(self, attempt: AttemptRecord) -> None:
        command = await self._command_for(attempt)
        if command is not None:
            await self._commit(attempt, command)

    async def _commit(self, attempt: AttemptRecord, command: Settle | Fail) -> None:
        end = await self._end_of_call(command.attempt, attempt.call_id, command.call)
        attempt_log = self._leftovers.logs.get(attempt.id)
        request_id = request_id_in(attempt_log.last_headers) if attempt_log else ""
        ended = msgspec.structs.replace(command.attempt, upstream_request_id=request_id)
        await self._tools.ledger.commit(msgspec.structs.replace(command, attempt=ended, call=end))
        if end is not None:
            await retell(self._tools, end.id)
        state = command.attempt.state
        extra = {"call_id": attempt.call_id, "attempt": attempt.id, "state": state}
        if state == "settled":
            self.recovered.adopted += 1
            log.warning(telemetry.CALL_RECOVERED, extra=extra)
        elif state == "unknown":
            self.recovered.unknown += 1
            log.warning(telemetry.CALL_UNKNOWN, extra=extra)
        else:
            self.recovered.unsent += 1

    async def _end_of_call(
        self, ended: AttemptEnd, call_id: str, end: CallEnd | None
    ) -> CallEnd | None:
        """Return the end of the call where this attempt was the last of its parts, else None.

        None too where the call ended so before: whoever is told of it was.
        """
        call = await self._tools.ledger.get_call(call_id)
        attempts = await self._tools.ledger.attempts_of(call_id)
        state = state_of(ended.state if one.id == ended.id else one.state for one in attempts)
        if end is None or call is None or state == "running":
            return None
        if call.state not in ENDABLE_CALL_STATES or call.state == state:
            return None
        return msgspec.structs.replace(end, state=state)

    async def _command_for(self, attempt: AttemptRecord) -> Settle | Fail | None:
        """Return how the attempt ended, or None where its job is followed later."""
        attempt_log = self._leftovers.logs.get(attempt.id)
        if attempt_log is None:
            # The journal's line comes before anything is sent: without it nothing was bought,
            # unless the journal itself is gone.
            is_known = attempt.owner in self._leftovers.owners
            return _fail(attempt, "unsent" if is_known else "unknown", GONE)
        try:
            return await self._adopt(attempt, attempt_log)
        except LogEnded as end:
            deployment = self._deployment_of(attempt, attempt_log) if end.may_go_on else None
        if deployment is not None:
            self._jobs.append(Job(attempt, attempt_log, deployment))
            return None
        self._keep_fragments(attempt_log)
        return _fail(attempt, "unknown", GONE)

    async def _adopt(
        self,
        attempt: AttemptRecord,
        attempt_log: AttemptLog,
        live: LiveConversation | None = None,
    ) -> Settle | Fail:
        """Return how the attempt ended by its log, and by `live` from there on. May `LogEnded`."""
        try:
            result = await self._replay(attempt_log, live)
        except ImageError as error:
            self._keep_fragments(attempt_log)
            is_unknown = error.fault == "ambiguous"
            state: Literal["unknown", "refused"] = "unknown" if is_unknown else "refused"
            return _fail(attempt, state, error.code, write_told(error))
        return self._settled(attempt, attempt_log, result)

    async def _follow(self, job: Job) -> None:
        """Go on asking for a job with the credential of today's settings, and write its end."""
        spool = self._tools.spool.open_call(job.attempt.call_id)
        live = LiveConversation(
            self._tools.transport, job.deployment, job.attempt.id, spool, is_logged=False
        )
        limit_s = job.deployment.timeout_s + self._settings.late_s
        try:
            async with self._job_slots, asyncio.timeout(limit_s):
                with live:
                    command = await self._adopt(job.attempt, job.log, live)
        except (LogEnded, TimeoutError):
            command = _fail(job.attempt, "unknown", "upstream_timeout")
        await self._commit(job.attempt, command)
        spool.close()

    def _deployment_of(self, attempt: AttemptRecord, attempt_log: AttemptLog) -> Deployment | None:
        """Return the same deployment, else one of that provider at the same place; its credential
        is the one that is configured now."""
        base_url = attempt_log.opened.target.base_url
        there = [
            one
            for one in self._settings.deployments
            if one.provider.name == attempt.provider and one.target.base_url == base_url
        ]
        same = (one for one in there if one.id == attempt.deployment_id)
        return next(same, next(iter(there), None))

    def _settled(
        self, attempt: AttemptRecord, attempt_log: AttemptLog, result: ImageResult
    ) -> Settle:
        opened = attempt_log.opened
        answer = answer_of(opened.call, result)
        end = AttemptEnd(
            id=attempt.id,
            state="settled",
            ended_at=clock.now_s(),
            cost_e10=self._cost_e10(attempt, opened, result),
            usage=usage_json(result),
            error_code=UNCHECKED * opened.is_guarded,
            upstream_status=200,
            answer=write_told(unchecked(), answer) if opened.is_guarded else answer,
        )
        assets = self._kept(attempt, result, is_held=opened.is_guarded)
        return Settle(end, assets, _call_end(attempt, "done"))

    def _cost_e10(self, attempt: AttemptRecord, opened: Opened, result: ImageResult) -> int | None:
        if opened.call.operation == "responses":
            return None  # its body, and with it what its tool was, is not written down
        known = self._settings.catalogue.find(opened.model) if opened.model else None
        return charge_of(at_price(known, attempt.price), opened.call, result)

    def _kept(
        self, attempt: AttemptRecord, result: ImageResult, *, is_held: bool
    ) -> tuple[AssetRecord, ...]:
        """Keep the images; one that a guardrail had still to look at stays out of reach."""
        assets = self._settings.assets
        return keep(
            result,
            self._tools.store,
            call_id=attempt.call_id,
            attempt_id=attempt.id,
            expires_at=clock.now_s() + max(assets.retention_s, assets.evidence_s),
            is_held=is_held,
        )

    async def _replay(
        self, attempt_log: AttemptLog, live: LiveConversation | None = None
    ) -> ImageResult:
        """Return what the answers amount to. Raises `LogEnded` or the failure that they tell."""
        opened = attempt_log.opened
        provider = next(one for one in PROVIDERS if one.name == opened.provider)
        adapter = provider.adapter(opened.call.operation)
        assert adapter is not None
        conversation = ReplayedConversation(
            [
                LoggedAnswer(head, self._open(path, size, opened.attempt) if path else None)
                for head, path, size in attempt_log.answers()
            ],
            live,
        )
        result = await run(adapter(opened.call, opened.target), conversation, _ignore)
        spool = self._tools.spool.open_call(opened.call.id)
        return await collect(
            result,
            opened.target.base_url,
            spool,
            self._tools.downloader,
            hosts=provider.result_hosts,
        )

    def _open(self, path: Path, size: int, attempt_id: str) -> SpoolFile:
        self._tools.store.take_back(asset_name(path.name, attempt_id), path)
        return open_leftover(path, size)

    def _keep_fragments(self, attempt_log: AttemptLog) -> None:
        for path in attempt_log.fragments():
            self._tools.store.keep_evidence(path, asset_name(path.name, attempt_log.opened.attempt))

    async def _look_again(self) -> None:
        """Look at attempts that have ended, and whose journal is here all the same.

        One that was given up by another process may be adopted after all. One that was settled
        without assets (retention off) and never delivered is kept.
        """
        for attempt_log in self._leftovers.logs.values():
            opened = attempt_log.opened
            found = await self._tools.ledger.attempts_of(opened.call.id)
            attempt = next((one for one in found if one.id == opened.attempt), None)
            if attempt is None:
                continue
            if attempt.state == "unknown" and attempt.error_code == GONE:
                await self._end(attempt)
            elif attempt.state == "settled" and not await self._has_assets(attempt):
                await self._keep_settled(attempt, attempt_log)

    async def _has_assets(self, attempt: AttemptRecord) -> bool:
        kept = await self._tools.ledger.assets_of(attempt.call_id)
        return any(asset.attempt_id == attempt.id for asset in kept)

    async def _keep_settled(self, attempt: AttemptRecord, attempt_log: AttemptLog) -> None:
        try:
            result = await self._replay(attempt_log)
            is_held = attempt_log.opened.is_guarded
        except (ImageError, LogEnded) as gone:
            # Its url has expired, or its answer is not whole: nothing is left to keep.
            log.warning(
                telemetry.CALL_FAILED,
                extra={"call_id": attempt.call_id, "attempt": attempt.id, "reason": str(gone)},
            )
            return
        await self._tools.ledger.commit(Keep(self._kept(attempt, result, is_held=is_held)))
        self.recovered.adopted += 1
        extra = {"call_id": attempt.call_id, "attempt": attempt.id, "state": "settled"}
        log.warning(telemetry.CALL_RECOVERED, extra=extra)

    async def _close_calls(self) -> None:
        """End calls whose attempts had all ended: their process died between two of them."""
        after = ""
        owner = self._tools.spool.owner
        while calls := await self._tools.ledger.open_calls(not_owner=owner, after=after):
            for call in calls:
                if self._is_ours(call.owner):
                    await close_call(self._tools.ledger, call.id)
                    await retell(self._tools, call.id)
            after = calls[-1].id


def _fail(
    attempt: AttemptRecord,
    state: Literal["unsent", "refused", "unknown"],
    code: str,
    answer: str | None = None,
) -> Fail:
    end = AttemptEnd(
        id=attempt.id,
        state=state,
        ended_at=clock.now_s(),
        cost_e10=None if state == "unknown" else 0,
        error_code=code,
        answer=answer,
    )
    return Fail(end, _call_end(attempt, "unknown" if state == "unknown" else "failed", code))


def _call_end(
    attempt: AttemptRecord, state: Literal["done", "failed", "unknown"], code: str = ""
) -> CallEnd:
    return CallEnd(id=attempt.call_id, state=state, finished_at=clock.now_s(), error_code=code)


def _ignore(_: PartialImage) -> None:
    """A replay shows nobody anything."""

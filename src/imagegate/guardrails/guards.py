"""Which guardrails a call meets, and what becomes of it: the one place where rulings turn to deeds.

`pre_call` may change the texts or refuse, before anything is sent. `during_call` runs beside the
upstream; its refusal holds the images. `post_call` sees the images before their caller does.
`logging_only` runs when the caller has been answered; it changes what is logged and nothing else.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from imagegate import telemetry
from imagegate.assets.spool import CallSpool, Spool
from imagegate.assets.transform import Worker
from imagegate.config.guards import GuardrailSettings
from imagegate.config.patterns import matches
from imagegate.errors import BadRequestError, ImageError
from imagegate.guardrails.blur import blur_images
from imagegate.guardrails.http_check import HttpCheck
from imagegate.guardrails.openai_moderation import Moderation
from imagegate.guardrails.python_class import PythonCheck
from imagegate.guardrails.refusals import held, refused, unavailable
from imagegate.guardrails.sensitive import Sensitive
from imagegate.guardrails.subject import (
    Check,
    Ruling,
    Subject,
    input_of,
    output_of,
    whole_of,
    with_revised,
    with_texts,
)
from imagegate.guardrails.words import Words
from imagegate.telemetry import Attribute, GuardMode, Verdict
from imagegate.trace import Trace
from imagegate.transport.live import Transport
from imagegate.types import ImageCall, ImageResult, Json
from imagegate.wire.responses import BODY

FIELD = "guardrails"
NAMES_MAX = 32
OBSERVE_S_MAX = 2.0
UNSEEN = "unseen_input"
FAILED = "guardrail_failed"

log = logging.getLogger(telemetry.LOGGER)


class Guard(Struct, frozen=True, eq=False):
    """A guardrail that is ready to rule."""

    settings: GuardrailSettings
    check: Check


class Guards:
    """All guardrails of one runtime. Raises `ConfigError` where a class of its own is missing."""

    def __init__(
        self,
        settings: Iterable[GuardrailSettings],
        transport: Transport,
        spool: Spool,
        worker: Worker,
    ) -> None:
        self._worker = worker
        self._guards = {one.name: Guard(one, _made(one, transport, spool)) for one in settings}

    def choose(
        self, call: ImageCall, asked: Sequence[str], trace: Trace, end_user: str, group: str
    ) -> tuple[ImageCall, "GuardedCall"]:
        """Return the call without its `guardrails` field, and the guardrails that it meets.

        A caller may add guardrails by name, never take one away. Raises `BadRequestError` for a
        name that is not there.
        """
        call, named = _take_names(call)
        wanted = {*asked, *named}
        if unknown := wanted - self._guards.keys():
            name = min(unknown)[:64]
            raise BadRequestError(
                f"There is no guardrail {name!r} here.", param=FIELD, code="invalid_value"
            )
        chosen = [
            guard
            for guard in self._guards.values()
            if guard.settings.name in wanted or _is_on(guard.settings, group, trace)
        ]
        return call, GuardedCall(tuple(chosen), trace, end_user, self._worker)

    def cover(self, guard: "GuardedCall", group: str) -> bool:
        """Return whether a call that meets `guard` may go to `group`: nothing is missing there."""
        return not self._guards or all(
            name in guard.names or not _is_on(one.settings, group, guard.trace)
            for name, one in self._guards.items()
        )

    def none(self, call_id: str) -> "GuardedCall":
        """Return no guardrails, for a call whose verdicts have been given."""
        return GuardedCall((), Trace(call_id), "", self._worker)

    async def test(self, name: str, subject: Subject) -> Verdict:
        """Return the verdict of one guardrail. Raises `BadRequestError` where there is none."""
        guard = self._guards.get(name)
        if guard is None:
            known = ", ".join(self._guards) or "none"
            raise BadRequestError(
                f"There is no guardrail {name[:64]!r}; there are: {known}.", param="name"
            )
        trace = Trace(subject.call_id)
        wanted: GuardMode = "pre_call" if subject.stage == "input" else "post_call"
        mode = wanted if wanted in guard.settings.modes else min(guard.settings.modes)
        await GuardedCall((guard,), trace, subject.end_user, self._worker).rule(
            guard, mode, subject
        )
        return trace.verdicts[0]


class GuardedCall:
    """The guardrails of one call, and what they said.

    `names` are those of all that it meets, in configured order. `checks_input`: something is asked
    before anything is sent. `checks_output`: an image may be held, so no partial is shown before
    the verdict.
    """

    names: tuple[str, ...] = ()
    checks_input = False
    checks_output = False

    def __init__(
        self, guards: tuple[Guard, ...], trace: Trace, end_user: str, worker: Worker
    ) -> None:
        self._guards = guards
        self.trace = trace
        self.end_user = end_user
        self._worker = worker
        self._beside: asyncio.Task[Guard | None] | None = None
        if guards:
            self.names = tuple(guard.settings.name for guard in guards)
            self.checks_input = bool(self._in("pre_call"))
            self.checks_output = bool(self._in("during_call") or self._in("post_call"))

    async def check_input(self, call: ImageCall) -> ImageCall:
        """Return the call with what was masked.

        Raises `ContentPolicyViolationError` with the guardrail's name and category, and
        `OverloadedError` where a guardrail that fails closed gave no verdict.
        """
        for guard in self._in("pre_call"):
            ruling = await self.rule(guard, "pre_call", input_of(call, self.end_user))
            if ruling.action == "mask":
                call = with_texts(call, ruling.texts)
            elif ruling.action != "allow":
                raise refused(guard.settings.name, ruling)
        return call

    def begin(self, call: ImageCall) -> None:
        """Start what runs beside the upstream call."""
        if any(self._in("during_call")):
            work = self._check_beside(input_of(call, self.end_user))
            self._beside = asyncio.create_task(work, name=f"guardrails {call.id}")

    async def check_output(
        self, call: ImageCall, result: ImageResult, spool: CallSpool
    ) -> tuple[ImageResult, ImageError | None]:
        """Return what may be delivered, and why nothing may be; never raises."""
        if self._beside is not None and (guard := await self._beside) is not None:
            return result, held(
                guard.settings.name, Ruling(action="hold", category=self._last(guard))
            )
        for guard in self._in("post_call"):
            subject = output_of(call, result, self.end_user)
            try:
                ruling = await self.rule(guard, "post_call", subject)
                if not _cannot_change(call, ruling):
                    result = await self._obey(ruling, result, spool)
            except Exception as error:  # an image that nobody could check stays with us
                log.warning(telemetry.GUARDRAIL_FAILED, extra=_told(guard, error))
                return result, held(guard.settings.name, Ruling(action="hold", category=FAILED))
            if ruling.action in ("hold", "deny") or _cannot_change(call, ruling):
                return result, held(guard.settings.name, ruling)
        return result, None

    async def observe(self, call: ImageCall, result: ImageResult | None) -> None:
        """Let those rule that only look, and take what they mask out of the logged prompt.

        Who cancels it waits for them, a little: a process that ends has told its callers already.
        """
        if not self._in("logging_only"):
            return
        work = asyncio.ensure_future(self._observe(call, result))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait((work,), timeout=OBSERVE_S_MAX)
            if not work.done():
                work.cancel()
                self.trace.logged_prompt = None
            raise

    async def _observe(self, call: ImageCall, result: ImageResult | None) -> None:
        for guard in self._in("logging_only"):
            try:
                subject = whole_of(call, result, self.end_user)
                ruling = await self.rule(guard, "logging_only", subject)
            except ImageError:
                self.trace.logged_prompt = None  # a prompt that nobody could clean is not logged
                continue
            if self.trace.logged_prompt is not None and ruling.action != "allow":
                self.trace.logged_prompt = ruling.texts.get("prompt", f"[{ruling.category}]")

    async def end(self) -> None:
        """Wait for what still runs beside; its verdict is a part of the record."""
        if self._beside is not None:
            await asyncio.gather(self._beside, return_exceptions=True)

    def stop(self) -> None:
        """Cancel what still runs beside: its call is over."""
        if self._beside is not None:
            self._beside.cancel()

    async def rule(self, guard: Guard, mode: GuardMode, subject: Subject) -> Ruling:
        """Return the ruling within the deadline, and note it; `open` guardrails allow by failing.

        Raises `OverloadedError` where one that fails closed gave none.
        """
        settings = guard.settings
        told: dict[str, Attribute] = {"imagegate.guardrail": settings.name, "imagegate.mode": mode}
        with self.trace.step("guardrail", attributes=told) as step:
            try:
                async with asyncio.timeout(settings.deadline_s):
                    ruling = await _rule(guard, subject)
            except Exception as error:
                step.error = type(error).__name__
                log.warning(telemetry.GUARDRAIL_FAILED, extra=_told(guard, error))
                self._note(guard, mode, "error", FAILED)
                if settings.on_error == "open":
                    return Ruling()
                raise unavailable(settings.name) from error
            step.attributes["imagegate.verdict"] = ruling.action
        self._note(guard, mode, ruling.action, ruling.category)
        return ruling

    async def _check_beside(self, subject: Subject) -> Guard | None:
        """Return the guardrail that refuses, None where all allow.

        What should have been masked has been sent already, so it is refused too.
        """
        for guard in self._in("during_call"):
            try:
                ruling = await self.rule(guard, "during_call", subject)
            except ImageError:
                return guard
            if ruling.action != "allow":
                return guard
        return None

    async def _obey(self, ruling: Ruling, result: ImageResult, spool: CallSpool) -> ImageResult:
        if ruling.action == "mask":
            return with_revised(result, ruling.texts)
        if ruling.action == "blur":
            return await blur_images(result, spool, self._worker)
        return result

    def _in(self, mode: GuardMode) -> tuple[Guard, ...]:
        if not self._guards:
            return ()
        return tuple(guard for guard in self._guards if mode in guard.settings.modes)

    def _last(self, guard: Guard) -> str:
        said = [one for one in self.trace.verdicts if one.guardrail == guard.settings.name]
        return said[-1].category if said else FAILED

    def _note(
        self, guard: Guard, mode: GuardMode, action: telemetry.GuardAction, category: str
    ) -> None:
        verdict = Verdict(
            guardrail=guard.settings.name, mode=mode, action=action, category=category
        )
        self.trace.verdicts.append(verdict)


async def _rule(guard: Guard, subject: Subject) -> Ruling:
    if subject.has_unseen and guard.check.sees_images:
        return Ruling(action="deny", category=UNSEEN)  # only the provider could look at it
    ruling = await guard.check.rule(subject)
    if ruling.action == "blur" and subject.stage == "input":
        return msgspec.structs.replace(ruling, action="deny")
    return ruling


def _made(settings: GuardrailSettings, transport: Transport, spool: Spool) -> Check:
    match settings.kind:
        case "words":
            return Words(settings)
        case "sensitive":
            return Sensitive(settings)
        case "openai_moderation":
            return Moderation(settings, transport, spool)
        case "http":
            return HttpCheck(settings, transport, spool)
        case "python":
            return PythonCheck(settings)


def _is_on(settings: GuardrailSettings, group: str, trace: Trace) -> bool:
    """Return whether a call for `group` meets it unasked."""
    if matches(settings.named_by, group) or not settings.holders.isdisjoint(trace.holders):
        return True
    if settings.model_groups:
        return matches(settings.model_groups, group)
    return settings.default_on


def _cannot_change(call: ImageCall, ruling: Ruling) -> bool:
    """Return whether a change was ruled where the answer is passed on as it came."""
    is_changed = ruling.action == "blur" or any(
        path.startswith(("revised_prompt", "output")) for path in ruling.texts
    )
    return call.operation == "responses" and is_changed


def _take_names(call: ImageCall) -> tuple[ImageCall, tuple[str, ...]]:
    """Return the call without the names, which are ours and never an upstream's, and the names."""
    is_relayed = call.operation == "responses"
    fields = call.extra.get(BODY, {}) if is_relayed else call.extra
    if FIELD not in fields:
        return call, ()
    left = {name: value for name, value in fields.items() if name != FIELD}
    extra = {**call.extra, BODY: left} if is_relayed else left
    return msgspec.structs.replace(call, extra=extra), _names(fields[FIELD])


def _names(value: Json) -> tuple[str, ...]:
    """Return names as JSON bodies and forms write them: a list, or text with commas."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.startswith("[") else value.split(",")
        except ValueError:
            value = None
    if not isinstance(value, list) or len(value) > NAMES_MAX:
        raise BadRequestError("guardrails must be a list of names", param=FIELD)
    if not all(isinstance(name, str) for name in value):
        raise BadRequestError("guardrails must be a list of names", param=FIELD)
    return tuple(name.strip() for name in value if name.strip())


def _told(guard: Guard, error: Exception) -> Mapping[str, str]:
    reason = error.message if isinstance(error, ImageError) else ""
    return {
        "guardrail": guard.settings.name,
        "error": type(error).__name__,
        "reason": reason[:300],
    }

"""The questions P2 to P6 to one provider, in order, until one of them decides.

Where a provider has no free question of a kind, that is told: a silence would look like health.
"""

from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.config.settings import Deployment
from imagegate.diagnosis import checkup, way
from imagegate.diagnosis.checkup import Seen, Step
from imagegate.errors import Finding, ImageError, UpstreamModelNotFoundError
from imagegate.wire.probes import Ask, ProbeAnswer


class Answered(Struct, frozen=True):
    """A probe's end: an answer, or an error of ours or of the provider's; in words for evidence."""

    answer: ProbeAnswer | None
    error: ImageError | None
    seen: Seen | None
    elapsed_s: float


Asking: TypeAlias = Callable[[Ask, Deployment], Awaitable[Answered]]
"""Puts one question to a deployment; never raises."""


class Questions:
    """The questions to one provider, in order; a refused credential ends them."""

    def __init__(
        self,
        ask: Asking,
        deployment: Deployment,
    ) -> None:
        self._ask_it = ask
        self._deployment = deployment
        self._probes = deployment.provider.probes
        self._names: tuple[str, ...] = ()
        self._usable: tuple[str, ...] = ()
        self._has_clock = False
        self._steps: list[Step] = []

    async def all(self) -> list[Step]:
        """Return a step for each question, and for those that this provider has no answer to."""
        asked = (self._account, self._models, self._model, self._deployments, self._invalid)
        for question in asked:
            await question()
            if any(step.state == "fault" and step.probe != "P1" for step in self._steps):
                break
        return [*self._steps, *checkup.not_possible(self._deployment)]

    async def _account(self) -> None:
        answered = await self._ask(self._probes.account, "P2", "account")
        if answered and answered.answer:
            refusal = self._refused("P2", "account", answered) if answered.error else None
            self._add(refusal or checkup.judge_account(answered.answer), answered)

    async def _models(self) -> None:
        answered = await self._ask(self._probes.models, "P2", "list models")
        if answered and answered.answer:
            self._names = answered.answer.names
            self._usable = () if self._deployment.provider.names_deployments else self._names
            refusal = self._refused("P2", "list models", answered) if answered.error else None
            self._add(checkup.judge_models(answered.answer, refusal, self._deployment), answered)

    async def _model(self) -> None:
        answered = await self._ask(self._probes.model, "P3", "get model")
        if not answered or not answered.answer:
            return
        if answered.error:
            self._add(self._refused("P3", "get model", answered), answered)
            return
        told = answered.answer.shutdown
        text = f"The provider says that it ends on {told}." if told else ""
        state: checkup.State = "warning" if told else "ok"
        self._add(Step(probe="P3", title="get model", state=state, text=text), answered)

    async def _deployments(self) -> None:
        title = checkup.list_title(self._deployment)
        answered = await self._ask(self._probes.deployments, "P4", title)
        if not answered or not answered.answer:
            return
        if answered.error:
            self._add(self._refused("P4", title, answered), answered)
            return
        self._names = self._usable = answered.answer.names
        self._add(checkup.judge_deployments(self._names, self._deployment), answered)

    async def _invalid(self) -> None:
        if self._deployment.serves != "images":
            return
        title = "invalid on purpose"
        answered = await self._ask(self._probes.invalid, "P5", title)
        if not answered or not answered.answer:
            return
        if answered.error is None:
            self._add(_taken(title), answered)
            return
        step = self._refused("P5", title, answered, is_final=True)
        is_model = isinstance(answered.error, UpstreamModelNotFoundError)
        if is_model and step.state == "fault":
            hint = checkup.near(self._deployment.target.upstream_model, self._names)
            step = msgspec.structs.replace(step, text=f"{step.text}{hint}")
        self._add(step, answered)
        if is_model:
            await self._known_good()

    async def _known_good(self) -> None:
        deployment = self._deployment
        name = checkup.known_good(deployment, self._usable)
        if not name or not self._probes.invalid:
            return
        target = msgspec.structs.replace(deployment.target, upstream_model=name)
        other = msgspec.structs.replace(deployment, target=target)
        answered = await self._ask_it(self._probes.invalid, other)
        is_taken = answered.error is not None and answered.error.fault == "call"
        text = (
            f"{name} answers with the same key: key, account and address are fine."
            if is_taken
            else f"{name} is refused as well: look at key, project and address, not at the model."
        )
        state: checkup.State = "ok" if is_taken else "unclear"
        self._add(Step(probe="P6", title="known good model", state=state, text=text), answered)

    async def _ask(self, ask: Ask | None, probe: str, title: str) -> Answered | None:
        """Return what came; what brought no answer at all is a fault, told at once.

        A control plane that is out of reach is none: images are made without it.
        """
        if ask is None:
            return None
        place = self._place_of(ask)
        answered = await self._ask_it(ask, place)
        if answered.answer is None:
            assert answered.error is not None
            finding = checkup.finding_of(answered.error, None, self._deployment)
            step = checkup.judge_refusal(probe, title, answered.error, finding, None)
            text = answered.error.message
            state: checkup.State = "fault" if place is self._deployment else "unclear"
            self._add(msgspec.structs.replace(step, state=state, text=text), answered)
        elif not self._has_clock:
            self._check_clock(answered.answer.response.headers)
        return answered

    def _place_of(self, ask: Ask) -> Deployment:
        """Return the deployment, at its control plane where the question belongs there."""
        move = self._probes.control_plane
        if move is None or ask is not self._probes.deployments:
            return self._deployment
        target = self._deployment.target
        moved = msgspec.structs.replace(target, base_url=move(target.base_url))
        return msgspec.structs.replace(self._deployment, target=moved)

    def _check_clock(self, headers: Mapping[str, str]) -> None:
        self._has_clock = True
        offset_s = _clock_offset_s(headers.get("date", ""))
        step = way.judge_clock(offset_s) if offset_s is not None else None
        if step:
            self._steps.append(step)

    def _refused(
        self, probe: str, title: str, answered: Answered, *, is_final: bool = False
    ) -> Step:
        assert answered.error is not None
        finding = self._finding(answered)
        step = checkup.judge_refusal(probe, title, answered.error, finding, answered.seen)
        if is_final or checkup.is_decisive(answered.error):
            return step
        status = answered.seen.status if answered.seen else 0
        return Step(
            probe=probe,
            title=title,
            state="unclear",
            text=f"It answers {status}; that decides nothing yet.",
            seen=answered.seen,
        )

    def _finding(self, answered: Answered) -> Finding:
        assert answered.error is not None
        finding = checkup.finding_of(answered.error, answered.seen, self._deployment)
        base_url = self._deployment.target.base_url
        following = finding.next.replace("$BASE_URL", base_url)
        if not finding.is_decided:
            name = self._deployment.id
            following = (
                f"imagegate doctor --deployment {name} --bundle evidence; its repro.sh sends this "
                "request again, its evidence.md is for the provider's support."
            )
        return msgspec.structs.replace(finding, next=following)

    def _add(self, step: Step, answered: Answered) -> None:
        self._steps.append(
            msgspec.structs.replace(
                step, elapsed_s=round(answered.elapsed_s, 3), seen=step.seen or answered.seen
            )
        )


def _taken(title: str) -> Step:
    return Step(
        probe="P5",
        title=title,
        state="warning",
        text="The server takes a generation without a prompt, so this cannot test it for free.",
        next="doctor --paid makes the smallest image, and shows the price first.",
    )


def _clock_offset_s(date: str) -> float | None:
    """Return by how many seconds the provider's clock is ahead of ours, None where it is silent."""
    try:
        return parsedate_to_datetime(date).timestamp() - clock.now_s()
    except ValueError:
        return None

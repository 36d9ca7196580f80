"""What `doctor` finds out: steps with their verdicts. Pure: answers in, judgements out."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.config.retirement import retirement_of
from imagegate.config.settings import Deployment
from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.lifecycle import life_of
from imagegate.diagnosis.observation import Observation
from imagegate.diagnosis.our_errors import finding_for, today_of
from imagegate.diagnosis.redact import redact
from imagegate.errors import (
    Finding,
    ImageError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamModelNotFoundError,
)
from imagegate.wire.probes import ProbeAnswer

State: TypeAlias = Literal["ok", "fault", "warning", "unclear", "skipped"]

NAMES_SHOWN_MAX = 6
_CALLER_EXIT, _ACCOUNT_EXIT, _RETIRED_EXIT = 10, 11, 12


class Seen(Struct, frozen=True, kw_only=True):
    """One request and its answer, without a credential, a prompt or an image.

    `phases_s` are the seconds to the first byte, and from there to the end of the body.
    """

    method: str
    url: str
    body: str = ""
    status: int
    headers: Mapping[str, str]
    text: str
    at: str
    phases_s: Mapping[str, float] = {}


class Step(Struct, frozen=True, kw_only=True):
    """One probe (`P0` to `P7`) and what it told. `next` is the remedy; `owner` as in a finding.

    `phases_s` are those of the way there, in seconds.
    """

    probe: str
    title: str
    state: State
    text: str = ""
    next: str = ""
    owner: str = ""
    exit_code: int = 0
    elapsed_s: float = 0.0
    phases_s: Mapping[str, float] = {}
    finding: Finding | None = None
    seen: Seen | None = None


class Checkup(Struct, frozen=True, kw_only=True):
    """All that was found out about one deployment."""

    deployment: str
    group: str
    provider: str
    model: str
    base_url: str
    credential: str
    sign_in: str = "none"
    account: Mapping[str, str] = {}
    steps: tuple[Step, ...] = ()

    @property
    def faults(self) -> tuple[Step, ...]:
        """What has to be put right."""
        return tuple(step for step in self.steps if step.state == "fault")

    @property
    def warnings(self) -> tuple[Step, ...]:
        """What works, and should be looked at."""
        return tuple(step for step in self.steps if step.state == "warning")


# --- P0: what can be told without asking anybody ----------------------------------------------


def judge_name(deployment: Deployment) -> tuple[Step, ...]:
    """Return what is wrong with the name and the age of the deployment's model."""
    steps = [*_odd_name(deployment), *_age(deployment)]
    return tuple(steps) or (Step(probe="P0", title="configuration", state="ok"),)


def _odd_name(deployment: Deployment) -> Iterable[Step]:
    name = deployment.target.upstream_model
    odd = dict.fromkeys(one for one in name if not "!" <= one <= "~")
    if odd:
        shown = ", ".join(f"U+{ord(one):04X} {unicodedata.name(one, 'control')}" for one in odd)
        yield _parse_fault(
            f"The model's name {name!r} holds {shown}.", "Type the name anew, in plain letters."
        )
    elif name != name.lower() and deployment.model is None and not _is_operators(deployment):
        yield Step(
            probe="P0",
            title="configuration",
            state="warning",
            text=f"The model's name {name!r} has capital letters; ids are case-sensitive.",
            next=f"Try {name.lower()!r}.",
            owner="caller",
        )


def _is_operators(deployment: Deployment) -> bool:
    return deployment.provider.names_deployments or not deployment.provider.base_url


def _age(deployment: Deployment) -> Iterable[Step]:
    found = retirement_of(deployment, today_of())
    if found is None:
        return
    successor = found.successor or "a current model"
    yield Step(
        probe="P0",
        title="life cycle",
        state="fault" if found.is_over else "warning",
        text=found.text,
        next=f"Set model: {successor} in this entry; callers keep asking for {deployment.group!r}.",
        owner="caller",
        exit_code=_RETIRED_EXIT,
    )


def _parse_fault(text: str, remedy: str) -> Step:
    return Step(
        probe="P0",
        title="configuration",
        state="fault",
        text=text,
        next=remedy,
        owner="caller",
        exit_code=_CALLER_EXIT,
    )


# --- P2 to P6: what the provider says ---------------------------------------------------------


def judge_account(answer: ProbeAnswer) -> Step:
    """Return what the account tells: that the key is taken, and what is left on it."""
    told = answer.response.json()
    credits_left = told.get("credits") if isinstance(told, dict) else None
    if not isinstance(credits_left, int | float):
        return Step(probe="P2", title="account", state="ok", text="The key is taken.")
    if credits_left > 0:
        text = f"The key is taken; {credits_left:g} credits are left."
        return Step(probe="P2", title="account", state="ok", text=text)
    return Step(
        probe="P2",
        title="account",
        state="fault",
        text="The account has no credits left.",
        next="Top them up in the provider's console.",
        owner="account",
        exit_code=_ACCOUNT_EXIT,
    )


def judge_models(answer: ProbeAnswer, refusal: Step | None, deployment: Deployment) -> Step:
    """Return what a list of models tells; except at a gate it decides nothing about one model."""
    if refusal is not None:
        return refusal
    wanted = deployment.target.upstream_model
    is_listed = wanted in answer.names or not answer.names
    is_operators = deployment.provider.names_deployments
    count = f"{len(answer.names)} models listed" if answer.names else "it answers"
    if is_listed or is_operators:
        return Step(probe="P2", title="list models", state="ok", text=f"{count}.")
    is_gate = deployment.provider.probes.is_gate
    return Step(
        probe="P2",
        title="list models",
        state="fault" if is_gate else "unclear",
        text=f"{wanted!r} is not among the {count}.{near(wanted, answer.names)}",
        next="Use one that is listed." if is_gate else "The list is no proof: P5 decides.",
        owner="caller" if is_gate else "",
        exit_code=_CALLER_EXIT if is_gate else 0,
    )


def list_title(deployment: Deployment) -> str:
    """Return what P4 lists there: an operator's deployments, or a region's models."""
    is_operators = deployment.provider.names_deployments
    return "list deployments" if is_operators else "list the region's models"


def judge_deployments(names: Sequence[str], deployment: Deployment) -> Step:
    """Return whether the name is among those of the resource's deployments, or of the region.

    A geography's profile (`us.`) stands before a model's id and in no list.
    """
    wanted = deployment.target.upstream_model
    title = list_title(deployment)
    if any(wanted == name or wanted.endswith(f".{name}") for name in names):
        return Step(probe="P4", title=title, state="ok")
    shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "none"
    is_operators = deployment.provider.names_deployments
    where, what = ("resource", "deployment") if is_operators else ("region", "image model")
    return Step(
        probe="P4",
        title=title,
        state="unclear",
        text=f"The {where} has no {what} {wanted!r}.{near(wanted, names)} It has: {shown}.",
        next=f"Put one of its names behind {deployment.provider.name}/, letter by letter.",
    )


def known_good(deployment: Deployment, listed: Sequence[str]) -> str:
    """Return another model that should work there, `""` where nobody can name one.

    Of what is listed, one that the catalogue has; at a server of one's own, any.
    """
    provider, wanted = deployment.provider, deployment.target.upstream_model
    fitting = (
        name
        for name in (provider.probes.known_good, *listed)
        if name and name != wanted and (not provider.base_url or _is_current(name, provider.name))
    )
    return next(fitting, "")


def _is_current(name: str, provider: str) -> bool:
    surface = provider.removesuffix("_ai")
    return life_of(surface, name, today_of()).state == "current"


_NOT_POSSIBLE = {
    "P2": ("list models", "the provider has no free list of models and no account to ask for"),
    "P3": ("get model", "the provider has no free question for one model"),
    "P4": ("list deployments", "the provider has no list of deployments that a key may read"),
    "P5": ("invalid on purpose", "no request is known that is surely refused before it is billed"),
}


def not_possible(deployment: Deployment) -> Iterable[Step]:
    """Yield a step for each free question that this provider has none of."""
    probes = deployment.provider.probes
    asks = {
        "P2": probes.models or probes.account,
        "P3": probes.model,
        "P4": probes.deployments,
        "P5": probes.invalid,
    }
    for probe, (title, reason) in _NOT_POSSIBLE.items():
        if asks[probe] is None:
            text = f"Not possible here: {reason}."
            yield Step(probe=probe, title=title, state="skipped", text=text)


def near(wanted: str, names: Sequence[str]) -> str:
    """Return a sentence with the names that look like `wanted`, `""` where none do."""
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(by_lower[name] for name in found)}?" if found else ""


def judge_refusal(
    probe: str, title: str, error: ImageError, finding: Finding, seen: Seen | None
) -> Step:
    """Return what a refusal means for the deployment.

    A question about what our request left out on purpose is what we wanted to hear. An answer that
    has nothing to do with the deployment is unclear.
    """
    if error.fault == "call" and not isinstance(error, UpstreamModelNotFoundError):
        state: State = "ok"
    elif isinstance(error, RateLimitError):
        state = "warning"
    else:
        state = "fault"
    said = finding.cause if finding.is_decided else error.message
    return Step(
        probe=probe,
        title=title,
        state=state,
        text="" if state == "ok" else said,
        next="" if state == "ok" else finding.next,
        owner="" if state == "ok" else finding.owner,
        exit_code=finding.exit_code if state == "fault" else 0,
        finding=None if state == "ok" else finding,
        seen=seen,
    )


def is_decisive(error: ImageError) -> bool:
    """Return whether a refusal of a list says something about the deployment, too."""
    return isinstance(error, UpstreamCredentialError | RateLimitError)


def finding_of(error: ImageError, seen: Seen | None, deployment: Deployment) -> Finding:
    """Return what the provider's words mean, or our own where it said nothing."""
    if seen is None:
        return finding_for(error)
    return explain(
        Observation(
            status=seen.status,
            headers=seen.headers,
            body=seen.text,
            url=seen.url,
            provider=deployment.provider.name,
            sent={"model": deployment.target.upstream_model},
            today=today_of(),
        )
    )


def shown_text(text: str, secrets: Sequence[str]) -> str:
    """Return an answer's text without secrets: those that we know, and those that look like one."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return redact(text)

"""The same questions to two places: where the answers part, the owner is found. Pure."""

from msgspec import Struct

from imagegate.diagnosis.checkup import Checkup, Step


class Difference(Struct, frozen=True):
    """One question and both answers."""

    probe: str
    title: str
    first: str
    second: str

    @property
    def is_different(self) -> bool:
        """Whether the two answers part here."""
        return self.first != self.second


class Comparison(Struct, frozen=True, kw_only=True):
    """What two places answered, and whose it is. `owner` as in a finding, `""` without a fault."""

    verdict: str
    owner: str
    next: str
    exit_code: int
    rows: tuple[Difference, ...]


def compare(first: Checkup, second: Checkup) -> Comparison:
    """Return what the difference between two checkups says."""
    rows = tuple(_rows(first, second))
    bad = [one for one in (first, second) if one.faults]
    if not bad:
        return Comparison(
            verdict=f"Both {first.deployment} and {second.deployment} take the request.",
            owner="",
            next="Compare what your client sends with what is sent here: names of fields first.",
            exit_code=0,
            rows=rows,
        )
    if len(bad) == 1:
        return _one_sided(bad[0], second if bad[0] is first else first, rows)
    return _both(first, second, rows)


def _one_sided(bad: Checkup, good: Checkup, rows: tuple[Difference, ...]) -> Comparison:
    fault = bad.faults[0]
    return Comparison(
        verdict=(
            f"{good.deployment} takes the same request, {bad.deployment} does not: the fault is "
            f"at {bad.base_url}. {fault.text}"
        ),
        # What is refused here and taken there is not wrong in itself.
        owner="operator" if fault.owner in ("undecided", "") else fault.owner,
        next=fault.next,
        exit_code=fault.exit_code or 14,
        rows=rows,
    )


def _both(first: Checkup, second: Checkup, rows: tuple[Difference, ...]) -> Comparison:
    one, other = first.faults[0], second.faults[0]
    is_same = _rule(one) == _rule(other) and one.probe == other.probe
    verdict = (
        f"Both refuse it, and for the same reason: {one.text}"
        if is_same
        else f"Both have a fault of their own. {first.deployment}: {one.text} "
        f"{second.deployment}: {other.text}"
    )
    return Comparison(
        verdict=verdict,
        owner=one.owner if is_same or one.owner == other.owner else "undecided",
        next=one.next if is_same else f"{first.deployment}: {one.next}",
        exit_code=one.exit_code if is_same else 20,
        rows=rows,
    )


def _rule(step: Step) -> str:
    return step.finding.rule if step.finding else step.text


def _rows(first: Checkup, second: Checkup) -> list[Difference]:
    titles = {(step.probe, step.title): None for step in (*first.steps, *second.steps)}
    return [
        Difference(probe, title, _state(first, probe, title), _state(second, probe, title))
        for probe, title in sorted(titles)
    ]


def _state(one: Checkup, probe: str, title: str) -> str:
    found = [step for step in one.steps if (step.probe, step.title) == (probe, title)]
    if not found:
        return "not asked"
    step = found[0]
    status = f" {step.seen.status}" if step.seen else ""
    return f"{step.state}{status}"

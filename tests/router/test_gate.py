"""Slots and lines: nobody above a limit, nobody starved, a full line gives way to the few."""

from collections import Counter
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from imagegate.router.gate import Gate, Ticket

ONE: Mapping[str, int] = {"": 1}


def ticket(holder: str = "a", limits: Mapping[str, int] = ONE) -> Ticket:
    return Ticket(holder, limits)


def lined_up(gate: Gate[Ticket], *holders: str) -> list[Ticket]:
    tickets = [ticket(holder) for holder in holders]
    for one in tickets:
        assert gate.line_up(one) is None
    return tickets


def serve(gate: Gate[Ticket], count: int) -> str:
    """Let `count` calls run one after the other; return whose they were."""
    served = []
    for _ in range(count):
        first = next(gate.in_turn())
        gate.begin(first)
        gate.end(first)
        served.append(first.holder)
    return "".join(served)


def test_holders_take_turns() -> None:
    gate = Gate[Ticket](100)
    lined_up(gate, *"aaaa", *"bb", "c")
    assert serve(gate, 7) == "abcabaa"


def test_who_comes_late_waits_for_one_call_of_each_other_holder_at_most() -> None:
    gate = Gate[Ticket](100)
    lined_up(gate, *"aaaaaaaaaa")
    assert serve(gate, 3) == "aaa"
    lined_up(gate, "b")
    assert "b" in serve(gate, 2)


def test_a_limit_counts_the_calls_that_run() -> None:
    gate = Gate[Ticket](10)
    first, second = ticket(limits={"": 5, "key:a": 1}), ticket(limits={"": 5, "key:a": 1})
    assert gate.full_subject(first) is None
    gate.begin(first)
    assert gate.full_subject(second) == "key:a"
    gate.end(first)
    assert gate.full_subject(second) is None


def test_a_full_line_refuses_the_newcomer() -> None:
    gate = Gate[Ticket](2)
    lined_up(gate, "a", "b")
    late = ticket("a")
    assert gate.line_up(late) is late
    assert gate.waiting_count == 2


def test_a_full_line_gives_way_to_a_holder_with_fewer_calls() -> None:
    gate = Gate[Ticket](3)
    flood = lined_up(gate, *"aaa")
    assert gate.line_up(ticket("b")) is flood[-1]
    assert [one.holder for one in gate.in_turn()] == ["a", "b", "a"]


def test_without_places_nobody_waits() -> None:
    gate = Gate[Ticket](0)
    only = ticket()
    assert gate.line_up(only) is only
    assert list(gate.in_turn()) == []


def test_who_leaves_frees_its_place() -> None:
    gate = Gate[Ticket](1)
    [first] = lined_up(gate, "a")
    gate.leave(first)
    gate.leave(first)
    assert gate.waiting_count == 0
    assert gate.line_up(ticket("b")) is None


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_no_holder_is_served_twice_while_another_waits_for_its_first(holders: list[str]) -> None:
    gate = Gate[Ticket](100)
    lined_up(gate, *holders)
    served = serve(gate, len(holders))
    counts = Counter(holders)
    for place, holder in enumerate(served):
        before = Counter(served[:place])
        assert all(
            before[holder] <= before[other] for other in counts if before[other] < counts[other]
        )


class Traffic(RuleBasedStateMachine):
    """Calls come, wait, run, leave and end in any order."""

    waiting: Bundle[Ticket] = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate[Ticket](4)
        self.lined_up: set[Ticket] = set()
        self.running: list[Ticket] = []

    @rule(target=waiting, holder=st.sampled_from("abc"))
    def come(self, holder: str) -> Ticket:
        new = ticket(holder, {"": 3, f"key:{holder}": 2})
        self.lined_up.add(new)
        if (refused := self.gate.line_up(new)) is not None:
            self.lined_up.remove(refused)
        return new

    @rule(one=waiting)
    def leave(self, one: Ticket) -> None:
        self.gate.leave(one)
        self.lined_up.discard(one)

    @rule()
    def serve(self) -> None:
        for one in self.gate.in_turn():
            if self.gate.full_subject(one) is None:
                self.gate.begin(one)
                self.lined_up.remove(one)
                self.running.append(one)

    @rule(at=st.integers(0, 5))
    def end(self, at: int) -> None:
        if at < len(self.running):
            self.gate.end(self.running.pop(at))

    @invariant()
    def holds(self) -> None:
        assert self.gate.waiting_count == len(self.lined_up) <= 4
        assert set(self.gate.in_turn()) == self.lined_up
        assert len(self.running) <= 3
        assert all(count <= 2 for count in Counter(one.holder for one in self.running).values())


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40)

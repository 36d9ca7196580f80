"""Identifiers: they sort as they were drawn, whatever the clock does."""

from imagegate import clock


def test_ids_sort_as_they_were_drawn() -> None:
    ids = [clock.new_id("call") for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {len("call_") + 26}


def test_the_least_id_of_a_moment_parts_what_was_drawn_before_and_after() -> None:
    before = clock.new_id("call")
    least = clock.least_id("call", clock.now_s() + 0.01)
    assert before < least < clock.least_id("call", clock.now_s() + 3600.0)
    assert clock.least_id("call", clock.now_s()) <= clock.new_id("call")
    assert clock.least_id("call", -1.0) == "call_" + "0" * 26

import pytest

from imagegate.ledger.pace import AT_ONCE_MAX, GATHER_S, REST_S, Pace


def test_little_goes_at_once():
    pace = Pace()
    assert all(pace.is_slow(number * REST_S) for number in range(50))


def test_a_few_at_the_same_moment_go_at_once():
    pace = Pace()
    assert [pace.is_slow(1.0) for _ in range(AT_ONCE_MAX)] == [True] * AT_ONCE_MAX


@pytest.mark.parametrize(("later_s", "is_slow"), [(GATHER_S / 2, False), (GATHER_S * 2, True)])
def test_many_are_gathered_until_it_is_quiet_again(later_s: float, is_slow: bool):
    pace = Pace()
    assert [pace.is_slow(1.0) for _ in range(20)] == [True] * AT_ONCE_MAX + [False] * 16
    assert pace.is_slow(1.0 + later_s) is is_slow

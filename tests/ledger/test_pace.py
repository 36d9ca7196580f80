import pytest

from imagegate.ledger.pace import (
    AT_ONCE_MAX,
    GATHER_S,
    LONELY_MAX,
    LONELY_S,
    REST_S,
    Pace,
)


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


def test_who_writes_alone_is_not_kept_waiting():
    pace = Pace()
    assert [pace.is_slow(1.0) for _ in range(AT_ONCE_MAX + 1)][-1] is False
    rests = [pace.rest_s(1, 1.0) for _ in range(LONELY_MAX + 1)]
    assert rests == [REST_S] * (LONELY_MAX - 1) + [0.0, 0.0]
    assert pace.is_slow(1.0)
    assert pace.is_slow(1.0 + LONELY_S / 2)


def test_who_has_company_is_gathered_again():
    pace = Pace()
    for _ in range(LONELY_MAX):
        pace.rest_s(1, 1.0)
    assert pace.rest_s(2, 1.0) == REST_S
    later_s = 1.0 + LONELY_S
    assert [pace.is_slow(later_s) for _ in range(AT_ONCE_MAX + 1)][-1] is False

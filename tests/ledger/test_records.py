import pytest

from imagegate.ledger.records import cost_e10_of, state_of, storable
from tests.ledger.rows import attempt


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        (["dispatched"], "running"),
        (["settled", "answered"], "running"),
        (["unsent", "settled"], "done"),
        (["unknown", "settled"], "done"),
        (["refused", "unknown"], "unknown"),
        (["unsent", "refused"], "failed"),
    ],
)
def test_state_of_a_call_comes_from_its_attempts(attempts, state):
    assert state_of(attempts) == state


def test_cost_is_the_sum_over_attempts():
    attempts = [
        attempt("a", 1, state="unsent"),
        attempt("a", 2, state="settled", cost_e10=30),
        attempt("a", 3, state="settled", cost_e10=12),
    ]
    assert cost_e10_of(attempts) == 42


@pytest.mark.parametrize("state", ["dispatched", "unknown", "settled"])
def test_a_cost_that_nobody_knows_is_not_zero(state):
    attempts = [attempt("a", 1, state="settled", cost_e10=30), attempt("a", 2, state=state)]
    assert cost_e10_of(attempts) is None


def test_a_call_that_sent_nothing_cost_nothing():
    refused = attempt("a", state="refused", cost_e10=0)
    assert cost_e10_of([refused, attempt("a", 2, state="unsent")]) == 0


def test_a_refusal_that_was_charged_counts():
    assert cost_e10_of([attempt("a", state="refused", cost_e10=200)]) == 200


def test_storable_cuts_whole_characters_and_mends_the_rest():
    assert storable("as it is") == "as it is"
    assert storable("é" * 5000) == "é" * 4096
    assert storable("a\0b\ud800c") == "ab?c"
    assert len(storable("x" * 10_000)) == 8192

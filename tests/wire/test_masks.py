"""Which part of a mask is edited."""

from hypothesis import given
from hypothesis import strategies as st

from imagegate.wire.masks import grey_of, grey_table, is_edited

ALPHA = st.integers(0, 255)


def test_clear_is_edited() -> None:
    assert [is_edited(alpha) for alpha in (0, 127, 128, 255)] == [True, True, False, False]


def test_the_edited_part_is_white_or_black() -> None:
    assert (grey_of(0, "white"), grey_of(255, "white")) == (255, 0)
    assert (grey_of(0, "black"), grey_of(255, "black")) == (0, 255)


@given(alpha=ALPHA)
def test_one_polarity_is_the_other_inverted(alpha: int) -> None:
    assert grey_of(alpha, "white") + grey_of(alpha, "black") == 255
    assert grey_table("white")[alpha] == grey_of(alpha, "white")

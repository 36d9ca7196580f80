"""Base64 that is checked while it arrives: the verdict never depends on the cuts."""

import binascii
from itertools import pairwise

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegate.wire.base64_check import Base64Check


def is_sound(*pieces: bytes) -> bool:
    check = Base64Check()
    for piece in pieces:
        check.feed(b"<" + piece + b">", 1, 1 + len(piece))
    return check.is_sound


@given(
    st.binary(max_size=60).map(pybase64.b64encode) | st.text("AQg=+/\\ ", max_size=30),
    st.lists(st.integers(0, 80)),
)
def test_it_says_what_decoding_the_whole_says(text, cuts):
    text = text if isinstance(text, bytes) else text.encode()
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(edges)]
    assert is_sound(*pieces) == can_be_decoded(text)


@pytest.mark.parametrize("text", [b"QQ", b"QUJ", b"QQ==QUJD", b"Q\\/==", b"QU JD", b"===="])
def test_what_is_not_whole_and_plain_is_not_vouched_for(text):
    assert not is_sound(text)
    assert not is_sound(*(text[at : at + 1] for at in range(len(text))))


def can_be_decoded(text: bytes) -> bool:
    try:
        pybase64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True

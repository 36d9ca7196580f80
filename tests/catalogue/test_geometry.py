import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegate.catalogue.geometry import (
    is_valid_flexible,
    nearest_flexible,
    nearest_listed,
    parse_size,
)

THREE_SIZES = ("1024x1024", "1536x1024", "1024x1536", "auto")
edges = st.integers(1, 99_999)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ("1024x640", (1024, 640)),
        ("99999x1", (99999, 1)),
        ("1536X1024", None),
        ("1536*1024", None),
        ("1536", None),
        ("0x1024", None),
        ("01024x1024", None),
        ("1024x1024 ", None),
        ("1024x1024\n", None),
        ("-16x16", None),
        ("\u0661\u0660\u0662\u0664x1024", None),
        ("100000x16", None),
        ("auto", None),
        ("", None),
    ],
)
def test_parse_size(size: str, pixels: tuple[int, int] | None) -> None:
    assert parse_size(size) == pixels


@pytest.mark.parametrize(
    ("width", "height", "valid"),
    [
        (1024, 640, True),
        (640, 1024, True),
        (1008, 640, False),
        (3840, 2160, True),
        (2160, 3840, True),
        (2880, 2880, True),
        (3072, 3072, False),
        (3840, 1280, True),
        (3840, 1264, False),
        (3856, 1296, False),
        (1000, 1000, False),
        (768, 768, False),
        (896, 896, True),
        (1792, 1024, True),
        (512, 512, False),
    ],
)
def test_boundaries_of_flexible_sizes(width: int, height: int, valid: bool) -> None:
    assert is_valid_flexible(width, height) is valid


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ((512, 512), (816, 816)),
        ((256, 256), (816, 816)),
        ((9999, 9999), (2880, 2880)),
        ((1000, 1000), (1008, 1008)),
        ((99_999, 1), (1440, 480)),
    ],
)
def test_nearest_flexible(asked: tuple[int, int], nearest: tuple[int, int]) -> None:
    found = nearest_flexible(*asked)
    assert found == nearest
    assert is_valid_flexible(*found)


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ((1792, 1024), "1536x1024"),
        ((1024, 1792), "1024x1536"),
        ((512, 512), "1024x1024"),
        ((3840, 1280), "1536x1024"),
        ((1024, 1024), "1024x1024"),
    ],
)
def test_nearest_of_three(asked: tuple[int, int], nearest: str) -> None:
    assert nearest_listed(*asked, THREE_SIZES) == nearest


def test_among_one_shape_the_nearest_area_wins() -> None:
    assert nearest_listed(300, 300, ("1024x1024", "512x512", "256x256")) == "256x256"
    assert nearest_listed(900, 900, ("256x256", "512x512", "1024x1024")) == "1024x1024"


@given(edges, edges)
def test_the_nearest_size_is_valid_and_keeps_the_shape(width: int, height: int) -> None:
    found = nearest_flexible(width, height)
    assert is_valid_flexible(*found)
    wanted = min(max(width / height, 1 / 3), 3)
    assert abs(math.log(found[0] / found[1] / wanted)) < 0.05


@given(edges, edges)
def test_the_nearest_size_is_its_own_nearest(width: int, height: int) -> None:
    found = nearest_flexible(width, height)
    assert nearest_flexible(*found) == found
    assert nearest_listed(*found, [f"{found[0]}x{found[1]}"]) == f"{found[0]}x{found[1]}"


@given(edges, edges)
def test_the_nearest_size_turns_with_the_asked_one(width: int, height: int) -> None:
    one, other = nearest_flexible(width, height), nearest_flexible(height, width)
    assert abs(math.log(one[0] * other[0] / (one[1] * other[1]))) < 0.05

"""Masks: which part is edited, by alpha (OpenAI) or by grey (others). The rule alone, no pixels.

A caller's mask has an alpha channel, and its clear part is edited. Most other APIs want a grey
image without alpha instead, whose white part is edited, some whose black part is.
"""

from typing import Literal, TypeAlias

GreyEdit: TypeAlias = Literal["white", "black"]

EDIT_ALPHA_BELOW = 128
"""A pixel whose alpha is below this is edited."""

_WHITE, _BLACK = 255, 0


def is_edited(alpha: int) -> bool:
    """Return whether a pixel with this alpha, 0 to 255, is edited."""
    return alpha < EDIT_ALPHA_BELOW


def grey_of(alpha: int, edit: GreyEdit) -> int:
    """Return the grey, 0 or 255, that says the same where `edit` is the grey that is edited."""
    return _WHITE if is_edited(alpha) == (edit == "white") else _BLACK


def grey_table(edit: GreyEdit) -> tuple[int, ...]:
    """Return `grey_of` for each alpha from 0 to 255."""
    return tuple(grey_of(alpha, edit) for alpha in range(256))

"""Text for the sandbox's pictures: words broken into lines at the largest size that fits.

Only Pillow's own font is used, so that a picture is the same on every machine. It knows Latin
letters without accents; accents are left out, other scripts come out as boxes.
"""

import unicodedata
from functools import lru_cache

from msgspec import Struct
from PIL import ImageDraw, ImageFont

TEXT_LENGTH_MAX = 4000
LINE_SPACING = 1.28
WORD_LENGTH_MAX = 24
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "×": "x", "→": "->", "€": "EUR", "ß": "ss"}  # noqa: RUF001
)


class Lettering(Struct, frozen=True):
    """Lines at one font size; width and height in px are those of the whole block."""

    lines: tuple[str, ...]
    size_px: int
    width_px: int
    height_px: int

    @property
    def line_px(self) -> float:
        """The distance from one line to the next, in px."""
        return self.size_px * LINE_SPACING


@lru_cache(maxsize=32)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font at `size_px`."""
    found = ImageFont.load_default(size_px)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def plain(text: str) -> str:
    """Return `text` in letters that the font has, as far as there are any."""
    decomposed = unicodedata.normalize("NFKD", text[:TEXT_LENGTH_MAX].translate(_PLAIN))
    return "".join(
        "\n" if letter in "\r\n" else " " if letter.isspace() else letter
        for letter in decomposed
        if letter.isprintable() or letter.isspace()
        if not unicodedata.combining(letter)
    )


def fit(
    text: str, width_px: int, height_px: int, *, largest_px: int, smallest_px: int
) -> Lettering:
    """Return `text` as large as the box allows; what does not fit at the smallest size is cut."""
    words = plain(text).strip() or "(empty prompt)"
    low, high = smallest_px, max(smallest_px, largest_px)
    while low < high:
        middle = (low + high + 1) // 2
        if _is_within(words, middle, width_px, height_px):
            low = middle
        else:
            high = middle - 1
    return _cut(_set(words, low, width_px), height_px)


def write(
    canvas: ImageDraw.ImageDraw,
    block: Lettering,
    position: tuple[int, int],
    *,
    fill: tuple[int, int, int],
    centred_in_px: int = 0,
) -> None:
    """Write the block with its top left corner at `position`, or its lines centred in a width."""
    letters = font(block.size_px)
    for number, line in enumerate(block.lines):
        indent = (centred_in_px - letters.getlength(line)) / 2 if centred_in_px else 0
        place = (position[0] + indent, position[1] + number * block.line_px)
        canvas.text(place, line, font=letters, fill=fill)


def _is_within(text: str, size_px: int, width_px: int, height_px: int) -> bool:
    """Return whether the text fits at this size without cutting a word of usual length."""
    words = [word for word in text.split() if len(word) <= WORD_LENGTH_MAX]
    widest = max((font(size_px).getlength(word) for word in words), default=0.0)
    block = _set(text, size_px, width_px)
    return max(widest, block.width_px) <= width_px and block.height_px <= height_px


def _set(text: str, size_px: int, width_px: int) -> Lettering:
    lines = [line for part in text.splitlines() for line in _wrap(part, size_px, width_px)]
    return _block(lines, size_px)


def _block(lines: list[str], size_px: int) -> Lettering:
    width = max(font(size_px).getlength(line) for line in lines)
    height = size_px * (1 + LINE_SPACING * (len(lines) - 1))
    return Lettering(tuple(lines), size_px, round(width + 0.5), round(height + 0.5))


def _wrap(text: str, size_px: int, width_px: int) -> list[str]:
    lines, line, used = [], "", 0.0
    space = font(size_px).getlength(" ")
    for word in _pieces(text, size_px, width_px):
        wide = font(size_px).getlength(word)
        if line and used + space + wide > width_px:
            lines.append(line)
            line, used = "", 0.0
        line, used = (f"{line} {word}", used + space + wide) if line else (word, wide)
    return [*lines, line]


def _pieces(text: str, size_px: int, width_px: int) -> list[str]:
    """Return the words, those wider than a line cut into pieces."""
    pieces: list[str] = []
    for word in text.split():
        wide = font(size_px).getlength(word)
        share = 1.0 if wide <= width_px else 0.85 * width_px / wide
        letters = max(1, int(len(word) * share))
        pieces.extend(word[start : start + letters] for start in range(0, len(word), letters))
    return pieces


def _cut(block: Lettering, height_px: int) -> Lettering:
    if block.height_px <= height_px:
        return block
    kept = max(1, int((height_px / block.size_px - 1) / LINE_SPACING) + 1)
    lines = list(block.lines[:kept])
    lines[-1] = f"{lines[-1][:-2]}…"
    return _block(lines, block.size_px)

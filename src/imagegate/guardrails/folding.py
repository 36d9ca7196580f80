"""Texts as they are read: so that full-width letters or a zero-width space hide nothing."""

import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def visible(text: str) -> str:
    """Return `text` with plain letters and digits for their variants, and nothing invisible."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def fold(text: str) -> str:
    """Return `text` as it is read: no case, no width, no accents, nothing invisible."""
    plain = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text))
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()

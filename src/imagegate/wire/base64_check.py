"""Decodes base64 while it arrives and keeps nothing: the bytes are hot then, and read only once.

Saves a second pass over the file: 7 % of the CPU of a 1.5 MB answer, 2 % of a 6 MB one.
"""

import pybase64

_PADDING = ord("=")


class Base64Check:
    """Says of base64 that comes in pieces whether the whole is sound.

    It is strict: what it does not vouch for may still be decodable (without padding, with JSON
    escapes) and has to be looked at again.
    """

    __slots__ = ("_has_ended", "_rest", "_sound")

    def __init__(self) -> None:
        self._rest = b""  # up to three characters that wait for a fourth
        self._has_ended = False
        self._sound = True

    @property
    def is_sound(self) -> bool:
        """Whether what came so far is whole and all of it could be decoded."""
        return self._sound and not self._rest

    def feed(self, piece: bytes, start: int, stop: int) -> None:
        """Take the next characters, `piece[start:stop]`."""
        if not self._sound:
            return
        cut = min(start + -len(self._rest) % 4, stop)
        group = self._rest + piece[start:cut]
        if len(group) % 4:
            self._rest = group
            return
        whole = cut + (stop - cut) // 4 * 4
        self._rest = piece[whole:stop]
        self._decode(group)
        self._decode(memoryview(piece)[cut:whole])

    def _decode(self, groups: bytes | memoryview) -> None:
        if not groups:
            return
        try:
            pybase64.b64decode(groups, validate=True)
        except ValueError:
            self._sound = False
        self._sound = self._sound and not self._has_ended
        self._has_ended = groups[-1] == _PADDING

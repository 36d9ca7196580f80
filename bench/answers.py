"""Is an answer right? Each picture is compared with what the upstream sent."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from bench.payloads import PARTIALS, Order, partial_seed, picture_sha256, picture_text

_IMAGE = re.compile(rb'"b64_json"\s*:\s*"([^"]*)"')
_IMAGE_START = re.compile(rb'"b64_json"\s*:\s*"')
_PARTIAL_INDEX = re.compile(rb'"partial_image_index"\s*:\s*(\d+)')


@dataclass(frozen=True)
class Verdict:
    """`fault` says what is wrong, empty if nothing. A gateway may leave out partial images."""

    fault: str = ""
    partials_missing: int = 0


class Sink:
    """Takes the body of an answer as it comes.

    A picture that arrives letter for letter as it was sent is compared and forgotten, because 500
    bodies at once would make the load the limit; what deviates is kept whole.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.body = bytearray()
        self._expected = picture_text(order.answer_bytes, order.variant)
        # How much of the picture has come; None before it begins and when it is not compared.
        self._matched: int | None = None
        self._comparing = order.shape == "json"

    @property
    def picture_matched(self) -> bool:
        """Whether the whole picture was right and so is no part of `body`."""
        return self._matched == len(self._expected)

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if not self._comparing:
            self.body += piece
        elif self._matched is None:
            self._look_for_picture(piece)
        else:
            self._compare(piece, self._matched)

    def _look_for_picture(self, piece: bytes) -> None:
        self.body += piece
        if found := _IMAGE_START.search(self.body):
            rest = bytes(self.body[found.end() :])
            del self.body[found.end() :]
            self._matched = 0
            self._compare(rest, 0)

    def _compare(self, piece: bytes, matched: int) -> None:
        room = len(self._expected) - matched
        part = piece if len(piece) <= room else piece[:room]
        if self._expected.startswith(part, matched):
            self._matched = matched + len(part)
            self._comparing = self._matched < len(self._expected)
            self.body += piece[room:]
            return
        self.body += self._expected[:matched] + piece
        self._matched, self._comparing = None, False


def check_answer(status: int, sink: Sink) -> Verdict:
    """Return what is wrong with an answer, if anything."""
    body = bytes(sink.body)
    if status != 200:
        return Verdict(f"{status} {body[:200]!r}")
    if sink.order.shape == "sse":
        return _check_stream(body, sink.order)
    found = _IMAGE.findall(body)
    if len(found) != 1:
        return Verdict(f"{len(found)} images in {body[:200]!r}")
    if sink.picture_matched:
        return Verdict("" if found == [b""] else "more picture than was sent")
    return Verdict(_check_picture(found[0], sink.order.answer_bytes, sink.order.variant))


def _check_stream(body: bytes, order: Order) -> Verdict:
    ends = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    frames = [frame for frame in body.split(ends) if b"b64_json" in frame]
    if not frames or b".completed" not in frames[-1][:200]:
        return Verdict(f"no completed event in {body[:200]!r}")
    faults = [_check_partial(frame, order) for frame in frames[:-1]]
    whole = _IMAGE.findall(frames[-1])
    faults.append(_check_picture(whole[0] if whole else b"", order.answer_bytes, order.variant))
    if b'"usage"' not in frames[-1]:
        faults.append("the completed event has no usage")
    return Verdict(next(filter(None, faults), ""), PARTIALS + 1 - len(frames))


def _check_partial(frame: bytes, order: Order) -> str:
    text, index = _IMAGE.search(frame), _PARTIAL_INDEX.search(frame)
    if text is None or index is None:
        return f"a partial image without {'index' if text else 'image'}: {frame[:200]!r}"
    return _check_picture(text[1], order.answer_bytes, partial_seed(order.variant, int(index[1])))


def _check_picture(text: bytes, answer_bytes: int, seed: int) -> str:
    # The same text is the same bytes; only another spelling has to be decoded and hashed.
    if text == picture_text(answer_bytes, seed):
        return ""
    try:
        file = base64.b64decode(json.loads(b'"%b"' % text), validate=True)
    except ValueError as error:
        return f"no base64: {error}"
    if hashlib.sha256(file).hexdigest() == picture_sha256(answer_bytes, seed):
        return ""
    return f"another picture: {len(file)} bytes"

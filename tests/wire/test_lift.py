"""Lifting gives the same document as a JSON parser, wherever the chunks are cut."""

import base64
import itertools
import json
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegate.errors import UpstreamEmptyError
from imagegate.types import Blob, Json
from imagegate.wire.lift import (
    DEPTH_MAX,
    HEAD,
    LONG,
    SMALL,
    Base64,
    Lift,
    Lifted,
    LiftError,
    lift_whole,
)

TAG = "blob:0123456789abcdef:"

base64_texts = st.binary(min_size=0, max_size=3000).map(lambda raw: base64.b64encode(raw).decode())
keys = st.sampled_from(["b64_json", "data", "prompt", "image_url", "a", 'é"\\'])
texts = st.one_of(
    st.text(max_size=40),
    base64_texts,
    base64_texts.map(lambda text: f"data:image/png;base64,{text}"),
    base64_texts.map(lambda text: text + ' "b64_json": \\" \n'),
    st.sampled_from([f"{TAG}0", "blob:", '{"b64_json":"', "\\", "\\\\", '\\"', "a" * (LONG + 1)]),
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


class Item(msgspec.Struct):
    b64_json: Base64 | None = None
    url: str | None = None


class Answer(msgspec.Struct):
    data: list[Item]


def lift(document: bytes, cuts: list[int] | None = None, **bounds: int) -> Lifted:
    scanner = Lift(TAG, **bounds)
    edges = [0, *sorted(cuts or []), len(document)]
    for start, stop in itertools.pairwise(edges):
        scanner.feed(document[start:stop])
    return scanner.finish(document)


def text_of(blob: Blob) -> str:
    assert isinstance(blob.source, bytes)
    stored = blob.source[blob.offset : blob.offset + blob.length].decode()
    return stored.replace("\\", "") if blob.escaped else stored


def restore(value: Json, lifted: Lifted) -> Json:
    """Put the blobs' text back where the tags are."""
    if isinstance(value, dict):
        return {restore(k, lifted): restore(v, lifted) for k, v in value.items()}
    if isinstance(value, list):
        return [restore(item, lifted) for item in value]
    blob = lifted.blob(value) if isinstance(value, str) else None
    if blob is None:
        return value
    prefix = f"data:{blob.media_type};base64," if blob.media_type else ""
    return prefix + text_of(blob)


@settings(max_examples=200, deadline=None)
@given(documents, st.data(), st.booleans())
def test_same_document_as_a_parser(document: Json, data: st.DataObject, php: bool) -> None:
    text = json.dumps({"padding": [" "] * (SMALL // 5), "document": document})
    text = text.replace(TAG, "tag:")  # a tag of the scanner is chance: nobody can write it
    raw = (text.replace("/", "\\/") if php else text).encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    lifted = lift(raw, cuts)
    assert restore(json.loads(lifted.skeleton), lifted) == json.loads(text)
    assert lifted.skeleton == lift(raw).skeleton == lift_whole(raw, TAG).skeleton
    assert len(re.findall(TAG.encode() + rb"\d+", lifted.skeleton)) == len(lifted.blobs)


def big_document(slash: str = "/") -> bytes:
    image = base64.b64encode(bytes(range(256)) * 24).decode().replace("/", slash)
    text = json.dumps({"prompt": 'b64_json " \\ }', "data": [{"b64_json": "@"}, {"b64_json": "@"}]})
    return text.replace("@", f"data:image{slash}png;base64,{image}").encode()


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_every_cut_gives_the_same(slash: str) -> None:
    document = big_document(slash)
    whole = lift(document)
    assert len(whole.blobs) == 2
    seen = {(b.offset, b.length, b.escaped, b.media_type) for b in whole.blobs}
    for cut in range(0, len(document), 7):
        lifted = lift(document, [cut, cut + 1, cut + 2])
        assert lifted.skeleton == whole.skeleton
        assert {(b.offset, b.length, b.escaped, b.media_type) for b in lifted.blobs} == seen


def test_a_document_in_memory_is_lifted_as_one_that_arrives() -> None:
    document = big_document()
    whole = lift_whole(document, TAG)
    assert whole.skeleton == lift(document).skeleton
    assert [(text_of(b), b.sound) for b in whole.blobs] == [
        (text_of(b), True) for b in lift(document).blobs
    ]


def test_a_document_that_is_too_deep_shows_its_start() -> None:
    small = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert lift_whole(small, TAG) == Lifted(small, (), TAG)
    deep = b'{"error":"no"}' + b"[" * 5000
    assert lift_whole(deep, TAG).text().startswith('{"error":"no"}[[')


def test_single_bytes() -> None:
    document = big_document("\\/")
    assert lift(document, list(range(len(document)))).skeleton == lift(document).skeleton


def test_media_type_and_range_of_a_data_url() -> None:
    image = "QUJD" * 2000
    document = json.dumps({"image_url": f"data:image/PNG;base64,{image}"}).encode()
    (blob,) = lift(document).blobs
    assert (blob.media_type, blob.encoding, blob.escaped) == ("image/png", "base64", False)
    assert text_of(blob) == image


def test_offset_counts_from_the_start_of_the_stream() -> None:
    document = json.dumps({"b64_json": "QUJD" * 2000}).encode()
    scanner = Lift(TAG, offset=100)
    scanner.feed(document)
    (blob,) = scanner.finish(b"").blobs
    assert blob.offset == 100 + document.index(b"QUJD")


@pytest.mark.parametrize("key", ["prompt", "revised_prompt", "message", "text"])
def test_words_of_people_are_never_lifted(key: str) -> None:
    document = json.dumps({key: "a" * 30_000, "b64_json": "a" * 30_000}, indent=1).encode()
    lifted = lift(document, [5000, 9000])
    assert len(lifted.blobs) == 1
    assert json.loads(lifted.skeleton)[key] == "a" * 30_000


def test_text_that_turns_out_late_not_to_be_base64_is_left_for_the_check() -> None:
    start = "a" * (HEAD + 1000)
    for rest in ["\\n", "\\\\", "\\u0041", "\\/\\n", " words"]:
        document = f'{{"b64_json":"{start}{rest}"}}'.encode()
        (blob,) = lift(document, [HEAD + 500]).blobs
        assert not blob.escaped
        assert text_of(blob) == start + rest


def test_quotes_in_what_began_as_base64_are_refused() -> None:
    document = f'{{"b64_json":"{"a" * (HEAD + 1000)}\\"rest"}}'.encode()
    for cuts in ([], [SMALL + 1], [HEAD + 900], [len(document) - 8, len(document) - 7]):
        with pytest.raises(LiftError) as caught:
            lift(document, cuts)
        assert caught.value.reason == "string"


def test_bounds() -> None:
    with pytest.raises(LiftError) as deep:
        lift(b"[" * 65 + b"]" * 65)
    assert deep.value.reason == "depth"
    assert lift(b"[" * 64 + b"]" * 64).json() is not None
    assert lift(b"[" + b"[]," * 5000 + b"[]]").json() is not None
    assert lift(b'["' + b"[" * 5000 + b'"]').json() is not None
    with pytest.raises(LiftError) as large:
        lift(b'["' + b"no base64 " * 5000 + b'"]', skeleton_bytes_max=10_000)
    assert large.value.reason == "skeleton"


def test_past_a_bound_the_start_survives_for_humans() -> None:
    page = b"<html>Bad gateway" + b" and so on" * 5000
    scanner = Lift(TAG, skeleton_bytes_max=10_000)
    with pytest.raises(LiftError):
        scanner.feed(page)
    scanner.feed(page)
    lifted = scanner.finish(page)
    assert lifted.text() == page[:8192].decode()
    assert lifted.json() is None


@pytest.mark.parametrize(
    "garbage", [b"", b'<html><a href="x">}}}', b'{"a', b'"\\', b"\xff\xfe\x00", b"]" * 9000]
)
def test_garbage_passes_through(garbage: bytes) -> None:
    lifted = lift(garbage)
    assert lifted.skeleton == garbage
    assert lifted.json() is None
    with pytest.raises(UpstreamEmptyError) as caught:
        lifted.decode(Answer)
    assert caught.value.code == "upstream_invalid_image"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 60))
def test_no_bytes_at_all_make_it_raise(piece: bytes, times: int) -> None:
    lifted = lift(piece.replace(b"[", b"").replace(b"{", b"") * times + b" " * SMALL)
    lifted.text()
    lifted.json()


def test_cut_off_within_an_image() -> None:
    lifted = lift(b'{"data":[{"b64_json":"' + b"QUJD" * 10_000)
    assert lifted.json() is None
    assert lifted.text() == '{"data":[{"b64_json":"<image 40000 bytes>'


def test_decode_takes_long_and_short_strings_as_blobs() -> None:
    long = "QUJD" * 2000
    items = [long, "QUI=", "data:image/webp;base64,QUI="]
    document = json.dumps({"data": [{"b64_json": item} for item in items]}).encode()
    blobs = [item.b64_json.blob for item in lift(document).decode(Answer).data if item.b64_json]
    assert [text_of(blob) for blob in blobs] == [long, "QUI=", "QUI="]
    assert [blob.media_type for blob in blobs] == ["", "", "image/webp"]


def test_decode_is_lenient_about_the_rest_and_strict_about_images() -> None:
    assert lift(b'{"data":[{"b64_json":null,"new":1}],"more":{}}').decode(Answer).data == [Item()]
    with pytest.raises(UpstreamEmptyError):
        lift(b'{"data":[{"b64_json":5}]}').decode(Answer)


def test_a_tag_written_by_somebody_else_is_text() -> None:
    document = json.dumps({"url": "blob:0", "b64_json": "QUJD" * 2000, "prompt": f"{TAG}7"})
    lifted = lift(document.encode())
    assert lifted.blob("blob:0") is None
    assert lifted.blob(f"{TAG}7") is None
    assert lifted.blob(f"{TAG}0") is lifted.blobs[0]

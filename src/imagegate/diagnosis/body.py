"""Reads what an error body says, in whatever shape: JSON, a dict's repr, HTML, plain text.

Nothing here knows a provider: names of fields are gathered at any depth, values under the few
names by which APIs tell the kind of an error.
"""

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from imagegate.types import Json

_DEPTH_MAX = 7
_FACTS_MAX = 400
_REPR_CHARS_MAX = 32_768
_PAGE_CHARS_MAX = 16_384
_OBJECTS_TRIED_MAX = 12
# What APIs call the kind of an error -> the fact that it becomes.
_KINDS = {
    "code": "code",
    "Code": "code",
    "status": "code",
    "reason": "code",
    "finishReason": "code",
    "finish_reason": "code",
    "blockReason": "code",
    "status_code": "code",
    "statusCode": "code",
    "__type": "code",
    "failed_routing_step": "code",
    "type": "type",
    "param": "param",
    "@type": "detail",
    "quotaMetric": "quota",
    "quotaId": "quota",
    "quotaValue": "quota",
}
_LOOSE = re.compile(
    r"\b(code|type|param|status)\b['\"]?\s*[:=]\s*(?:Some\()?['\"]?([A-Za-z][\w.\[\]-]{1,60}|[45]\d\d\b)",
    re.IGNORECASE,
)
_DOTNET = re.compile(
    r"HTTP [45]\d\d \((?P<type>\w+): (?P<code>\w*)\)\s*(?:Parameter: (?P<param>\w+))?"
)
_BOTO = re.compile(r"An error occurred \((?P<code>\w+)\) when calling the \w+ operation")
_GENAI = re.compile(r"\b[45]\d\d (?P<code>[A-Z]+(?:_[A-Z]+)*)\.")
_OBJECT_START = re.compile(r"\{\s*[\"']|\[\s*[\"'{\[]")
_HTML = re.compile(r"^\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.{0,4000}?</\1>|<[^>]{0,500}>", re.IGNORECASE | re.DOTALL)
_CUT_END = re.compile(r"(?:…|\.\.\.|\[truncated\])\s*$")


class ErrorText(Struct, frozen=True):
    """An error as it was read: its own message, and facts as pairs of a name and a word.

    `before` is what a program printed before the object.
    """

    message: str
    facts: frozenset[tuple[str, str]]
    before: str = ""
    value: Json = None


def read_error_text(text: str) -> ErrorText:
    """Return what `text` says. Never raises: what is in no known shape is plain text."""
    if not text.strip():
        return ErrorText("", frozenset({("shape", "empty")}))
    if _HTML.match(text):
        plain = re.sub(r"\s+", " ", _TAGS.sub(" ", text[:_PAGE_CHARS_MAX])).strip()
        return ErrorText(plain, frozenset({("shape", "html")}))
    value = find_object(text)
    if value is not None:
        return _read_object(value, text)
    if _is_cut(text):
        return ErrorText(text.strip(), frozenset({("shape", "cut")}))
    return ErrorText(text.strip(), frozenset({("shape", "text"), *_loose_facts(text)}))


def _is_cut(text: str) -> bool:
    """Return whether an object or a sentence does not end; what Node prints of objects does."""
    if _CUT_END.search(text):
        return True
    start = _OBJECT_START.search(text)
    rest = text[start.start() :] if start else ""
    return sum(map(rest.count, "{[")) > sum(map(rest.count, "}]"))


def find_object(text: str) -> Json:
    """Return the first JSON object or dict repr in `text`; None where there is no whole one."""
    for found in list(_OBJECT_START.finditer(text))[:_OBJECTS_TRIED_MAX]:
        value = _decode_at(text, found.start())
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]  # Google's streams wrap the object in a list
        if isinstance(value, dict) or (value is None and found[0].startswith("{")):
            return value  # what stands within an object that was cut is not the error
    return None


def _decode_at(text: str, start: int) -> Json:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        pass
    end = max(text.rfind("}"), text.rfind("]")) + 1
    try:  # what Python SDKs print: {'error': {'code': None}}
        return ast.literal_eval(text[start : min(end, start + _REPR_CHARS_MAX)])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _read_object(value: Json, text: str) -> ErrorText:
    facts = {("shape", "json"), *islice(_walk(value, 0), _FACTS_MAX)}
    before = text.strip().partition("{")[0].rstrip("[ \n")
    return ErrorText(_message(value), frozenset(facts), before, value)


def _walk(value: Json, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEPTH_MAX:
        return
    for item in value if isinstance(value, list) else ():
        yield from _walk(item, depth + 1)
    for name, item in value.items() if isinstance(value, dict) else ():
        yield "field", str(name)
        kind = _KINDS.get(str(name))
        if kind and not isinstance(item, dict | list):
            yield kind, _word(item, kind)
        yield from _walk(item, depth + 1)


def _word(item: Json, kind: str) -> str:
    if item is None:
        return "null"
    return str(item).rpartition(".")[2] if kind == "detail" else str(item)[:200]


def _message(value: Json) -> str:
    """Return the error's own words: the outermost message, or a text that stands for the error."""
    error = value.get("error") if isinstance(value, dict) else None
    for part in (error, value):
        if isinstance(part, str):
            return part
        for name in ("message", "Message", "detail", "status_msg", "msg", "finishMessage"):
            found = part.get(name) if isinstance(part, dict) else None
            if isinstance(found, str):
                return found
    inner = value.get("base_resp") or value.get("detail") or value.get("errors") or ""
    inner = inner[0] if isinstance(inner, list) and inner else inner
    return _message(inner) if isinstance(inner, dict) and inner is not value else ""


def _loose_facts(text: str) -> Iterator[tuple[str, str]]:
    """Read what programs print that is no JSON: `code: 'model_not_found'`, a class and a code."""
    for name, word in _LOOSE.findall(text):
        yield _KINDS[name.lower()], "null" if word in ("None", "null", "undefined") else word
    for pattern in (_DOTNET, _BOTO, _GENAI):
        for found in pattern.finditer(text):
            yield from ((name, word) for name, word in found.groupdict().items() if word)

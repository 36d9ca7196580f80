"""What people paste -> Observation: an error, JSON, a curl transcript, an exception, a log."""

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from imagegate.diagnosis.body import find_object
from imagegate.diagnosis.observation import Observation
from imagegate.types import Json

PASTE_CHARS_MAX = 262_144
_STRING_CHARS_MAX = 200
_SENT = ("data", "data-raw", "data-binary", "json", "d")

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{400,}={0,2}")
_HEAD = re.compile(r"^(?:< )?HTTP/\d(?:\.\d)? (\d{3})[^\n]*\n((?:(?:< )?[\w-]+:[^\n]*\n)*)", re.M)
_CURL_NOISE = re.compile(
    r"^(?:[*>] ?.*|< (?:HTTP/|[\w-]+:).*|< *|[{}] \[\d+ bytes data\]|.*--:--:--.*)$", re.M
)
_CURL_TAIL = re.compile(r"\* Connection #\d+ to host .*$", re.S)
_ASKED = re.compile(r"^> (?:GET|POST) (\S+) HTTP", re.M)
_ASKED_HEADER = re.compile(r"^> ([\w-]+): *(.*)$", re.M)
_HEADER_OPTION = re.compile(r"(?:-H|--header)\s+(['\"])([\w-]+): *(.*?)\1")
_DATA_OPTION = re.compile(rf"(?:-d|--(?:{'|'.join(_SENT)}))[= ]+'(\{{.*?\}})'", re.S)
_CURL_FAILED = re.compile(r"curl: \((\d+)\)")
_STATUS = re.compile(
    r"(?:\b(?:Error code|error|HTTP(?:/\d(?:\.\d)?)?(?: Error)?|status(?:[ _]?code)?|got status|"
    r"unexpected status|http)\b['\"]?[\s:=(]{1,3}|^(?:\w*Error:|\w*Exception:)?\s*)([2345]\d\d)\b",
    re.IGNORECASE | re.MULTILINE,
)
_EXCEPTION = re.compile(
    r"\b((?:[a-z_]\w*\.)+[A-Z]\w*(?:Error|Exception|Timeout)|[A-Z]\w*(?:Error|Exception|Timeout))"
    r"(?=\b)"
)
_URL = re.compile(r"https?://[^\s\"'<>)\],]+")
_API_PATH = re.compile(r"/(?:v\d\w*|openai|backend-api|api/v\d|model|models)(?:/|$)")
_DOCS_HOST = re.compile(
    r"^https?://(?:docs?|help|platform|learn|console|status|ai|go|aka)\.|/docs/"
)
_CLIENTS = re.compile(
    r"\b(codex(?=[-_ ](?:cli|exec|app|desktop|v?\d))|llm-?tornado|open-?webui|librechat|"
    r"cherry ?studio|lobe(?:chat|hub)|n8n|dify|openai/(?:python|js))\b",
    re.IGNORECASE,
)


def parse_paste(text: str, today: datetime.date) -> Observation:
    """Return what a pasted text tells; at most 256 Ki characters of it are read. Never raises.

    `today` stands in for the day of the failure where no Date header names it.
    """
    text = _ESCAPES.sub("", text[:PASTE_CHARS_MAX]).replace("\r\n", "\n").replace("\r", "\n")
    text = _BASE64.sub("<base64>", text)
    heads = list(_HEAD.finditer(text))
    if heads:
        return _from_transcript(text, heads[-1], today)
    failed = _CURL_FAILED.search(text)
    body = _CURL_NOISE.sub("", text).strip() if _ASKED.search(text) else text.strip()
    return Observation(
        status=0 if failed else _status_in(body),
        body=body,
        url=_url(text),
        client=_client(text),
        exception=f"curl {failed[1]}" if failed else _exception(body),
        sent=_sent(text),
        today=today,
    )


def _from_transcript(text: str, head: "re.Match[str]", today: datetime.date) -> Observation:
    headers = _headers(line.removeprefix("< ") for line in head[2].splitlines())
    asked = {name.lower(): value for name, value in _ASKED_HEADER.findall(text)}
    asked |= {name.lower(): value for _, name, value in _HEADER_OPTION.findall(text)}
    rest = _CURL_TAIL.sub("", _CURL_NOISE.sub("", text[head.end() :]))
    return Observation(
        status=int(head[1]),
        headers=headers,
        body=rest.strip(),
        url=_asked_url(text, asked) or _url(text),
        client=asked.get("originator") or asked.get("user-agent", ""),
        key_prefix=_key_prefix(asked),
        sent=_sent(text),
        today=_day(headers) or today,
    )


def _headers(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _day(headers: Mapping[str, str]) -> datetime.date | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).date()
    except ValueError:
        return None


def _asked_url(text: str, asked: Mapping[str, str]) -> str:
    path = _ASKED.findall(text)
    host = asked.get("host", "")
    return f"https://{host}{path[-1]}" if host and path else ""


def _url(text: str) -> str:
    """Return the address of an API that the text names, leaving out documentation."""
    found = [url.rstrip(".,;:") for url in _URL.findall(text) if not _DOCS_HOST.search(url)]
    command = text.lstrip(" $").startswith("curl")
    apis = [url for url in found if _API_PATH.search(url)]
    return next(iter(apis or (found if command else ())), "") or _local_address(text)


def _local_address(text: str) -> str:
    """Return the address of a refused connection: `localhost port 8000`, `127.0.0.1:8000`."""
    found = re.search(r"\b(localhost|127\.\d+\.\d+\.\d+|::1)\b[\]\s]*(?:port |:)?(\d{2,5})?", text)
    host = f"[{found[1]}]" if found and ":" in found[1] else found[1] if found else ""
    return f"http://{host}:{found[2] or 80}" if found else ""


def _status_in(body: str) -> int:
    value = find_object(body)
    inner = value.get("status") if isinstance(value, dict) else None
    if isinstance(inner, int) and 100 <= inner < 600:
        return inner
    start = body.find("{")
    found = _STATUS.search(body[: start if start > 0 else None] if start else "")
    return int(found[1]) if found else 0


def _exception(body: str) -> str:
    found = _EXCEPTION.findall(body[:8192].partition("{")[0])
    return found[-1] if found else ""


def _client(text: str) -> str:
    found = _CLIENTS.search(text.partition("{")[0][:16_384])
    return found[1].lower() if found else ""


def _key_prefix(asked: Mapping[str, str]) -> str:
    key = asked.get("api-key") or asked.get("authorization", "").removeprefix("Bearer ")
    return "" if not key or key.startswith(("$", "<", "*", "[")) else key[:8].partition("*")[0]


def _sent(text: str) -> dict[str, Json]:
    """Return names and scalars of the JSON that a curl command sent; never a prompt."""
    found = _DATA_OPTION.search(text)
    try:
        value = json.loads(found[1]) if found else None
    except ValueError:
        return {}
    return keep_scalars(value) if isinstance(value, dict) else {}


def keep_scalars(sent: Mapping[str, Json]) -> dict[str, Json]:
    """Return a request without what may be private or large: names stay, long texts go."""
    return {str(name): _scalar(str(name), value) for name, value in list(sent.items())[:64]}


def _scalar(name: str, value: Json) -> Json:
    if isinstance(value, dict):
        return keep_scalars(value)
    if isinstance(value, list):
        return [_scalar(name, item) for item in value[:16]]
    if name in ("prompt", "input", "content", "text", "instructions"):
        return None
    return value[:_STRING_CHARS_MAX] if isinstance(value, str) else value

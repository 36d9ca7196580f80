"""Keeps an upstream's words fit to be shown: no keys, no images, no control characters, 8 KiB."""

import re

from imagegate.errors import UPSTREAM_TEXT_BYTES_MAX

# Pattern -> what is shown for it, in this order.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), shown)
    for pattern, shown in (
        (r"\x1b\[[0-9;?]*[ -/]*[@-~]", ""),
        (r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", ""),
        (r"[A-Za-z0-9+/_=\\-]{400,}", "<base64>"),
        (r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*", "<jwt>"),
        (r"\b((?:sk|pk|rk|gsk|xai|hf|r8|nvapi|ya29|ghp)[-_.])[\w*.-]{6,}", r"\1***"),
        (r"\b(AIza|AKIA|ASIA|ABSK)[\w*-]{8,}", r"\1***"),
        (r"(?i)\b(bearer\s+)[\w.~+/=*-]{6,}", r"\1***"),
        (
            r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?!bearer)\w+ )[^\n\"']+",
            r"\1***",
        ),
        (r"(?i)\b((?:set-)?cookie:\s*)[^\n]+", r"\1***"),
        (
            r"(?i)((?:api[-_]?key|subscription-key|secret|password)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;]{4,}",
            r"\1***",
        ),
        (r"(?i)([?&](?:key|sig|token|signature|code)=)[^\s\"'&]{4,}", r"\1***"),
        (r"(?i)(key provided:? ['\"]?\S{2,4})[^\s'\"]{4,}", r"\1***"),
        (r"\b(?:[0-9a-f]{32}|(?=\w*\d)(?=\w*[A-Z])[A-Za-z0-9]{84})\b", "***"),
    )
)


def redact(text: str) -> str:
    """Return `text` without secrets, images and control characters, at most 8 KiB."""
    text = text[: 4 * UPSTREAM_TEXT_BYTES_MAX]
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return text.encode()[:UPSTREAM_TEXT_BYTES_MAX].decode("utf-8", "ignore").strip()

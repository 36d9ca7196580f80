"""`sensitive`: secrets and personal data by built-in patterns, whose check digits must be right.

A number that only looks like a card is none: Luhn's digit, the two of an IBAN and the areas of a
US social security number are checked, so that a prompt with a long number is not refused for it.
No pattern reads a character in two ways, so a prompt that is made to be slow costs what its length
does.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from imagegate.config.guards import GuardrailSettings
from imagegate.guardrails.folding import visible
from imagegate.guardrails.subject import ALLOWED, Ruling, Subject

_GAP = re.compile(r"[ -]")


class Entity(Struct, frozen=True):
    """A kind of thing that is looked for, and the check that a match must pass."""

    name: str
    regex: re.Pattern[str]
    is_valid: Callable[[str], bool]


def luhn_holds(text: str) -> bool:
    """Return whether the digits in `text` are a card number: 13 to 19 with a right check digit."""
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban_holds(text: str) -> bool:
    """Return whether `text` is an IBAN by its two check digits."""
    plain = re.sub(r"[\s-]", "", text).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def ssn_holds(text: str) -> bool:
    """Return whether `text` is a US social security number that can have been issued."""
    area, _, rest = text.partition("-")
    group, _, serial = rest.partition("-")
    return (
        bool(serial)
        and area not in ("000", "666")
        and area < "900"
        and group != "00"
        and serial != "0000"
    )


def _any(_text: str) -> bool:
    return True


def _entity(name: str, pattern: str, is_valid: Callable[[str], bool] = _any) -> Entity:
    return Entity(name, re.compile(pattern), is_valid)


ENTITIES: tuple[Entity, ...] = (
    _entity("PRIVATE_KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END[A-Z -]*-----)?"),
    _entity(
        "API_KEY",
        r"\b(?:(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{30,}"
        r"|github_pat_\w{30,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|xox[abprs]-[\w-]{10,}"
        r"|hf_[A-Za-z0-9]{30,}|glpat-[\w-]{20,}|r8_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36})",
    ),
    _entity("JWT", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"),
    _entity(
        "PASSWORD", r"(?i)\b(?:password|passwd|secret|token|api[_-]?key)\s*[:=]\s*[^\s,;\"']{6,}"
    ),
    _entity(
        "CREDIT_CARD",
        r"(?<![\w-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?"
        r"|\d{4}([ -])\d{6}\2\d{4,5})(?!\d)",
        luhn_holds,
    ),
    _entity(
        "IBAN",
        r"(?ai)\b[a-z]{2}\d{2}(?:[a-z0-9]{11,30}|(?:[ -][a-z0-9]{4}){2,7}(?:[ -][a-z0-9]{1,3})?)\b",
        iban_holds,
    ),
    _entity("US_SSN", r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", ssn_holds),
    _entity("EMAIL_ADDRESS", r"(?<![\w.+-])[\w.+-]++@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b"),
    _entity("PHONE_NUMBER", r"(?<![\w+])\+\d(?:[ .()-]{0,2}\d){6,14}(?!\d)"),
)
NAMES = tuple(entity.name for entity in ENTITIES)


class Sensitive:
    """Looks for the entities that are asked for; each is blocked or masked."""

    sees_images = False

    def __init__(self, settings: GuardrailSettings) -> None:
        asked: Mapping[str, str] = settings.entities or dict.fromkeys(NAMES, settings.action)
        self._entities = [(one, asked[one.name]) for one in ENTITIES if one.name in asked]

    async def rule(self, subject: Subject) -> Ruling:
        """Return `deny` with the kind of what was found, or the texts with it masked."""
        texts = dict(subject.texts)
        category = ""
        for entity, action in self._entities:
            changed = {path: _cleaned(entity, text) for path, text in texts.items()}
            if changed == texts:
                continue
            if action != "mask":
                return Ruling(action="deny", category=entity.name)
            category = category or entity.name
            texts = changed
        if not category:
            return ALLOWED
        only = {path: text for path, text in texts.items() if text != subject.texts[path]}
        return Ruling(action="mask", category=category, texts=only)


def _cleaned(entity: Entity, text: str) -> str:
    """Return the text with the entity masked: as it was written, or else as it is read."""
    for written in (text, visible(text)):
        if (masked := _masked(entity, written)) != written:
            return masked
    return text


def _masked(entity: Entity, text: str) -> str:
    shown, at = [], 0
    for start, end in _found(entity, text):
        shown += [text[at:start], f"[{entity.name}]"]
        at = end
    return "".join([*shown, text[at:]])


def _found(entity: Entity, text: str) -> Iterator[tuple[int, int]]:
    """Yield where the entity stands; a word or number may be its neighbour in the same breath."""
    at = 0
    while (match := entity.regex.search(text, at)) is not None:
        length = len(_valid_part(match[0], entity.is_valid))
        if length:
            yield match.start(), match.start() + length
        at = match.start() + max(length, 1)


def _valid_part(text: str, is_valid: Callable[[str], bool]) -> str:
    """Return `text`, or what is valid of it without its last groups; "" where nothing is."""
    cuts = [len(text), *(gap.start() for gap in reversed([*_GAP.finditer(text)]))]
    return next((text[:cut] for cut in cuts if is_valid(text[:cut])), "")

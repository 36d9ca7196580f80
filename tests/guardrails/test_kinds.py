"""What the built-in checks find, and what they leave alone."""

import asyncio

import pytest

from imagegate.config.guards import GuardrailSettings, TextRule
from imagegate.guardrails.sensitive import NAMES, Sensitive, iban_holds, luhn_holds
from imagegate.guardrails.subject import Ruling, Subject
from imagegate.guardrails.words import Words

ALL = frozenset(("pre_call",))


def rule(check: Words | Sensitive, text: str) -> Ruling:
    subject = Subject(stage="input", call_id="call_1", texts={"prompt": text})
    return asyncio.run(check.rule(subject))


def words(*rules: TextRule, **settings: object) -> Words:
    return Words(
        GuardrailSettings(name="w", kind="words", modes=ALL, rules=rules, **settings)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "text",
    [
        "a kitten",
        "A KITTEN",
        "a \uff4b\uff49\uff54\uff54\uff45\uff4e",
        "a kit\u200bten",
        "a k\u00eftt\u00e9n",
        "a kitten.",
        "kit\u00adten",
    ],
)
def test_a_word_is_found_however_it_is_written(text: str) -> None:
    assert rule(words(TextRule(text="Kitten")), text).action == "deny"


@pytest.mark.parametrize("text", ["kittens", "a skitten", "", "kit ten"])
def test_only_whole_words(text: str) -> None:
    assert rule(words(TextRule(text="kitten")), text).action == "allow"


def test_several_words_and_expressions() -> None:
    check = words(TextRule(text="blue  fox"), TextRule(text=r"X-\d{3}", is_regex=True, name="code"))
    assert rule(check, "a Blue\nFox").action == "deny"
    assert rule(check, "plan X-123") == Ruling(action="deny", category="code")


def test_the_gravest_decides_and_low_ones_can_be_left_out() -> None:
    low = TextRule(text="fox", severity="low", action="hold")
    high = TextRule(text="bear", severity="high")
    assert rule(words(low, high), "a fox and a bear").category == "word-high"
    assert rule(words(low, high), "a fox").action == "hold"
    assert rule(words(low, high, severity_min="medium"), "a fox").action == "allow"


def test_masking() -> None:
    check = words(
        TextRule(text="kitten", action="mask"), TextRule(text=r"\d+", is_regex=True, action="mask")
    )
    assert rule(check, "A Kitten of 12").texts == {"prompt": "A [REDACTED] of [REDACTED]"}
    assert rule(check, "a kit\u200bten").texts == {"prompt": "[REDACTED]"}


FOUND = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "US_SSN": "536-22-1234",
    "EMAIL_ADDRESS": "ann.b+c@example.co.uk",
    "PHONE_NUMBER": "+49 30 1234567",
    "API_KEY": "sk-proj-abcdefghijklmnop1234",
    "JWT": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4",
    "PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
    "PASSWORD": "password: hunter2hunter2",
}
HARMLESS = [
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "DE88 3704 0044 0532 0130 00",
    "666-22-1234",
    "a fox of 1234567890123 px",
    "1024x1536, quality high, seed 4242424242",
    "the year 2026-11-20",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "550e8400-e29b-41d4-a716-446655440000",
    "frames 0000 0001 0002 0003 at 24 fps",
    "Ann at home",
]


def sensitive(**settings: object) -> Sensitive:
    return Sensitive(
        GuardrailSettings(name="s", kind="sensitive", modes=ALL, **settings)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_entity_is_blocked_by_its_name_and_never_by_its_words(name: str) -> None:
    ruling = rule(sensitive(entities={name: "block"}), f"a card for {FOUND[name]}, please")
    assert ruling == Ruling(action="deny", category=name)


@pytest.mark.parametrize("name", NAMES)
def test_each_entity_is_masked(name: str) -> None:
    ruling = rule(sensitive(entities={name: "mask"}), f"a card for {FOUND[name]}, please")
    assert ruling.texts == {"prompt": f"a card for [{name}], please"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111 1111 1111 1111 12/27", "[CREDIT_CARD] 12/27"),
        ("4111 1111 1111 1111 123", "[CREDIT_CARD] 123"),
        ("nr 2024 4111 1111 1111 1111", "nr 2024 [CREDIT_CARD]"),
        ("3782 822463 10005 and 4111-1111-1111-1111", "[CREDIT_CARD] and [CREDIT_CARD]"),
        ("DE89 3704 0044 0532 0130 00 please", "[IBAN] please"),
        ("ES91 2100 0418 4502 0005 1332 with", "[IBAN] with"),
        ("iban:DE89370400440532013000.", "iban:[IBAN]."),
        ("+49 (0)30 1234567", "[PHONE_NUMBER]"),
        ("+1 415-555-2671, +442071838750", "[PHONE_NUMBER], [PHONE_NUMBER]"),
        ("a \uff14\uff11\uff11\uff11 1111 1111 1111", "a [CREDIT_CARD]"),
        ("for ann\u200b@exam\u00adple.com", "for [EMAIL_ADDRESS]"),
        ("sk-\u200babcdefghijklmnop1234", "[API_KEY]"),
        ("caf\u00e9 \u2013 DE89 3704 0044 0532 0130 00", "caf\u00e9 \u2013 [IBAN]"),
        ("to:ann@example.com,bob@example.org", "to:[EMAIL_ADDRESS],[EMAIL_ADDRESS]"),
    ],
)
def test_its_neighbours_do_not_hide_it(text: str, masked: str) -> None:
    entities = dict.fromkeys(NAMES, "mask")
    assert rule(sensitive(entities=entities), text).texts == {"prompt": masked}


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_passes(text: str) -> None:
    assert rule(sensitive(), text).action == "allow"


def test_check_digits() -> None:
    assert luhn_holds("5500-0000-0000-0004")
    assert not luhn_holds("5500-0000-0000-0005")
    assert iban_holds("GB82 WEST 1234 5698 7654 32")
    assert not iban_holds("GB82 WEST 1234 5698 7654 33")

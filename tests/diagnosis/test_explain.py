"""The bars of the diagnosis: right owners, no wrong confident verdict, undecided where unknown."""

import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.observation import Observation
from imagegate.diagnosis.paste import parse_paste
from tests.diagnosis.texts import TODAY, Row, explain_text, rows, undecidable

REFERENCE, OTHERS = rows("rows"), [*rows("others"), *rows("wild")]
# Numbers of the reference table that have a row; the others are not in it.
NUMBERS = {
    *(1, 2, 3, 4, 6, 7, 9, 10, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 27, 28, 29, 31, 32, 33),
    *(35, 36, 38, 39, 41, 42, 44, 45, 47, 48, 50, 51, 53, 54, 55, 57, 59, 60, 62, 63, 64, 66),
    *(67, 68, 70, 71, 73, 74),
}
GONE = {"message": "x", "type": "invalid_request_error", "param": None, "code": "model_not_found"}


def test_every_row_of_the_reference_is_recorded() -> None:
    assert {row.row for row in REFERENCE} == NUMBERS
    assert all(row.message in row.text for row in (*REFERENCE, *OTHERS))


@pytest.mark.parametrize("row", [*REFERENCE, *OTHERS], ids=str)
def test_the_owner_is_right(row: Row) -> None:
    finding = explain_text(row.text)
    assert (finding.owner, finding.exit_code) == (row.owner, row.exit_code), finding.rule
    assert finding.cause
    assert finding.next
    assert finding.text


@pytest.mark.parametrize("row", [*REFERENCE, *OTHERS], ids=str)
def test_without_its_words_it_never_gets_another_owner(row: Row) -> None:
    finding = explain_text(row.text.replace(row.message, "x"))
    assert finding.owner in (row.owner, "undecided"), finding.rule


@pytest.mark.parametrize("row", [*REFERENCE, *OTHERS], ids=str)
def test_cut_off_it_never_gets_another_owner(row: Row) -> None:
    for length in range(0, len(row.text), 7):
        finding = explain_text(row.text[:length])
        assert finding.owner in (row.owner, "undecided"), (finding.rule, row.text[:length])


@pytest.mark.parametrize("text", undecidable())
def test_nobody_can_know(text: str) -> None:
    finding = explain_text(text)
    assert (finding.owner, finding.exit_code, finding.rule) == ("undecided", 20, "undecided")
    assert finding.confidence == "low"
    assert finding.next


def test_the_same_words_have_six_owners() -> None:
    """Who spoke decides, not the sentence."""
    said = "The model `gpt-image-2` does not exist"
    body = f'{{"error":{{"message":"{said}","type":"%s","param":%s,"code":"%s"}}}}'
    openai = {"openai-processing-ms": "3"}
    missing = body % ("invalid_request_error", "null", "model_not_found")
    user_error = body % ("image_generation_user_error", '"model"', "invalid_value")
    told = {
        "account": Observation(status=404, headers=openai, body=missing, today=TODAY),
        "operator": Observation(status=404, headers={"server": "nginx"}, body=missing),
        "provider": Observation(
            status=400,
            body=body % ("image_generation_user_error", '"tools"', "invalid_value"),
            headers=openai,
            today=TODAY,
        ),
        "caller": Observation(status=400, provider="azure", body=user_error),
        "undecided": Observation(body=said),
    }
    assert {owner: explain(seen).owner for owner, seen in told.items()} == {
        owner: owner for owner in told
    }


def test_a_providers_sentence_gives_way_to_anothers_marks() -> None:
    said = "The API deployment for this resource does not exist."
    body = json.dumps({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": said}})
    url = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/x:predict"
    assert explain(Observation(status=429, body=body, url=url)).surface == "Vertex AI"
    assert explain(Observation(body=said)).surface == "Azure OpenAI"


@pytest.mark.parametrize(
    ("day", "rule"),
    [((2026, 11, 30), "openai.no_access"), ((2026, 12, 1), "openai.retired")],
)
def test_a_model_ends_on_its_day(day: tuple[int, int, int], rule: str) -> None:
    text = (
        "HTTP/2 404\nopenai-version: 2020-10-01\n\n"
        '{"error":{"message":"The model `gpt-image-1.5` does not exist or you do not have access",'
        '"type":"invalid_request_error","param":null,"code":"model_not_found"}}'
    )
    assert explain(parse_paste(text, datetime.date(*day))).rule == rule


def test_dates_are_not_copied_between_clouds() -> None:
    body = '{"error":{"code":"DeploymentNotFound","message":"gone"}}'
    sent = {"model": "gpt-image-1.5"}
    later = datetime.date(2026, 12, 5)
    finding = explain(Observation(status=404, provider="azure", body=body, sent=sent, today=later))
    assert finding.rule == "azure.deployment_not_found"


def test_the_date_header_names_the_day() -> None:
    text = (
        "HTTP/2 404\ndate: Mon, 04 May 2026 10:00:00 GMT\nopenai-version: 2020-10-01\n\n"
        '{"error":{"message":"The model `dall-e-3` does not exist","type":"invalid_request_error",'
        '"param":null,"code":"model_not_found"}}'
    )
    assert explain_text(text).rule == "openai.no_access"


def test_words_from_outside_cannot_become_a_command() -> None:
    body = (
        '{"error":{"message":"The model `x$(reboot)` does not exist or you do not have access",'
        '"type":"invalid_request_error","param":null,"code":"model_not_found"}}'
    )
    headers = {"openai-version": "2020-10-01"}
    sent = {"model": "gpt-image-2; reboot"}
    finding = explain(Observation(status=404, headers=headers, body=body, sent=sent, today=TODAY))
    assert "reboot" not in finding.next + finding.cause
    evil = Observation(status=404, url="https://a.b/v1/$(reboot)/v1", headers=headers, body=body)
    assert "reboot" not in explain(evil).next


def test_the_words_are_kept_and_scrubbed() -> None:
    secrets = (
        "sk-proj-abcdefghijkl0123456789",
        "AIzaSyA1234567890abcdefghijkl",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "0123456789abcdef0123456789abcdef",
    )
    body = "upstream said \x1b[31mno\x1b[0m\x07 " + " ".join(secrets)
    text = explain_text(f"{body} Bearer abcdef123456 https://a/b?sig=abcdef%2F123 end").text
    assert text.startswith("upstream said no ")
    assert text.endswith("end")
    assert not [secret for secret in (*secrets, "abcdef123456", "abcdef%2F") if secret in text]
    assert len(explain_text("ä " * 20_000).text.encode()) <= 8192


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    assert explain_text(text).rule


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "code", "message", "detail", "imagegate", "attempts", "raw"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_gets_an_answer(value: object) -> None:
    assert explain(Observation(body=json.dumps(value))).rule

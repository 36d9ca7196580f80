"""`POST /v1/diagnose`, and the finding in every error of the gateway."""

import json
from pathlib import Path

import pytest

from imagegate.cli.app import run
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.conftest import Start
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

AZURE = {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
ROOT = Path(__file__).resolve().parents[2]
FIELDS = ["surface", "owner", "cause", "next", "do_not", "confidence", "rule"]


@pytest.fixture
def operator(start: Start) -> Operator:
    return Operator(start(general=f"master_key: {MASTER_KEY}"))


def test_a_pasted_text(gateway: RunningGateway) -> None:
    pasted = b"HTTP/1.1 404 Not Found\napim-request-id: 1\n\n" + json.dumps(AZURE).encode()
    for answer in (
        gateway.request("POST", "/v1/diagnose", pasted, {"content-type": "text/plain"}),
        gateway.post("/v1/diagnose", {"text": pasted.decode()}),
        gateway.post(
            "/v1/diagnose", {"status": 404, "headers": {"Apim-Request-Id": "1"}} | {"body": AZURE}
        ),
        gateway.post(
            "/v1/diagnose", {"status": 404, "provider": "azure", "body": json.dumps(AZURE)}
        ),
    ):
        finding = answer.json()
        assert (answer.status, finding["rule"]) == (200, "azure.deployment_not_found")
        assert finding["owner"] == "caller"
        assert set(FIELDS) <= set(finding)


def test_what_is_no_failure_is_refused(gateway: RunningGateway) -> None:
    for body in (b"{", b"[]", b'{"what": 1}', b'{"status": "404"}'):
        answer = gateway.post("/v1/diagnose", body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_json")
        assert "text/plain" in answer.error["message"]
    large = gateway.post("/v1/diagnose", b'"' + b"a" * (1 << 20))
    assert large.status == 413


def test_it_asks_for_the_key(start: Start) -> None:
    gateway = start(general="master_key: sk-test-master-0123456789")
    answer = gateway.post("/v1/diagnose", {"text": "no"})
    assert answer.status == 401
    assert answer.error["imagegate"]["finding"]["rule"] == "imagegate.key"
    authorization = "Bearer sk-test-master-0123456789"
    assert gateway.post("/v1/diagnose", {"text": "no"}, authorization=authorization).status == 200


def test_every_error_carries_its_finding(gateway: RunningGateway) -> None:
    for answer, rule in (
        (gateway.generate(model="none"), "imagegate.no_such_model"),
        (gateway.generate(n=0), "imagegate.field"),
        (gateway.get("/v1/nothing"), "imagegate.route"),
    ):
        finding = answer.error["imagegate"]["finding"]
        assert list(finding) == FIELDS
        assert (finding["rule"], finding["owner"]) == (rule, "caller")


def test_what_the_upstream_said_decides(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    for mode, owner, rule in (
        ("status:azure_deployment_not_found", "operator", "azure.deployment_not_found"),
        ("status:azure_model_in_body", "operator", None),
        ("status:azure_key", "operator", "azure.key"),
        ("status:azure_content_filter", "author", "policy.blocked"),
        ("status:verification", "account", "openai.org_unverified"),
        ("status:bad_size", "caller", "request.field_value"),
    ):
        upstream.reply(mode)
        told = gateway.generate().error["imagegate"]
        assert told["finding"]["surface"] in ("Azure OpenAI", "OpenAI"), mode
        assert told["finding"]["owner"] == owner, mode
        assert rule is None or told["finding"]["rule"] == rule
        assert told["attempts"][0]["upstream"]["text"]


def test_the_gateways_error_can_be_explained_again(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("status:azure_deployment_not_found")
    said = gateway.generate().body
    finding = gateway.post("/v1/diagnose", {"status": 502, "body": json.loads(said)}).json()
    assert (finding["surface"], finding["via"]) == ("Azure OpenAI", ["imagegate"])
    assert finding["rule"] == "azure.deployment_not_found"


def test_a_doc_url_leads_to_an_anchor_of_the_page(gateway: RunningGateway) -> None:
    told = gateway.generate(n=0).error["imagegate"]
    page, _, anchor = told["doc_url"].partition("#")
    assert anchor == told["finding"]["rule"]
    assert f'<a id="{anchor}"></a>' in (ROOT / page).read_text("utf-8")
    explained = gateway.post("/v1/diagnose", {"text": json.dumps(AZURE)}).json()
    assert explained["doc_url"] == f"{page}#{explained['rule']}"


def test_an_operator_may_have_the_page_elsewhere(start: Start) -> None:
    gateway = start(server="docs_url: https://wiki.test/findings")
    for answer in (gateway.generate(n=0), gateway.get("/v1/none"), gateway.get("/v1/responses")):
        assert answer.error["imagegate"]["doc_url"].startswith("https://wiki.test/findings#")
    assert b"https://wiki.test/findings#" in gateway.send_raw(b"this is no HTTP\r\n\r\n")


# --- a call of this gateway -------------------------------------------------------------------


def test_a_call_is_explained_from_its_stored_attempts(
    gateway: RunningGateway, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.reply("status:azure_deployment_not_found")
    call_id = gateway.generate().error["imagegate"]["call_id"]
    told = gateway.post("/v1/diagnose", {"call_id": call_id}).json()
    assert (told["call"], told["state"], told["owner"]) == (call_id, "failed", "operator")
    assert told["rule"] == "azure.deployment_not_found"
    [attempt] = told["attempts"]
    assert "DeploymentNotFound" in attempt["upstream"]["text"]
    assert attempt["finding"]["rule"] == told["rule"]
    assert run(["explain", call_id, "--gateway", gateway.url]) == told["exit_code"] == 14
    printed = capsys.readouterr().out
    assert printed.startswith("Azure OpenAI: ")
    assert "DeploymentNotFound" in printed


def test_a_call_without_a_failure_says_so(gateway: RunningGateway) -> None:
    done = gateway.generate().headers["x-imagegate-call-id"]
    answer = gateway.post("/v1/diagnose", {"call_id": done})
    assert (answer.status, answer.error["code"]) == (400, "nothing_failed")
    assert answer.error["imagegate"]["finding"]["rule"] == "imagegate.nothing_failed"
    assert gateway.post("/v1/diagnose", {"call_id": "call_none"}).error["code"] == "call_not_found"


def test_a_call_is_explained_to_its_owner_only(operator: Operator, upstream: FakeUpstream) -> None:
    mine, other = operator.holder(), operator.holder()
    upstream.reply("status:azure_key")
    call_id = mine.generate().error["imagegate"]["call_id"]
    for holder, status in ((mine, 200), (operator, 200), (other, 404)):
        assert holder.ask("POST", "/v1/diagnose", {"call_id": call_id}).status == status

"""`POST /v1/diagnose`, and the finding in every error of the gateway."""

import json

from tests.gateway.conftest import Start
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

AZURE = {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
FIELDS = ["surface", "owner", "cause", "next", "do_not", "confidence", "rule"]


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

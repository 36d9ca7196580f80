"""The mission's first report: Azure's deployment route refuses a `model` in the body."""

import json

import pytest

from imagegate.cli.app import run
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

PATH = "/openai/deployments/img/images/generations?api-version=2025-04-01-preview"


def test_this_gateway_never_sends_it(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    for model in ("img", "gpt-image-2"):
        answer = gateway.post(PATH, {"prompt": "a fox", "model": model}, api_key="any")
        assert answer.status == 200
    assert gateway.generate().status == 200
    bodies = [json.loads(record.body) for record in upstream.calls]
    assert len(bodies) == 3
    assert not [body for body in bodies if "model" in body]


def test_from_the_outside_it_is_recognised(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    import http.client

    host, port = upstream.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    path = "/openai/deployments/gpt-image-2/images/generations?api-version=2025-04-01-preview"
    headers = {"api-key": "sk-test-x", "content-type": "application/json"}
    body = json.dumps({"model": "gpt-image-2", "prompt": "a fox"})
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    assert response.status == 400
    head = "\n".join(f"{name}: {value}" for name, value in response.getheaders())
    transcript = (
        f"curl -i 'https://r.openai.azure.com{path}' -d '{body}'\n"
        f"HTTP/1.1 400 Bad Request\napim-request-id: 7\n{head}\n\n{said}"
    )
    assert run(["explain", transcript, "--json"]) == 10
    finding = json.loads(capsys.readouterr().out)
    assert (finding["surface"], finding["owner"]) == ("Azure OpenAI", "caller")
    assert "model" in finding["next"]

"""Messages about calls, read by the official library of Standard Webhooks."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from imagegate.cli.app import run
from imagegate.wire.standard_webhooks import read_secret, write_secret
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.conftest import Start
from tests.gateway.running import RunningGateway
from tests.gateway.test_attach import ask
from tests.sinks.receivers import Posted, PostServer
from tests.upstream.fake import FakeUpstream

SECRET = write_secret(b"webhooks-of-the-tests-only!!")
OLD_SECRET = write_secret(b"webhooks-of-some-time-before")
ON = f"secret: {SECRET}, allow_hosts: [127.0.0.1]"
TRIES = 20_000


@pytest.fixture
def receiver() -> Iterator[PostServer]:
    with PostServer() as server:
        yield server


@pytest.fixture
def hooked(start: Start) -> RunningGateway:
    return start(webhooks=ON)


def ask_later(gateway: RunningGateway, receiver: PostServer, **headers: str) -> str:
    """Return the id of a call that the receiver is told of."""
    given = {"prefer": "respond-async", "x_imagegate_webhook": f"{receiver.url}/hook?a=b"}
    answer = ask(gateway, **given | headers)
    assert answer.status == 202, answer.body
    return str(answer.json()["id"])


def secret_of(gateway: RunningGateway, **headers: str) -> str:
    return str(gateway.get("/v1/images/webhooks/secret", **headers).json()["secret"])


def read(posted: Posted, secret: str) -> dict[str, Any]:
    """Return the message; the library raises where its signature is not by this secret."""
    message: dict[str, Any] = Webhook(secret).verify(posted.body, posted.headers)
    return message


def hook_of(gateway: RunningGateway, call_id: str, **headers: str) -> dict[str, Any]:
    call = gateway.get(f"/v1/images/calls/{call_id}?result=false", **headers).json()
    [hook] = call["webhooks"]
    return dict(hook)


def hook_when(gateway: RunningGateway, call_id: str, state: str) -> dict[str, Any]:
    """Return a call's message when it is in this state."""
    for _ in range(TRIES):
        if (hook := hook_of(gateway, call_id))["state"] == state:
            return hook
    raise TimeoutError(f"no message is {state}")


def error_of(gateway: RunningGateway, call_id: str) -> str:
    """Return why a call's message was not taken, once it was not."""
    for _ in range(TRIES):
        if error := hook_of(gateway, call_id)["error"]:
            return str(error)
    raise TimeoutError("no try has failed")


def test_a_receiver_is_told_how_a_call_ended(
    hooked: RunningGateway, receiver: PostServer, upstream: FakeUpstream
) -> None:
    call_id = ask_later(hooked, receiver)
    [posted] = receiver.wait()
    message = read(posted, secret_of(hooked))
    assert (message["type"], message["data"]["id"]) == ("image.call.done", call_id)
    assert message["timestamp"].endswith("Z")
    assert posted.path == "/hook?a=b"
    assert posted.headers["content-type"] == "application/json"
    call = hooked.get(f"/v1/images/calls/{call_id}?result=false").json()
    assert message["data"]["cost"] == call["cost"]
    [image] = message["data"]["images"]
    assert "url" not in image, "nobody said how others reach this gateway"
    assert hooked.get(image["path"]).status == 200
    assert b"b64_json" not in posted.body
    assert len(posted.body) < 4096
    hook = hook_when(hooked, call_id, "delivered")
    assert (hook["id"], hook["tries"]) == (posted.headers["webhook-id"], 1)


def test_a_failure_is_told_as_one(
    hooked: RunningGateway, receiver: PostServer, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    ask_later(hooked, receiver)
    message = read(receiver.wait()[0], secret_of(hooked))
    assert message["type"] == "image.call.failed"
    assert message["data"]["error"]["code"] == "moderation_blocked"


def test_a_call_whose_caller_waits_is_told_of_too(
    hooked: RunningGateway, receiver: PostServer
) -> None:
    answer = ask(hooked, x_imagegate_webhook=receiver.url)
    assert answer.status == 200
    message = read(receiver.wait()[0], secret_of(hooked))
    assert message["data"]["id"] == answer.headers["x-imagegate-call-id"]


def test_urls_are_signed_where_the_gateway_knows_its_own(
    start: Start, receiver: PostServer
) -> None:
    gateway = start(webhooks=ON, server="public_url: https://gate.example/images")
    ask_later(gateway, receiver)
    [image] = read(receiver.wait()[0], secret_of(gateway))["data"]["images"]
    path = image["url"].removeprefix("https://gate.example/images")
    assert gateway.get(path).status == 200


def test_what_is_not_taken_is_sent_again(hooked: RunningGateway, receiver: PostServer) -> None:
    receiver.status = 503
    call_id = ask_later(hooked, receiver)
    assert error_of(hooked, call_id) == "it answered with status 503"
    receiver.status = 202
    first, again = receiver.wait(2)
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert read(first, secret_of(hooked)) == read(again, secret_of(hooked))
    assert hook_when(hooked, call_id, "delivered")["tries"] == 2


def test_who_is_gone_is_not_asked_again(
    hooked: RunningGateway, receiver: PostServer, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 410
    call_id = ask_later(hooked, receiver)
    hook = hook_when(hooked, call_id, "given_up")
    assert hook["error"] == "it answered with status 410"
    assert run(["calls", "show", call_id, "--gateway", hooked.url]) == 0
    assert "given_up, tries 1: it answered with" in " ".join(capsys.readouterr().out.split())


def test_no_redirect_is_followed(hooked: RunningGateway, receiver: PostServer) -> None:
    receiver.status = 307
    call_id = ask_later(hooked, receiver)
    assert error_of(hooked, call_id) == "it answered with status 307"


def test_a_key_has_one_message(
    hooked: RunningGateway, receiver: PostServer, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    ids = {ask_later(hooked, receiver, idempotency_key="one") for _ in range(3)}
    upstream.wait_held()
    upstream.release()
    [call_id] = ids
    hook_when(hooked, call_id, "delivered")
    ask_later(hooked, receiver, idempotency_key="one")
    assert hook_of(hooked, call_id)["tries"] == 1
    assert len(receiver.posted) == 1


def test_a_call_that_has_ended_is_told_of_to_who_asks_now(
    hooked: RunningGateway, receiver: PostServer
) -> None:
    ask(hooked, idempotency_key="one")
    call_id = ask_later(hooked, receiver, idempotency_key="one")
    assert read(receiver.wait()[0], secret_of(hooked))["data"]["id"] == call_id


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://10.0.0.7/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://user:pw@hooks.example/",
        "https://2130706433/",
        "ftp://hooks.example/",
        "hooks.example",
        "",
    ],
)
def test_a_url_that_is_never_called(
    url: str, hooked: RunningGateway, upstream: FakeUpstream
) -> None:
    answer = ask(hooked, x_imagegate_webhook=url)
    assert (answer.status, answer.error["param"]) == (400, "x-imagegate-webhook")
    assert "pw" not in answer.error["message"]
    assert not upstream.calls


def test_a_name_of_a_private_address_is_not_called(
    hooked: RunningGateway, receiver: PostServer
) -> None:
    """What a name leads to is known when it is called, and not before."""
    given = {"x_imagegate_webhook": f"https://localhost:{receiver.port}/"}
    call_id = ask_later(hooked, receiver, **given)
    assert error_of(hooked, call_id) == "its host has no public address"
    assert not receiver.posted


def test_no_secret_no_webhooks(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    answer = ask(gateway, x_imagegate_webhook="https://hooks.example/")
    assert (answer.status, answer.error["code"]) == (400, "webhooks_off")
    assert gateway.get("/v1/images/webhooks/secret").error["code"] == "webhooks_off"
    assert not upstream.calls


def test_the_operator_names_urls(start: Start, receiver: PostServer) -> None:
    gateway = start(webhooks=f'{ON}, url: "{receiver.url}/all"')
    assert ask(gateway).status == 200, "a caller who waits needs no message"
    call_id = ask(gateway, prefer="respond-async").json()["id"]
    [posted] = receiver.wait()
    assert posted.path == "/all"
    assert read(posted, secret_of(gateway))["data"]["id"] == call_id


def test_an_old_secret_signs_beside_the_new_one(start: Start, receiver: PostServer) -> None:
    before = start(webhooks=ON.replace(SECRET, OLD_SECRET))
    old = secret_of(before)
    before.stop()
    before.wait_stopped()
    gateway = start(webhooks=ON.replace(SECRET, f"[{SECRET}, {OLD_SECRET}]"))
    ask_later(gateway, receiver)
    [posted] = receiver.wait()
    assert secret_of(gateway) != old
    assert read(posted, old) == read(posted, secret_of(gateway))


def bearer(holder: Operator) -> dict[str, str]:
    return {"authorization": f"Bearer {holder.key}"}


def test_each_holder_has_a_secret_and_a_url(start: Start, receiver: PostServer) -> None:
    gateway = start(general=f"master_key: {MASTER_KEY}", webhooks=ON)
    operator = Operator(gateway)
    team = operator.post("/admin/teams", name="Red")["id"]
    red, redder = (operator.holder(team_id=team) for _ in range(2))
    blue = operator.holder()
    secrets = [secret_of(gateway, **bearer(each)) for each in (red, redder, blue)]
    assert secrets[0] == secrets[1] != secrets[2]
    call_id = ask_later(gateway, receiver, **bearer(red))
    [posted] = receiver.wait()
    assert read(posted, secrets[1])["data"]["id"] == call_id
    with pytest.raises(WebhookVerificationError):
        read(posted, secrets[2])
    hidden = gateway.get(f"/v1/images/calls/{call_id}", **bearer(blue))
    assert hidden.status == 404


def test_a_message_that_was_changed_is_not_ours(
    hooked: RunningGateway, receiver: PostServer
) -> None:
    ask_later(hooked, receiver)
    [posted] = receiver.wait()
    forged = json.dumps(json.loads(posted.body) | {"type": "image.call.failed"}).encode()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(hooked)).verify(forged, posted.headers)


def test_secrets_are_those_of_the_library() -> None:
    key = bytes(range(32))
    assert read_secret(write_secret(key)) == key
    for text in ("", "whsec_", "whsec_c2hvcnQ=", "c2VjcmV0" * 8, "whsec_" + "!" * 44):
        with pytest.raises(ValueError, match="openssl rand"):
            read_secret(text)


def test_the_secret_is_told_to_its_holder_only(start: Start) -> None:
    gateway = start(general=f"master_key: {MASTER_KEY}", webhooks=ON)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.request("GET", "/v1/images/webhooks/secret")
    assert connection.getresponse().status == 401
    connection.close()

"""What the gateway says in its own voice is as exact as what it says of others."""

from typing import Any

from tests.gateway.running import Answer, RunningGateway


def finding(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.error["imagegate"]["finding"]
    return found


def test_refusals_before_anything_is_sent_name_owner_and_next_step(
    gateway: RunningGateway,
) -> None:
    call = {"model": "img", "prompt": "a fox"}
    path = "/v1/images/generations"
    told = {
        "imagegate.own_limit": gateway.post(path, call, x_imagegate_max_cost="0.000001"),
        "imagegate.route": gateway.get("/v1/nothing"),
        "imagegate.field": gateway.post(path, call | {"size": "1000"}),
        "imagegate.no_such_model": gateway.post(path, call | {"model": "imgg"}),
        "imagegate.body": gateway.post(path, b"{"),
    }
    assert {rule: finding(answer)["rule"] for rule, answer in told.items()} == {
        rule: rule for rule in told
    }
    assert all(finding(answer)["owner"] == "caller" for answer in told.values())
    assert all(finding(answer)["do_not"] for answer in told.values())


def test_an_unknown_name_gets_near_matches_and_its_odd_characters(
    gateway: RunningGateway,
) -> None:
    message = gateway.generate(model="imgg").error["message"]
    assert "Did you mean 'img'?" in message
    assert "This gateway serves img, any" in message
    cyrillic = gateway.generate(model="\u0430ny").error["message"]
    assert "U+0430 CYRILLIC SMALL LETTER A" in cyrillic
    assert "Did you mean 'any'?" in cyrillic
    assert "U+200B ZERO WIDTH SPACE" in gateway.generate(model="img\u200b").error["message"]

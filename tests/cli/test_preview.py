"""`imagegate preview`: what would be sent and what it would cost."""

import json

import pytest

from imagegate.cli.app import run
from tests.upstream import FakeUpstream

SANDBOX = ("--model", "sandbox/dall-e-3", "--size", "512x512")


def test_it_shows_request_adjustments_and_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["preview", "a red circle", *SANDBOX, "--n", "2"]) == 0
    printed = capsys.readouterr().out
    for words in (
        "sandbox/dall-e-3",
        "POST sandbox://local/images/generations  (2 requests like this)",
        '"prompt": "a red circle"',
        "adjusted: size 512x512 is sent as 1024x1024",
        "price: 0 USD",
    ):
        assert words in printed


def test_json_is_one_array_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["preview", "a fox", *SANDBOX, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["request"]["body"]["size"] == "1024x1024"
    assert one["price"]["highest_usd"] == "0"


def test_a_call_that_nobody_takes_is_a_wrong_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["preview", "a fox", *SANDBOX, "--background", "transparent"]) == 2
    assert "cannot: Transparent background is not supported" in capsys.readouterr().out


def test_a_configuration_shows_its_own_deployments_and_sends_nothing(
    config: str, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["preview", "a fox", "--config", config, "--model", "img"]) == 0
    printed = capsys.readouterr().out
    assert upstream.url in printed
    assert "sk-" not in printed
    assert upstream.bill == []

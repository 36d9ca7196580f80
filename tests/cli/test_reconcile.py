"""`calls reconcile` against a running gateway: proposals, settlements, exports that are none."""

import json
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

MASTER_KEY = "sk-test-master-0123456789"
ASK = {"model": "img", "prompt": "a fox", "size": "1024x1024"}


@pytest.fixture
def gateway(config: str, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch):
    """A gateway with two unknown charges: the first of them has an upstream's request id."""
    monkeypatch.setenv("IMAGEGATE_MASTER_KEY", MASTER_KEY)
    upstream.reply("half_body")
    upstream.reply("drop")
    with RunningGateway(load_settings(config)) as running:
        for prompt in ("a fox", "a bear"):
            answer = running.request(
                "POST",
                "/v1/images/generations",
                json.dumps(ASK | {"prompt": prompt}).encode(),
                {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"},
            )
            assert answer.status == 502
        yield running


def reconcile(gateway: RunningGateway, *arguments: str) -> int:
    return run(["calls", "reconcile", *arguments, "--gateway", gateway.url])


def listed(gateway: RunningGateway, capsys: pytest.CaptureFixture[str], *arguments: str):
    capsys.readouterr()
    assert reconcile(gateway, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def write(folder: Path, *lines: str) -> str:
    path = folder / "export.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(path)


@pytest.mark.parametrize(
    "head",
    [
        "amount_value,amount_currency,request_id",
        "CostInUSD,BillingCurrency,apim-request-id",
        "Cost;Currency;Correlation ID",
    ],
)
def test_an_export_settles_what_it_names(head: str, gateway, tmp_path: Path, capsys) -> None:
    first, second = listed(gateway, capsys)
    row = f"0.02,USD,{first['upstream_request_id']}".replace(",", ";" if ";" in head else ",")
    export = write(tmp_path, head, row, row, row.replace("req_", "other_"), row[:9].rstrip("r"))
    (proposed,) = listed(gateway, capsys, export)
    assert (proposed["id"], proposed["billed_usd"]) == (first["id"], "0.04")
    assert len(listed(gateway, capsys)) == 2, "nothing was written"
    assert reconcile(gateway, export, "--apply") == 0
    assert "1 of 2 unknown charges stand in the export and are settled" in capsys.readouterr().err
    assert [one["id"] for one in listed(gateway, capsys)] == [second["id"]]
    assert listed(gateway, capsys, export, "--apply") == []


def test_charges_are_settled_by_hand(gateway, capsys) -> None:
    first, second = listed(gateway, capsys)
    assert listed(gateway, capsys, "--charge", first["id"], "0.0412")[0]["billed_usd"] == "0.0412"
    assert listed(gateway, capsys, "--release", second["id"])[0]["billed_usd"] == "0"
    assert listed(gateway, capsys) == []
    assert reconcile(gateway, "--charge", first["id"], "0.05") == 2
    assert "settled already, at 0.0412 USD" in capsys.readouterr().err


def test_the_table_is_for_people(gateway, capsys) -> None:
    (first, _) = listed(gateway, capsys)
    assert reconcile(gateway) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.split()[:2] == ["CHARGE", "MADE"]
    assert first["id"] in out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["day,amount", "2026-11-20,1"], "no column for the request; its columns are: day, amount"),
        (["request_id,tokens", "r,1"], "no column for the amount"),
        (["request_id,amount", "r,much"], "Line 2: amount is 'much'"),
        (["request_id,amount", "r,NaN"], "Line 2: amount is 'NaN'"),
        (["request_id,amount", "r,1e999999999"], "Line 2: amount is '1e999999999'"),
        (["request_id,amount,currency", "r,1,EUR"], "Line 2: the amount is in 'EUR'"),
        ([""], "its columns are: none"),
    ],
)
def test_a_bad_export_is_told(lines, told: str, gateway, tmp_path: Path, capsys) -> None:
    assert reconcile(gateway, write(tmp_path, *lines), "--apply") == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert len(listed(gateway, capsys)) == 2


@pytest.mark.parametrize("amounts", [["0.00"], ["1", "-1"], ["-1"]])
def test_what_may_be_rounded_or_a_credit_waits_for_somebody(
    amounts: list[str], gateway, tmp_path: Path, capsys
) -> None:
    first, _ = listed(gateway, capsys)
    rows = [f"{first['upstream_request_id']},{amount}" for amount in amounts]
    export = write(tmp_path, "request_id,amount", *rows)
    assert listed(gateway, capsys, export, "--apply") == []
    assert len(listed(gateway, capsys)) == 2


def test_columns_are_named_by_options(gateway, tmp_path: Path, capsys) -> None:
    first, _ = listed(gateway, capsys)
    export = write(tmp_path, "mine,paid", f"{first['upstream_request_id']},0.1")
    named = ("--id-column", "mine", "--amount-column", "paid")
    assert listed(gateway, capsys, export, *named)[0]["billed_usd"] == "0.1"
    assert reconcile(gateway, export, "--id-column", "none") == 2


@pytest.mark.parametrize(
    "arguments",
    [["--apply"], ["a.csv", "--release", "att_1"], ["none.csv"], ["--charge", "att_1", "much"]],
)
def test_wrong_usage_is_told(arguments: list[str], gateway) -> None:
    assert reconcile(gateway, *arguments) == 2

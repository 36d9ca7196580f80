"""A broken configuration, as its operator sees it: all faults, their owners, the next steps."""

import asyncio
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegate.cli.app import run
from imagegate.config.load import inspect_settings, load_settings
from imagegate.diagnosis.checkup import Checkup
from imagegate.diagnosis.doctor import open_doctor
from imagegate.diagnosis.way import judge_clock
from tests.doctor.surface import MISSING_PROMPT, Surface, error, models
from tests.upstream.fake import FakeUpstream

OPENAI = {"openai-version": "2020-10-01", "x-request-id": "req_1", "openai-processing-ms": "5"}
KEY = "sk-test-0123456789abcdefghijklmn"
GENERATIONS = "POST /good/v1/images/generations"
ANSWERS: dict[str, Any] = {
    "GET /keyed/v1/models": (
        401,
        OPENAI,
        error(f"Incorrect API key provided: {KEY}", "invalid_api_key"),
    ),
    "GET /openai/models": (200, {"apim-request-id": "a1"}, models("gpt-image-2")),
    "GET /openai/deployments": (200, {}, models("img-2", "chat")),
    "POST /openai/deployments/img2/images/generations": (
        404,
        {"apim-request-id": "a2"},
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}},
    ),
    "GET /good/v1/models": (200, OPENAI, models("gpt-image-2", "gpt-image-2.5-flare")),
    GENERATIONS: MISSING_PROMPT,
}
BROKEN = """
model_list:
  - {{model_name: unset, {mode} params: {{model: gpt-image-2, api_key: os.environ/NOT_SET}}}}
  - {{model_name: typo, {mode} params: {{model: opena/gpt-image-2, api_key: {key}}}}}
  - {{model_name: nowhere, {mode} params: {{model: azure/img, api_key: {key}}}}}
  - {{model_name: retired, {mode} params: {{model: dall-e-3, api_key: {key}}}}}
  - model_name: keyed
    params: {{model: openai/gpt-image-2, api_base: "{url}/keyed/v1", api_key: {key}}}
  - model_name: named
    params: {{model: azure/img2, api_base: "{url}", api_key: {key}}}
  - model_name: closed
    params: {{model: openai/gpt-image-2, api_base: "http://127.0.0.1:{port}/v1", api_key: {key}}}
  - model_name: path
    params: {{model: openai/gpt-image-2, api_base: "{url}/wrong", api_key: {key}}}
  - model_name: good
    params: {{model: openai/gpt-image-2, api_base: "{url}/good/v1", api_key: {key}}}
router_settings: {{model_group_alias: {{short: gone}}}}
"""


@pytest.fixture
def surface() -> Iterator[Surface]:
    with Surface(ANSWERS) as running:
        yield running


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys, and the only way out of this host is a proxy that is not there."""
    for name in ("OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_API_BASE", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def broken(surface: Surface, closed_port: int, tmp_path: Path) -> str:
    mode = "model_info: {mode: image_generation},"
    text = BROKEN.format(url=surface.url, port=closed_port, key=KEY, mode=mode)
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    return str(file)


def config(tmp_path: Path, *params: str, more: str = "") -> str:
    """Write a file with one deployment for each of `params`; they are called d0, d1, ..."""
    entries = [
        f"  - {{model_name: d{at}, model_info: {{id: d{at}, mode: image_generation}}, "
        f"params: {{api_key: {KEY}, {one}}}}}"
        for at, one in enumerate(params)
    ]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(["model_list:", *entries, more, ""]))
    return str(file)


def examine(path: str, **options: float) -> tuple[Checkup, ...]:
    async def ask() -> tuple[Checkup, ...]:
        settings = inspect_settings(path).settings
        assert settings
        async with open_doctor(f"{path}.spool", settings.proxies, **options) as doctor:
            return await doctor.examine(settings.deployments)

    return asyncio.run(ask())


# What must be said of each of the ten, and its remedy.
TEN = (
    ("model_list[0].params.api_key: the variable NOT_SET", "set it"),
    ("provider 'opena' is not known", "did you mean 'openai'?"),
    ("model_list[2].params.api_base: missing", "give the resource's URL"),
    ("there is no model group 'gone'", "there are closed, good"),
    ("openai/dall-e-3 was shut down on 2026-05-12", "Set model: openai/gpt-image-2.5-flare"),
    ("the proxy cannot be reached", "Correct HTTPS_PROXY"),
    ("does not take the key that was sent", "Print the base URL in effect"),
    ("has no deployment of this name", "Did you mean img-2?"),
    ("nothing listens there", "curl -sv http://127.0.0.1:"),
    ("no such route", "curl "),
)


def test_ten_faults_are_all_named_with_their_remedies(
    broken: str, surface: Surface, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--config", broken]) == 10
    printed = capsys.readouterr().out
    told = " ".join(printed.split())
    assert printed.startswith("10 faults. 5 of 6 deployments cannot work. Nothing was bought.")
    for fault, remedy in TEN:
        assert fault in told
        assert remedy in told.partition(fault)[2]
    assert "ok good-" in told
    assert max(map(len, printed.splitlines())) <= 80
    assert all(b"prompt" not in asked.body for asked in surface.asked)
    assert KEY not in printed


def test_json_is_one_object_with_every_step(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--config", broken, "--json"]) == 10
    told = json.loads(capsys.readouterr().out)
    assert len(told["configuration"]) == 4
    faults = [
        (one["group"], step["probe"], step["owner"], step["exit_code"])
        for one in told["deployments"]
        for step in one["steps"]
        if step["state"] == "fault"
    ]
    assert faults == [
        ("retired", "P0", "caller", 12),
        ("retired", "P1", "network", 15),
        ("keyed", "P2", "caller", 11),
        ("named", "P5", "caller", 10),
        ("closed", "P1", "network", 15),
        ("path", "P5", "caller", 10),
    ]


def test_one_deployment_can_be_looked_at(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--config", broken, "--deployment", "good", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["group"] for one in told["deployments"]] == ["good"]
    assert run(["doctor", "--config", broken, "--deployment", "none"]) == 2


# --- single faults ----------------------------------------------------------------------------


def test_a_silent_provider_does_not_hold_the_doctor(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, answers nothing
        port = silent.getsockname()[1]
        path = config(tmp_path, f"model: openai/x, api_base: 'http://127.0.0.1:{port}/v1'")
        (found,) = examine(path, probe_s_max=0.2)
    (fault,) = found.faults
    assert fault.probe == "P2"
    assert "no answer to a free question within 0.2 s" in fault.text


def test_a_name_with_look_alike_letters(tmp_path: Path, surface: Surface) -> None:
    path = config(tmp_path, f'model: "openai/gpt\\u2011image-2", api_base: "{surface.url}/good/v1"')
    (found,) = examine(path)
    assert "U+2011 NON-BREAKING HYPHEN" in found.faults[0].text


@pytest.mark.parametrize(("offset_s", "is_fault"), [(0, False), (-200, False), (900, True)])
def test_a_clock_that_is_off(offset_s: float, is_fault: bool) -> None:
    step = judge_clock(offset_s)
    assert (step is not None) == is_fault
    if step:
        assert "900 s behind" in step.text
        assert "NTP" in step.next


def test_the_providers_clock_is_read_from_its_answer(tmp_path: Path) -> None:
    old = {"date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    answers = {"GET /v1/models": (200, old, models("m")), GENERATIONS: MISSING_PROMPT}
    with Surface(answers) as surface:
        (found,) = examine(config(tmp_path, f"model: openai/m, api_base: '{surface.url}/v1'"))
    assert "clock" in [step.title for step in found.faults]


def test_a_server_that_takes_no_prompt_is_not_called_healthy(tmp_path: Path) -> None:
    answers = {
        "GET /v1/models": (200, {}, models("m")),
        "POST /v1/images/generations": (200, {}, {"created": 1, "data": []}),
    }
    with Surface(answers) as surface:
        (found,) = examine(config(tmp_path, f"model: openai/m, api_base: '{surface.url}/v1'"))
        (asked,) = [one for one in surface.asked if one.method == "POST"]
    assert json.loads(asked.body) == {"model": "m", "n": 0}
    assert [step.probe for step in found.warnings] == ["P5"]


def test_an_incident_is_told_from_the_status_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    incident = {"name": "Images fail", "started_at": "2026-11-20T09:00:00Z", "resolved_at": None}
    page = {"incidents": [incident, {"name": "Old", "resolved_at": "2020-01-01T00:00:00Z"}]}
    answers = {**ANSWERS, "GET /status.json": (200, {}, page)}
    with Surface(answers) as surface:
        more = f"status_pages: {{openai_compatible: '{surface.url}/status.json'}}"
        one = f"model: openai/gpt-image-2, api_base: '{surface.url}/good/v1'"
        assert run(["doctor", "--config", config(tmp_path, one, more=more)]) == 0
        (asked,) = [one for one in surface.asked if one.path == "/status.json"]
    assert "authorization" not in asked.headers
    told = " ".join(capsys.readouterr().out.split())
    assert "Images fail (since 2026-11-20T09:00:00Z, not over yet)" in told
    assert "Old" not in told


@pytest.mark.parametrize(("page", "state"), [("<html>", "unclear"), ({"incidents": []}, "ok")])
def test_a_status_page_without_an_incident_is_told_too(
    page: Any, state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Surface({**ANSWERS, "GET /status.json": (200, {}, page)}) as surface:
        more = f"status_pages: {{openai_compatible: '{surface.url}/status.json'}}"
        one = f"model: openai/gpt-image-2, api_base: '{surface.url}/good/v1'"
        run(["doctor", "--json", "--config", config(tmp_path, one, more=more)])
    (found,) = json.loads(capsys.readouterr().out)["deployments"]
    states = {step["title"]: step["state"] for step in found["steps"]}
    assert states["status page"] == state


# --- what costs -------------------------------------------------------------------------------


def test_nothing_is_bought_without_paid_and_a_yes(
    tmp_path: Path, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    one = f"model: openai/gpt-image-2, api_base: '{upstream.v1}', base_model: openai/gpt-image-2"
    path = config(tmp_path, one)
    assert run(["doctor", "--config", path]) == 0
    assert run(["doctor", "--config", path, "--paid"]) == 0
    assert upstream.images_billed == 0
    asked = capsys.readouterr().err
    assert "d0: the smallest image, about 0.0" in asked
    assert "Nothing was bought" in asked
    assert run(["doctor", "--config", path, "--paid", "--yes"]) == 0
    assert upstream.images_billed == 1
    assert (tmp_path / "doctor-d0.png").read_bytes().startswith(b"\x89PNG")
    assert "P7 smallest image" in capsys.readouterr().out


# --- two places, and the evidence -------------------------------------------------------------


def test_two_places_are_compared(
    broken: str, capsys: pytest.CaptureFixture[str], surface: Surface
) -> None:
    assert run(["doctor", "--config", broken, "--compare", "good", "keyed"]) == 11
    printed = capsys.readouterr().out
    told = " ".join(printed.split())
    assert "takes the same request" in told
    assert f"the fault is at {surface.url}/keyed/v1" in told
    assert "owner caller" in told
    assert max(map(len, printed.splitlines())) <= 80
    assert run(["doctor", "--config", broken, "--compare", "good", "good"]) == 0


def test_the_bundle_shows_the_fault_again_and_holds_no_secret(
    broken: str, surface: Surface, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    run(["doctor", "--config", broken, "--deployment", "keyed", "--bundle", str(folder)])
    texts = {file.name: file.read_text() for file in folder.iterdir()}
    assert "name, connection, TLS: **ok** (dns " in texts["evidence.md"]
    assert sorted(texts) == ["evidence.json", "evidence.md", "repro.sh"]
    assert not [name for name, text in texts.items() if KEY in text]
    (deployment,) = json.loads(texts["evidence.json"])["deployments"]
    assert deployment["credential"].startswith("...klmn sha256:")
    (fault,) = [step for step in deployment["steps"] if step["state"] == "fault"]
    assert fault["request_id"] == "req_1"
    assert "Incorrect API key provided" in fault["seen"]["text"]
    assert fault["seen"]["at"].endswith("+00:00")
    script = folder / "repro.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    env = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": KEY}
    shown = subprocess.run([str(script)], env=env, capture_output=True, text=True, check=True)
    assert "401" in shown.stdout
    assert surface.asked[-1].headers["authorization"] == f"Bearer {KEY}"


def test_two_places_make_the_same_smallest_image(tmp_path: Path, upstream: FakeUpstream) -> None:
    place = f"api_base: '{upstream.v1}'"
    known, proxy = f"model: openai/gpt-image-2, {place}, base_model: gpt-image-2", "model: openai/x"
    path = config(tmp_path, f"{proxy}, {place}", known)
    assert run(["doctor", "--config", path, "--compare", "d0", "d1", "--paid", "--yes"]) == 0
    first, second = (json.loads(call.body) for call in upstream.calls[-2:])
    assert first | {"model": ""} == second | {"model": ""}
    assert first["quality"] == "low"


@pytest.mark.parametrize(
    ("params", "variable", "header"),
    [
        ("model: azure/m", "AZURE_API_KEY", "api-key"),
        ("model: gemini/m", "GEMINI_API_KEY", "x-goog-api-key"),
        ("model: black_forest_labs/m", "BFL_API_KEY", "x-key"),
        ("model: openrouter/a/m", "OPENROUTER_API_KEY", "authorization"),
    ],
)
def test_the_script_signs_in_as_the_provider_wants_it(
    params: str, variable: str, header: str, tmp_path: Path
) -> None:
    refused = (403, {}, {"error": {"message": "no", "code": "no"}, "detail": "no"})
    with Surface({"GET *": refused, "POST *": refused}) as surface:
        path = config(tmp_path, f"{params}, api_base: '{surface.url}/it'")
        run(["doctor", "--config", path, "--bundle", str(tmp_path / "bundle")])
        asked = surface.asked[-1]
        env = {"PATH": os.environ["PATH"], variable: KEY}
        script = [str(tmp_path / "bundle" / "repro.sh")]
        shown = subprocess.run(script, env=env, capture_output=True, text=True, check=True)
        again = surface.asked[-1]
    assert "HTTP/1.1 403" in shown.stdout
    assert KEY in again.headers[header]
    assert (again.method, again.path, again.body) == (asked.method, asked.path, asked.body)
    without = subprocess.run(
        script, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert without.returncode != 0
    assert "_API_KEY to the key" in without.stderr


def test_a_file_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    assert run(["doctor", "--config", str(tmp_path / "none.yaml")]) == 3
    (tmp_path / "bad.yaml").write_text("model_list: [")
    assert run(["doctor", "--config", str(tmp_path / "bad.yaml")]) == 10


def test_without_a_file_the_environments_keys_are_looked_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, surface: Surface
) -> None:
    assert run(["doctor"]) == 0
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{surface.url}/keyed/v1")
    assert run(["doctor"]) == 11
    assert "does not take the key" in " ".join(capsys.readouterr().out.split())


def test_what_is_wrong_is_not_served(broken: str) -> None:
    found = inspect_settings(broken)
    assert found.settings
    groups = [one.group for one in found.settings.deployments]
    assert groups == ["retired", "keyed", "named", "closed", "path", "good"]
    with pytest.raises(Exception, match="has 4 faults"):
        load_settings(broken)

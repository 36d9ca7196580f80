"""`POST /v1/responses`: relayed as it came, checked before it costs, billed by what it tells."""

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from imagegate.config.load import load_settings
from tests.doctor.surface import Surface, error
from tests.gateway import pictures
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.running import Answer, RunningGateway

KEY = "sk-test-0123456789abcdefghijklmn"
CONFIG = """
model_list:
  - model_name: text
    model_info: {{mode: responses}}
    params: {{model: openai/gpt-5.6, api_base: "{url}/v1", api_key: {key}}}
  - model_name: priced
    model_info: {{mode: responses, input_cost_per_token: 0.000001, output_cost_per_token: 2e-6}}
    params: {{model: openai/gpt-5.6, api_base: "{url}/v1", api_key: {key}}}
  - model_name: bounded
    model_info: {{mode: responses, input_cost_per_token: 0.000001, output_cost_per_token: 2e-6,
      max_input_tokens: 2000, max_output_tokens: 1000}}
    params: {{model: openai/gpt-5.6, api_base: "{url}/v1", api_key: {key}}}
  - model_name: img
    params: {{model: openai/gpt-image-2, api_base: "{url}/v1", api_key: {key},
      base_model: openai/gpt-image-2}}
  - model_name: azure-text
    model_info: {{mode: responses}}
    params: {{model: azure/chat-1, api_base: "{url}", api_key: {key}}}
  - model_name: azure-img
    model_info: {{mode: image_generation}}
    params: {{model: azure/img-2, api_base: "{url}", api_key: {key}, base_model: gpt-image-2}}
  - model_name: elsewhere
    params: {{model: openai/gpt-image-2, api_base: "http://127.0.0.1:1/v1", api_key: {key}}}
router_settings: {{model_group_alias: {{draw: img}}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
{more}
"""
PICTURE = pictures.picture()
PNG64 = base64.b64encode(PICTURE).decode()
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    "output_tokens": 100,
    "total_tokens": 110,
}
ITEM = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": PNG64}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "output": [ITEM, {"type": "message", "content": [{"type": "output_text", "text": "here"}]}],
    "usage": {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050},
    "tool_usage": {"image_gen": USAGE},
}
TOOLS = [{"type": "image_generation", "model": "img", "size": "1024x1024"}]
Start = Callable[..., tuple[RunningGateway, Surface]]


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a gateway before a surface that says one thing to each response."""
    opened: list[Any] = []

    def start_one(said: Any, more: str = "") -> tuple[RunningGateway, Surface]:
        answers = {"POST /v1/responses": said, "POST /openai/v1/responses": said}
        surface = Surface(answers).__enter__()
        opened.append(surface)
        file = tmp_path / "config.yaml"
        file.write_text(
            CONFIG.format(url=surface.url, key=KEY, folder=tmp_path / "data", more=more)
        )
        gateway = RunningGateway(load_settings(str(file))).__enter__()
        opened.append(gateway)
        return gateway, surface

    yield start_one
    for one in reversed(opened):
        one.__exit__(None, None, None)


def respond(gateway: RunningGateway, path: str = "/v1/responses", **fields: Any) -> Answer:
    return gateway.post(path, {"model": "text", "input": "draw", "tools": TOOLS} | fields)


def sent(surface: Surface) -> tuple[Mapping[str, str], dict[str, Any]]:
    asked = surface.asked[-1]
    return asked.headers, json.loads(asked.body)


def test_the_answer_comes_as_it_came(start: Start) -> None:
    gateway, surface = start((200, {"x-request-id": "req_9"}, RESPONSE))
    answer = respond(gateway, metadata={"a": [1, None, 0.5]}, instructions="ü")
    assert answer.status == 200
    assert answer.json() == RESPONSE
    assert answer.headers["x-imagegate-upstream-request-id"] == "req_9"
    headers, body = sent(surface)
    assert body == {
        "model": "gpt-5.6",
        "input": "draw",
        "tools": [{"type": "image_generation", "size": "1024x1024", "model": "gpt-image-2"}],
        "metadata": {"a": [1, None, 0.5]},
        "instructions": "ü",
    }
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("path", ["/responses", "/openai/v1/responses", "/v1/responses/"])
def test_it_has_the_paths_of_the_other_routes(path: str, start: Start) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    assert respond(gateway, path).status == 200


def test_a_response_is_told_once(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    respond(gateway)
    for path in ("/v1/responses/resp_1", "/responses/resp_1", "/openai/v1/responses/resp_1"):
        answer = gateway.get(path)
        assert (answer.status, answer.error["code"]) == (404, "response_not_kept")
        assert "x-imagegate-call-id" in answer.error["message"]
        assert answer.error["imagegate"]["finding"]["rule"] == "imagegate.response_not_kept"
    assert len(surface.asked) == 1


def test_input_images_are_streamed_through(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    url = f"data:image/png;base64,{PNG64}"
    message = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    assert respond(gateway, input=[message]).status == 200
    assert sent(surface)[1]["input"] == [message]


def test_azure_gets_its_header_and_no_model_in_the_tool(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    tools = [{"type": "image_generation", "model": "azure-img"}]
    assert respond(gateway, model="azure-text", tools=tools).status == 200
    headers, body = sent(surface)
    assert surface.asked[-1].path == "/openai/v1/responses"
    assert headers["x-ms-oai-image-generation-deployment"] == "img-2"
    assert headers["api-key"] == KEY
    assert body["model"] == "chat-1"
    assert body["tools"] == [{"type": "image_generation"}]


def test_without_an_image_tool_nothing_is_added(start: Start) -> None:
    words = {"id": "r", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
    gateway, surface = start((200, {}, words))
    answer = respond(gateway, model="azure-text", tools=[{"type": "function", "name": "f"}])
    assert answer.json() == words
    assert "x-imagegate-warnings" not in answer.headers
    headers, body = sent(surface)
    assert "x-ms-oai-image-generation-deployment" not in headers
    assert body["tools"] == [{"type": "function", "name": "f"}]


# --- what it costs ----------------------------------------------------------------------------


def test_text_without_prices_is_unknown_and_with_them_exact(start: Start) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    assert respond(gateway).headers["x-imagegate-cost"] == "unknown"
    # gpt-image-2: 10 text tokens in at 5 USD, 100 image tokens out at 30 USD a million.
    drawn = 10 * 5e-6 + 100 * 30e-6
    written = 1000 * 1e-6 + 50 * 2e-6
    cost = respond(gateway, model="priced").headers["x-imagegate-cost"]
    assert float(cost) == pytest.approx(drawn + written)


@pytest.mark.parametrize(
    "tool_usage",
    [
        # What was not counted is told as zero: the image cost something all the same.
        {"image_gen": USAGE | {"input_tokens": 0, "output_tokens": 0}},
        {"image_gen": USAGE, "web_search": {"num_requests": 1}},
        {},
    ],
)
def test_a_part_without_count_or_price_leaves_the_cost_unknown(
    tool_usage: dict[str, Any], start: Start
) -> None:
    gateway, _ = start((200, {}, RESPONSE | {"tool_usage": tool_usage}))
    assert respond(gateway, model="priced").headers["x-imagegate-cost"] == "unknown"


# One image at most (gpt-image-2 high at 1024x1024), and the text model's tokens.
PRICED = {"model": "priced", "tools": [{**TOOLS[0], "quality": "low"}]}


def reserved(holder: Operator, answer: Answer) -> str:
    call = holder.get(f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}")
    return str(call["attempts"][0]["estimate"])


@pytest.mark.parametrize(
    ("fields", "is_known"),
    [
        ({"max_output_tokens": 1000}, True),
        ({"max_output_tokens": 1000, "max_tool_calls": 3}, True),
        ({}, False),
        ({"max_output_tokens": 1000, "previous_response_id": "resp_0"}, False),
        ({"max_output_tokens": 1000, "tools": [*TOOLS, {"type": "web_search"}]}, False),
        ({"max_output_tokens": 1000, "input": [{"content": [{"type": "input_file"}]}]}, False),
    ],
)
def test_what_a_response_may_cost_is_set_aside(
    fields: dict[str, Any], is_known: bool, start: Start
) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    estimate = reserved(Operator(gateway), respond(gateway, **PRICED | fields))
    assert (estimate != "unknown") == is_known
    if is_known:  # 1000 tokens at 2 USD a million are in it
        assert 0.002 < float(estimate) < 0.2


def test_more_tool_calls_cost_more(start: Start) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    one, three = (
        float(reserved(Operator(gateway), respond(gateway, **PRICED, **fields)))
        for fields in (
            {"max_output_tokens": 10, "max_tool_calls": 1},
            {"max_output_tokens": 10, "max_tool_calls": 3},
        )
    )
    assert three > 2.5 * one


def test_the_deployment_says_what_a_model_reads_and_writes_at_most(start: Start) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    answer = respond(gateway, **PRICED | {"model": "bounded", "previous_response_id": "resp_0"})
    # Two turns of 2000 tokens at 1 USD a million, 1000 at 2; the image comes on top.
    assert float(reserved(Operator(gateway), answer)) > 0.006


def test_a_budget_is_asked_before_a_response_is_sent(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE), f"general_settings: {{master_key: {MASTER_KEY}}}")
    operator = Operator(gateway)
    call = {"input": "a", "max_output_tokens": 1000, **PRICED}
    for limit_usd, status in (("0.001", 429), ("5", 200)):
        key = operator.post("/admin/keys", name="a key")
        operator.post("/admin/budgets", kind="key", of=key["id"], limit_usd=limit_usd)
        answer = Operator(gateway, key["key"]).ask("POST", "/v1/responses", call)
        assert answer.status == status, answer.body
        if status == 429:
            assert answer.error["code"] == "insufficient_quota"
            assert surface.asked == []


def test_a_request_bounds_its_own_cost(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    call = {"input": "a", "max_output_tokens": 1000, **PRICED}
    answer = gateway.post("/v1/responses", call, x_imagegate_max_cost="0.001")
    assert (answer.status, answer.error["code"]) == (429, "max_cost_exceeded")
    assert surface.asked == []


def test_the_image_is_kept(start: Start, tmp_path: Path) -> None:
    gateway, _ = start((200, {}, RESPONSE))
    answer = respond(gateway)
    kept = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert any(PNG64.encode() in file.read_bytes() or PICTURE in file.read_bytes() for file in kept)
    assert answer.headers["x-imagegate-images"] == "1/1"


# --- shape checks, before money is spent ------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": "img"}, "model", "'img' is an image model"),
        ({"model": "gpt-image-2.5-flare"}, "model", "is an image model"),
        ({"tools": [{"type": "image_generation"}]}, "tools[0].model", "it is missing"),
        (
            {"tools": [{"type": "f"}, {"type": "image_generation", "model": "no-such"}]},
            "tools[1].model",
            "'no-such' is no image model",
        ),
        (
            {"tools": [], "tool_choice": {"type": "image_generation"}},
            "tool_choice",
            "`tools` has no such tool",
        ),
        (
            {"tools": [], "tool_choice": {"type": "allowed_tools", "tools": TOOLS}},
            "tool_choice",
            "`tools` has no such tool",
        ),
        ({"model": ""}, "model", "it is missing"),
        ({"background": True}, "background", "could neither keep nor bill it"),
        ({"tools": [{"type": "image_generation", "model": "elsewhere"}]}, None, "no image model"),
    ],
)
def test_a_wrong_shape_is_refused_with_the_right_one(
    fields: dict[str, Any], param: str | None, words: str, start: Start
) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    answer = respond(gateway, **fields)
    assert answer.status == 400
    assert param in (answer.error["param"], None)
    assert words in answer.error["message"]
    shape = '"tools": [{"type": "image_generation", "model":'
    assert (shape in answer.error["message"]) == (param != "background")
    assert answer.error["imagegate"]["finding"]["owner"] == "caller"
    assert surface.asked == []


def test_an_alias_names_its_group(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    tools = [{"type": "image_generation", "model": "draw"}]
    assert respond(gateway, tools=tools).status == 200
    assert sent(surface)[1]["tools"][0]["model"] == "gpt-image-2"


def test_an_image_deployment_draws_no_response_and_a_text_model_no_image(start: Start) -> None:
    gateway, surface = start((200, {}, RESPONSE))
    azure = respond(gateway, tools=[{"type": "image_generation", "model": "azure-img"}])
    assert (azure.status, azure.error["param"]) == (400, "tools")
    assert gateway.generate(model="text").error["code"] == "operation_not_supported"
    assert surface.asked == []


@pytest.mark.parametrize(
    ("limit", "param"),
    [({"models": ["text"]}, "model"), ({"quality_max": "low"}, "quality"), ({}, None)],
)
def test_what_a_key_may_holds_for_the_image_tool(
    limit: dict[str, Any], param: str | None, start: Start
) -> None:
    gateway, surface = start((200, {}, RESPONSE), f"general_settings: {{master_key: {MASTER_KEY}}}")
    operator = Operator(gateway)
    holder = operator.holder(permissions=limit)
    call = {"model": "text", "input": "a", "tools": [{**TOOLS[0], "quality": "high"}]}
    answer = holder.ask("POST", "/v1/responses", call)
    assert answer.status == (403 if param else 200)
    assert not param or answer.error["param"] == param
    assert len(surface.asked) == (not param)
    without = holder.ask("POST", "/v1/responses", {"model": "text", "input": "a"})
    assert without.status == 200


# --- streams ----------------------------------------------------------------------------------

STREAM = (
    event("response.created", response={"id": "resp_1"}),
    event("response.output_text.delta", delta="he"),
    event("response.output_text.delta", delta="re"),
    event("response.output_item.done", item=ITEM),
    event("response.completed", response=RESPONSE | {"output": []}),
)


def test_a_stream_is_passed_on_byte_by_byte(start: Start) -> None:
    head = {"content-type": "text/event-stream"}
    gateway, surface = start((200, head, lambda: [*STREAM, b"data: [DONE]\n\n"]))
    answer = respond(gateway, stream=True)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == b"".join(STREAM) + b"data: [DONE]\n\n"
    assert sent(surface)[1]["stream"] is True


def test_an_event_is_there_before_the_next_one_is_made(start: Start) -> None:
    go_on = threading.Event()

    def said() -> Iterator[bytes]:
        yield STREAM[0]
        assert go_on.wait(10)
        yield from STREAM[1:]

    gateway, _ = start((200, {"content-type": "text/event-stream"}, said))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    body = json.dumps({"model": "text", "input": "a", "stream": True})
    connection.request("POST", "/v1/responses", body, {"content-type": "application/json"})
    response = connection.getresponse()
    assert response.read(len(STREAM[0])) == STREAM[0]
    go_on.set()
    assert response.read() == b"".join(STREAM[1:])
    connection.close()


def test_a_stream_that_breaks_off_ends_with_an_error_event(start: Start) -> None:
    gateway, _ = start((200, {"content-type": "text/event-stream"}, lambda: STREAM[:2]))
    name, data = respond(gateway, stream=True).events[-1]
    assert name == "error"
    assert "ended before the response did" in data["error"]["message"]
    assert data["error"]["imagegate"]["fault"] == "ambiguous"


def test_a_refusal_before_the_stream_has_its_status(start: Start) -> None:
    gateway, _ = start((401, {}, error("Incorrect API key provided", "invalid_api_key")))
    answer = respond(gateway, stream=True)
    assert (answer.status, answer.error["code"]) == (502, "upstream_credential")


# --- the mission's second report --------------------------------------------------------------


def test_the_incident_of_codex_is_told_as_the_providers(start: Start) -> None:
    said = {
        "message": "The model 'gpt-image-2' does not exist.",
        "type": "image_generation_user_error",
        "param": "tools",
        "code": "invalid_value",
    }
    head = {"x-request-id": "req_7", "openai-processing-ms": "9", "openai-version": "2020-10-01"}
    gateway, _ = start((400, head, {"error": said}))
    answer = respond(gateway)
    told = answer.error["imagegate"]
    assert answer.status >= 400
    assert told["finding"]["owner"] == "provider"
    assert "status" in told["finding"]["next"].lower()
    assert "does not exist" in told["attempts"][0]["upstream"]["text"]
    pasted = gateway.post("/v1/diagnose", {"text": answer.body.decode()}).json()
    assert pasted["owner"] == "provider"

"""The objects that callers hold: OpenAI's attributes, files, cost, and bytes that stay."""

import base64
import copy
import gc
import json
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from imagegate import Client, ImageResponse
from tests.upstream import FakeUpstream


@pytest.fixture
def response(client: Client) -> ImageResponse:
    return client.image_generation(
        "a red circle", size="1024x1024", quality="low", base_model="gpt-image-2"
    )


def test_attributes_and_keys_agree(response: ImageResponse) -> None:
    assert response["data"][0]["b64_json"] == response.data[0].b64_json
    assert base64.b64decode(response.data[0].b64_json) == response.images[0].bytes
    assert response.get("size") == response.size
    assert response.get("nothing", 7) == 7
    assert "created" in response
    with pytest.raises(KeyError):
        response["cost_usd"]


def test_model_dump_is_openais_body(response: ImageResponse) -> None:
    dumped = json.loads(response.model_dump_json())
    assert dumped == response.model_dump()
    assert dumped["data"][0]["b64_json"] == response.data[0].b64_json
    assert dumped["usage"]["total_tokens"] == response.usage.total_tokens  # type: ignore[union-attr]


def test_repr_shows_sizes_and_no_base64(response: ImageResponse) -> None:
    shown = repr(response) + repr(response.data[0])
    assert f"{response.images[0].width}x{response.images[0].height}" in shown
    assert response.data[0].b64_json[:40] not in shown


def test_the_cost_is_exact(response: ImageResponse) -> None:
    assert isinstance(response.cost_usd, Decimal)
    assert response._hidden_params["response_cost"] == float(response.cost_usd)


def test_an_unknown_price_is_none(upstream: FakeUpstream) -> None:
    with Client(model="openai/my-own", api_base=upstream.v1, api_key="k") as client:
        response = client.image_generation("a red circle")
    assert response.cost_usd is None
    assert response._hidden_params["response_cost"] is None


def test_a_price_of_ones_own_is_a_keyword(upstream: FakeUpstream) -> None:
    with Client(model="openai/my-own", api_base=upstream.v1, api_key="k") as client:
        response = client.image_generation("a circle", n=2, output_cost_per_image=0.1)
    assert response.cost_usd == Decimal("0.2")
    assert "output_cost_per_image" not in upstream.calls[0].json


def test_save_adds_the_suffix(response: ImageResponse, tmp_path: Path) -> None:
    path = response.images[0].save(tmp_path / "circle")
    assert path == tmp_path / "circle.png"
    assert path.read_bytes() == response.images[0].bytes
    assert [each.name for each in tmp_path.iterdir()] == ["circle.png"]


def test_save_replaces_a_file_as_a_whole(response: ImageResponse, tmp_path: Path) -> None:
    target = tmp_path / "circle.png"
    target.write_bytes(b"old")
    response.images[0].save(str(target))
    assert target.read_bytes() == response.images[0].bytes


def test_a_failed_save_leaves_nothing(response: ImageResponse, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        response.images[0].save(tmp_path / "missing" / "circle.png")
    assert list(tmp_path.iterdir()) == []


def test_url_is_a_data_url_where_it_was_asked_for(client: Client) -> None:
    response = client.image_generation(
        "a red circle", response_format="url", base_model="gpt-image-2"
    )
    assert response.data[0].url == f"data:image/png;base64,{response.data[0].b64_json}"


def test_bytes_stay_readable_after_the_client_closed(upstream: FakeUpstream) -> None:
    with Client(model="gpt-image-2", api_base=upstream.v1, api_key="k") as client:
        kept = client.image_generation("[picture=large] kept").images[0]
        before = kept.bytes
    assert kept.bytes == before


def test_a_later_call_does_not_overwrite_what_is_held(client: Client) -> None:
    first = client.image_generation("[picture=large] first").images[0]
    before = first.bytes
    for number in range(3):
        client.image_generation(f"[picture=large] other {number}")
        gc.collect()
    assert first.bytes == before


def test_spool_files_are_given_back(client: Client) -> None:
    for number in range(5):
        response = client.image_generation(f"[picture=large] {number}")
        assert response.images[0].bytes
        del response
        gc.collect()
    client.image_generation("last")
    (entry,) = client._pool._entries  # type: ignore[union-attr]
    assert entry.runtime.spool._made <= 4


def test_a_result_can_be_pickled_and_copied(client: Client) -> None:
    response = client.image_generation("a", size="512x512", base_model="gpt-image-2")
    for twin in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response)):
        assert twin.images[0].bytes == response.images[0].bytes
        assert twin.model_dump() == response.model_dump()
        assert (twin.cost_usd, twin.call_id) == (response.cost_usd, response.call_id)
        assert twin.adjustments == response.adjustments
    client.close()
    assert twin.images[0].bytes == response.images[0].bytes


def test_it_dumps_as_openais_objects_do(response: ImageResponse) -> None:
    dumped = response.model_dump()
    assert response.to_dict() == response.model_dump(mode="json", exclude_unset=True) == dumped
    assert json.loads(response.to_json()) == json.loads(response.json()) == dumped


def test_a_client_that_nobody_closed_ends_in_silence() -> None:
    code = (
        "import gc; from imagegate import Client\n"
        "def draw(): return Client(model='sandbox/gpt-image-2').image_generation('a red circle')\n"
        "result = draw(); gc.collect(); print(result.images[0].bytes[:4])\n"
        "stream = Client(model='sandbox/gpt-image-2').image_generation('a', stream=True)\n"
        "gc.collect(); print([event.type for event in stream][-1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["b'\\x89PNG'", "image_generation.completed"]

"""`drop_params` of one deployment: what a caller and the whole file say otherwise."""

from pathlib import Path

import pytest

from tests.config.files import load
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: img
    litellm_params:
      {{model: openai/gpt-image-2, base_model: openai/gpt-image-2, api_base: "{v1}",
        api_key: sk-test-upstream{own}}}
litellm_settings: {{{whole}}}
assets: {{folder: "{folder}/data"}}
database_url: "sqlite:///{folder}/ledger.db"
"""
STYLE = {"model": "img", "prompt": "a fox", "style": "vivid"}


@pytest.mark.parametrize(
    ("own", "whole", "asked", "status"),
    [
        ("", "", "", 200),
        (", drop_params: false", "", "", 400),
        (", drop_params: true", "drop_params: false", "", 200),
        (", drop_params: false", "drop_params: true", "", 400),
        (", drop_params: false", "", "nearest", 200),
        (", drop_params: true", "", "strict", 400),
    ],
)
def test_the_nearest_word_counts(
    own: str, whole: str, asked: str, status: int, upstream: FakeUpstream, tmp_path: Path
) -> None:
    text = CONFIG.format(v1=upstream.v1, own=own, whole=whole, folder=tmp_path)
    settings = load(tmp_path, text, {})
    assert not settings.notes
    with RunningGateway(settings) as gateway:
        headers = {"x_imagegate_adjust": asked} if asked else {}
        answer = gateway.post("/v1/images/generations", STYLE, **headers)
    assert answer.status == status
    assert ("x-imagegate-adjustments" in answer.headers) == (status == 200)

"""A gateway with one deployment, which is the fake upstream."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: img
    litellm_params:
      model: openai/gpt-image-2
      api_base: {upstream}
      api_key: sk-test-upstream
general_settings: {{{general}}}
assets: {{folder: {folder}}}
server: {{{server}}}
"""

Start = Callable[..., RunningGateway]


@pytest.fixture
def start(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a gateway in front of the fake upstream."""
    with ExitStack() as stack:

        def start_one(*, general: str = "", server: str = "") -> RunningGateway:
            file = tmp_path / "config.yaml"
            file.write_text(
                CONFIG.format(
                    upstream=upstream.v1, general=general, server=server, folder=tmp_path / "data"
                )
            )
            return stack.enter_context(RunningGateway(load_settings(str(file))))

        yield start_one


@pytest.fixture
def gateway(start: Start) -> RunningGateway:
    """Return a running gateway without a key."""
    return start()

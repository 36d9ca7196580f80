"""A gateway in front of the fake upstream: `img` is on Azure, `any` is a server without limits."""

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
      model: azure/gpt-image-2
      api_base: {azure}
      api_key: sk-test-upstream
      api_version: 2025-04-01-preview
  - model_name: any
    model_info: {{mode: image_generation}}
    litellm_params:
      model: openai/gpt-image-2.6-flare
      api_base: {v1}
      api_key: sk-test-upstream
      quality: max
general_settings: {{{general}}}
router_settings: {{{router}}}
assets: {{folder: {folder}{assets}}}
database_url: sqlite:///{folder}.db
server: {{{server}}}
webhooks: {{{webhooks}}}
"""

Start = Callable[..., RunningGateway]


@pytest.fixture
def start(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a gateway in front of the fake upstream."""
    with ExitStack() as stack:

        def start_one(
            *,
            general: str = "",
            server: str = "",
            assets: str = "",
            router: str = "",
            webhooks: str = "",
        ) -> RunningGateway:
            file = tmp_path / "config.yaml"
            file.write_text(
                CONFIG.format(
                    azure=upstream.url,
                    v1=upstream.v1,
                    general=general,
                    server=server,
                    assets=assets,
                    router=router,
                    webhooks=webhooks,
                    folder=tmp_path / "data",
                )
            )
            return stack.enter_context(RunningGateway(load_settings(str(file))))

        yield start_one


@pytest.fixture
def gateway(start: Start) -> RunningGateway:
    """Return a running gateway without a key."""
    return start()


TWO = """
model_list:
  - model_name: img
    model_info: {{id: first}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{first}", api_key: sk-test-1, order: 1, tags: [eu]}}
  - model_name: img
    model_info: {{id: second}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{second}", api_key: sk-test-2, order: 2}}
  - model_name: spare
    model_info: {{id: spare}}
    litellm_params: {{model: openai/gpt-image-2, api_base: "{second}", api_key: sk-test-3}}
router_settings: {{{router}}}
general_settings: {{{general}}}
overrides: {{{overrides}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
attach_s: 0
"""

Serve = Callable[..., RunningGateway]


@pytest.fixture
def second() -> Iterator[FakeUpstream]:
    """Return another upstream with a bill of its own."""
    with FakeUpstream() as running:
        yield running


@pytest.fixture
def serve(upstream: FakeUpstream, second: FakeUpstream, tmp_path: Path) -> Iterator[Serve]:
    """Return what serves `img` by `first`, then by `second`, and `spare` at the second upstream."""
    with ExitStack() as stack:

        def serve_one(
            router: str = "", *, general: str = "", overrides: str = ""
        ) -> RunningGateway:
            file = tmp_path / "config.yaml"
            folder = tmp_path / "data"
            text = TWO.format(
                first=upstream.v1,
                second=second.v1,
                folder=folder,
                router=router,
                general=general,
                overrides=overrides,
            )
            file.write_text(text)
            return stack.enter_context(RunningGateway(load_settings(str(file))))

        yield serve_one

"""A gateway with sinks: `start(extra)` takes further keys of the configuration as YAML."""

from collections.abc import Callable, Iterator, Mapping
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
assets: {{folder: {folder}, retention_s: {retention_s}}}
database_url: sqlite:///{folder}.db
{extra}
"""

Start = Callable[..., RunningGateway]


@pytest.fixture
def start(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a gateway whose file has these further keys."""
    with ExitStack() as stack:

        def start_one(
            extra: str = "", env: Mapping[str, str] | None = None, retention_s: int = 3600
        ) -> RunningGateway:
            file = tmp_path / "config.yaml"
            folder = tmp_path / "data"
            text = CONFIG.format(
                azure=upstream.url, folder=folder, extra=extra, retention_s=retention_s
            )
            file.write_text(text)
            settings = load_settings(str(file), env=dict(env or {}) | {"HOME": str(tmp_path)})
            return stack.enter_context(RunningGateway(settings))

        yield start_one

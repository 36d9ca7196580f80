"""A gateway with guardrails: `start(guardrails)` takes them as YAML."""

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
  - model_name: other
    litellm_params:
      model: openai/gpt-image-2
      api_base: {v1}
      api_key: sk-test-upstream
  - model_name: official  # nothing is ever sent to it
    litellm_params: {{model: openai/gpt-image-2, api_key: sk-test-official}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
log_prompts: true
sinks: [{{kind: file, path: calls.jsonl}}]
guardrails:
{guardrails}
"""

Start = Callable[[str], RunningGateway]


@pytest.fixture
def config(upstream: FakeUpstream, tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a configuration file with these guardrails."""

    def write(guardrails: str) -> Path:
        file = tmp_path / "config.yaml"
        text = CONFIG.format(
            azure=upstream.url, v1=upstream.v1, folder=tmp_path / "data", guardrails=guardrails
        )
        file.write_text(text)
        return file

    return write


@pytest.fixture
def start(config: Callable[[str], Path]) -> Iterator[Start]:
    """Return what starts a gateway with these guardrails."""
    with ExitStack() as stack:

        def start_one(guardrails: str) -> RunningGateway:
            settings = load_settings(str(config(guardrails)))
            return stack.enter_context(RunningGateway(settings))

        yield start_one

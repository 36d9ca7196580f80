"""Configuration files for tests."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from imagegate.errors import ConfigError

ISSUE = """\
model_list:
  - model_name: gpt-image-2
    model_info: {mode: image_generation}
    litellm_params:
      model: azure/gpt-image-2-1
      api_base: https://example-resource.cognitiveservices.azure.com
      api_key: os.environ/AZURE_API_KEY
      api_version: 2025-04-01-preview
"""


def load(
    folder: Path, text: str, env: Mapping[str, str] | None = None, host: str | None = None
) -> Settings:
    """Return the settings of a file with `text`."""
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return load_settings(str(path), host, env={"HOME": str(folder), **(env or {})})


def faults_of(
    folder: Path, text: str, env: Mapping[str, str] | None = None, host: str | None = None
) -> str:
    """Return the message of the `ConfigError` that a file with `text` gets."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, env, host)
    return caught.value.message

"""The command line in a folder of its own, without keys."""

from pathlib import Path

import pytest

from tests.upstream import FakeUpstream

CONFIG = """
model_list:
  - model_name: img
    litellm_params: {{model: openai/gpt-image-2, api_base: "{url}", api_key: sk-test-cli}}
  - model_name: draw
    litellm_params: {{model: sandbox/gpt-image-2}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder of the command."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "IMAGEGATE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def config(upstream: FakeUpstream, tmp_path: Path) -> str:
    """Return a configuration with the fake upstream as `img` and the sandbox as `draw`."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(url=upstream.v1))
    return str(path)

"""One gateway for all clients, in front of one fake upstream."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.clients.gateway import ServedGateway
from tests.upstream.fake import FakeUpstream

KEY = "sk-test-gateway-0123456789abcdef"
AZURE_KEY = "sk-test-azure-upstream"
API_VERSION = "2025-04-01-preview"

AZURE_YAML = """\
model_list:
  - model_name: gpt-image-2
    model_info: {mode: image_generation}
    litellm_params:
      model: azure/gpt-image-2-1
      api_base: https://example-resource.cognitiveservices.azure.com
      api_key: os.environ/AZURE_API_KEY
      api_version: 2025-04-01-preview
"""
"""A configuration for LiteLLM, to the letter; only its address is put in place for a test."""

AZURE_ADDRESS = "https://example-resource.cognitiveservices.azure.com"

# The models of OpenAI are served by the fake upstream too; `base_model` gives them their limits.
OTHERS = """\
  - model_name: azure-v1
    model_info: {{mode: image_generation}}
    litellm_params:
      model: azure/img2
      api_base: {upstream}/openai/v1/
      api_key: os.environ/AZURE_API_KEY
  - model_name: gpt-image-2.5-flare
    litellm_params: &flare
      model: openai/gpt-image-2.5-flare
      api_base: {upstream}/v1
      api_key: sk-test-upstream
      base_model: gpt-image-2.5-flare
  - model_name: my-custom-model
    litellm_params: *flare
  - model_name: dall-e-3
    litellm_params: *flare
  - model_name: gpt-image-1-mini
    litellm_params:
      model: openai/gpt-image-1-mini
      api_base: {upstream}/v1
      api_key: sk-test-upstream
      base_model: gpt-image-1-mini
  - model_name: my/flux
    model_info: {{mode: image_generation}}
    litellm_params:
      model: openai/flux
      api_base: {upstream}/v1
      api_key: sk-test-upstream
  - model_name: drawn
    litellm_params: {{model: sandbox/gpt-image-2.5-flare}}
general_settings: {{master_key: {key}}}
assets: {{folder: {folder}/assets}}
database_url: sqlite:///{folder}/ledger.db
attach_s: 0 # all tests ask this gateway for the same images, and none wants another's
"""

CODEX = Path(__file__).parent / "codex" / "node_modules" / ".bin" / "codex"

collect_ignore = [] if shutil.which("curl") else ["test_curl.py"]
collect_ignore += [] if CODEX.exists() else ["test_codex.py"]


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeUpstream]:
    """Return the fake upstream that all tests of this folder share."""
    with FakeUpstream() as running:
        yield running


@pytest.fixture(autouse=True)
def _clean_bill(upstream: FakeUpstream) -> None:
    upstream.reset()


@pytest.fixture(scope="session")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a gateway that serves the fake upstream under many names."""
    folder = tmp_path_factory.mktemp("gateway")
    azure = AZURE_YAML.replace(AZURE_ADDRESS, upstream.url)
    config = azure + OTHERS.format(upstream=upstream.url, key=KEY, folder=folder)
    with ServedGateway(config, folder, AZURE_API_KEY=AZURE_KEY) as served:
        yield served.url


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `a.png`, `b.webp`, `c.jpg` and `mask.png`, all 64 x 64 px."""
    folder = tmp_path_factory.mktemp("files")
    picture = Image.new("RGB", (64, 64), (200, 30, 30))
    for name in ("a.png", "b.webp", "c.jpg"):
        picture.save(folder / name)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(folder / "mask.png")
    return folder
